//! A roll-back that failed: a state of its own, remembered with exactly what is left and what to
//! type to clear it.
//!
//! The migration stays unfinished, so the next process that takes it up goes on with the
//! roll-back.

use std::fmt::Display;
use std::time::Duration;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::conditions;
use crate::explain;
use crate::migration::error::{Error, ErrorKind, PortError};
use crate::migration::event::EventKind;
use crate::migration::ports::{PortResult, kept_name};

/// How long each side may take to show what is left. Whatever failed has been tried long enough.
const LOOK: Duration = Duration::from_secs(10);

impl Run {
    /// Remembers that rolling back because of `trouble` failed by `undoing`, and says what is left.
    pub(super) async fn stuck(&mut self, trouble: &Trouble, undoing: &Trouble) -> Error {
        self.report(EventKind::UndoFailed {
            what: "roll back".to_owned(),
            cause: undoing.reason(),
        });
        let mut error = Error::new(
            ErrorKind::Stuck,
            format!(
                "migration {} of pod {} is stuck half-way back",
                self.record.name,
                self.source_pod()
            ),
        )
        .because(format!(
            "{}; and rolling back failed: {}",
            trouble.reason(),
            undoing.reason()
        ))
        .hint(format!(
            "go on with the roll-back: {}",
            self.record.abort_command()
        ));
        error.left = self.left().await;
        self.remember_stuck(&error).await;
        error
    }

    async fn remember_stuck(&mut self, error: &Error) {
        let now = self.ports.clock.now();
        let mut text = error.to_string();
        if !error.left.is_empty() {
            text = format!("{text}; left: {}", error.left.join(", "));
        }
        let text = explain::with_command(&text, error.code);
        self.handoff().aborting = true;
        let status = &mut self.record.status;
        let reason = conditions::reasons::UNDO_FAILED;
        status.set_condition(conditions::STUCK, true, reason, &text, now);
        status.message = Some(text);
        if let Err(Trouble::Failed(unsaved)) = self.save().await {
            self.warn(format!(
                "the journal does not show the migration as stuck: {unsaved}"
            ));
        }
    }

    /// What the migration has made and is still there, as far as that can be seen now.
    async fn left(&self) -> Vec<String> {
        let (broker, cluster, registry) = tokio::join!(
            self.in_time(self.left_at_broker()),
            self.in_time(self.left_in_cluster()),
            self.in_time(self.left_in_registry())
        );
        let names = &self.names;
        let unseen = [
            (
                "broker",
                format!(
                    "queues {} and {}, exchanges {} and {}",
                    names.replay, names.hold, names.gate, names.fanout
                ),
            ),
            (
                "cluster",
                format!("pods and the Job of migration {}", self.record.name),
            ),
            ("registry", format!("the image {}", self.image())),
        ];
        [broker, cluster, registry]
            .into_iter()
            .zip(unseen)
            .flat_map(|(seen, (place, what))| match seen {
                Ok(left) => left,
                Err(error) => vec![may_be_left(place, &what, &error)],
            })
            .collect()
    }

    async fn in_time<T>(&self, look: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        tokio::select! {
            seen = look => seen,
            () = self.ports.clock.sleep(LOOK) => {
                Err(PortError::Unreachable(format!("no answer within {} s", LOOK.as_secs())))
            }
        }
    }

    async fn left_at_broker(&self) -> PortResult<Vec<String>> {
        let names = &self.names;
        let queues = [&names.replay, &names.hold];
        let found = self
            .ports
            .broker
            .queues(&queues.map(String::as_str))
            .await?;
        let mut left: Vec<String> = queues
            .iter()
            .zip(found)
            .filter_map(|(name, queue)| Some((name, queue?)))
            .map(|(name, queue)| {
                let messages = queue.ready + queue.unacknowledged.unwrap_or(0);
                format!("queue {name} with {messages} messages")
            })
            .collect();
        for name in [&names.gate, &names.fanout] {
            if self.ports.broker.exchange_exists(name).await? {
                left.push(format!("exchange {name}"));
            }
        }
        Ok(left)
    }

    async fn left_in_cluster(&self) -> PortResult<Vec<String>> {
        let job = self.transfer_job();
        let cluster = &self.ports.cluster;
        let mut left = cluster.belongings(&self.record.name, &job).await?;
        let owner = self.record.status.owner.as_ref();
        left.extend(owner.filter(|owner| owner.let_go).map(|owner| {
            format!(
                "ConfigMap {} with the manifest of StatefulSet {}, which may not be there",
                kept_name(&owner.name),
                owner.name
            )
        }));
        Ok(left)
    }

    async fn left_in_registry(&self) -> PortResult<Vec<String>> {
        let kept = self.is_direct() || self.keeps_checkpoint();
        if self.record.status.checkpoint_id.is_none() || kept {
            return Ok(Vec::new());
        }
        let image = self.image();
        let found = self.ports.registry.image(&image).await?;
        Ok(found
            .map(|_| format!("image {image}"))
            .into_iter()
            .collect())
    }

    /// The checkpoint image by digest, or by the tag that it is pushed under.
    fn image(&self) -> String {
        let pushed = self.record.status.checkpoint_image.clone();
        pushed.unwrap_or_else(|| self.tagged_image())
    }
}

fn may_be_left(place: &str, what: &str, why: &dyn Display) -> String {
    format!("perhaps {what}: the {place} could not be looked at ({why})")
}
