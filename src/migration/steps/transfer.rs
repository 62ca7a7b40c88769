//! Transferring: the checkpoint travels to the registry as an image.
//!
//! Ensures `status.checkpointImage`. Undone by removing the Job; the image is deleted at the end
//! of the migration, whichever that is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::early::TransferJob;
use super::run::Run;
use super::trouble::Trouble;
use crate::explain;
use crate::migration::event::EventKind;
use crate::migration::plan;
use crate::migration::ports::{ArchiveToSend, TransferEnd, TransferOrder};
use ms2m_transfer::{FailureCode, Pushed, Report};

/// How long a Job that waits for the archive may say nothing once there is one.
const UNHEARD: Duration = Duration::from_secs(30);

/// How long the deletion of an archive may take: a Job's pod has to start for it.
const DISCARD: Duration = Duration::from_secs(30);

impl Run {
    /// Starts the transfer Job for the archive that there is, unless one has been started.
    pub(super) async fn start_transfer(&mut self) -> Result<(), Trouble> {
        if matches!(self.transfer, TransferJob::Ready | TransferJob::Started) {
            return Ok(());
        }
        let order = self.transfer_order();
        self.patiently("start the transfer Job", || {
            self.ports.cluster.ensure_transfer(&order)
        })
        .await?;
        self.transfer = TransferJob::Started;
        Ok(())
    }

    /// Follows the transfer to its end, and remembers the image.
    pub(super) async fn transfer(&mut self) -> Result<(), Trouble> {
        self.await_receiver().await?;
        self.start_transfer().await?;
        let name = self.transfer_job();
        let end = match self.follow_transfer(&name).await? {
            Some(end) if self.is_of_this_archive(&end) => end,
            other => self.transfer_again(&name, other).await?,
        };
        self.archive_is_gone = has_seen_to_the_archive(&end, self.transfer);
        let pushed = pushed(&name, end, self.is_direct())?;
        self.step(format!("image pushed: {}", pushed.image));
        self.add_seconds(|receipt| &mut receipt.transfer_run, pushed.seconds);
        let receipt = self.receipt();
        receipt.archive_bytes = i64::try_from(pushed.archive_bytes).unwrap_or(i64::MAX);
        receipt.layer_bytes = i64::try_from(pushed.layer_bytes).unwrap_or(i64::MAX);
        self.record.status.checkpoint_image = Some(pushed.image);
        Ok(())
    }

    /// Follows the Job to its end; nothing if it was to take the next archive and has not seen it.
    async fn follow_transfer(&self, name: &str) -> Result<Option<TransferEnd>, Trouble> {
        let heard = AtomicBool::new(self.transfer != TransferJob::Ready);
        let progress = |progress: ms2m_transfer::event::Progress| {
            heard.store(true, Ordering::Relaxed);
            self.report(EventKind::Transfer(progress));
        };
        let follow = self.patiently("follow the transfer Job", || {
            self.ports.cluster.follow_transfer(name, &progress)
        });
        let follow = async { self.unless_stopped(follow).await? };
        let follow = self.while_node_lives(self.source_node(), follow);
        let unheard = async {
            self.ports.clock.sleep(UNHEARD).await;
            if heard.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        };
        tokio::select! {
            end = follow => end.map(Some),
            () = unheard => Ok(None),
        }
    }

    /// Whether what was sent is the checkpoint of this migration: a Job that was started early takes
    /// whichever archive of the container is the next.
    fn is_of_this_archive(&self, end: &TransferEnd) -> bool {
        let TransferEnd::Reported(Report::Pushed(pushed)) = end else {
            return true;
        };
        let path = Self::known(self.record.status.checkpoint_id.as_ref());
        let file = path.rsplit('/').next().unwrap_or_default();
        pushed.archive.is_empty() || pushed.archive == file
    }

    /// Another Job, made for the archive that there is, in place of one that has missed it.
    async fn transfer_again(
        &mut self,
        name: &str,
        missed: Option<TransferEnd>,
    ) -> Result<TransferEnd, Trouble> {
        self.warn(format!(
            "Job {name} {}; another one sends the archive",
            match &missed {
                Some(TransferEnd::Reported(Report::Pushed(pushed))) => format!(
                    "has sent archive {}, which is not this checkpoint's",
                    pushed.archive
                ),
                _ => "has not seen the archive".to_owned(),
            }
        ));
        self.remove_transfer().await?;
        self.delete_image().await;
        self.transfer = TransferJob::Unknown;
        self.start_transfer().await?;
        let end = self.follow_transfer(name).await?;
        Ok(end.unwrap_or_else(|| TransferEnd::Lost("nothing was heard of it".to_owned())))
    }

    /// Ensures that the Job and its pods are gone.
    pub(super) async fn remove_transfer(&self) -> Result<(), Trouble> {
        let name = self.transfer_job();
        self.patiently("remove the transfer Job", || {
            self.ports.cluster.remove_transfer(&name)
        })
        .await
    }

    /// Deletes the archive on the source node, if the transfer has not: it holds the memory of the
    /// process. Where that cannot be done it is said, with the path.
    pub(super) async fn discard_archive(&self) {
        let archive = Self::known(self.record.status.checkpoint_id.as_ref());
        let sent = self.record.status.checkpoint_image.is_some();
        if archive.is_empty() || sent || self.archive_is_gone || self.keeps_checkpoint() {
            return;
        }
        let order = TransferOrder {
            name: self.discard_job(),
            discard: true,
            direct: None,
            deadline: DISCARD,
            ..self.transfer_order()
        };
        if let Err(why) = self.discard(&order).await {
            self.warn(format!(
                "the archive could not be deleted ({why}); it holds the memory of the process, so delete it yourself: \
                 {archive} on node {}",
                self.source_node()
            ));
        } else {
            self.step(format!("archive {archive} deleted"));
        }
    }

    async fn discard(&self, order: &TransferOrder) -> Result<(), String> {
        let cluster = &self.ports.cluster;
        let followed = async {
            cluster.ensure_transfer(order).await?;
            cluster.follow_transfer(&order.name, &|_| {}).await
        };
        let end = tokio::select! {
            end = followed => end.map_err(|error| error.to_string()),
            () = self.ports.clock.sleep(DISCARD) => Err(format!("nothing has come of it in {} s", DISCARD.as_secs())),
        };
        let removed = cluster.remove_transfer(&order.name).await;
        match end? {
            TransferEnd::Reported(Report::Failed(report))
                if matches!(
                    report.code,
                    FailureCode::Discarded | FailureCode::ArchiveMissing
                ) => {}
            TransferEnd::Reported(Report::Failed(report)) => return Err(report.message),
            TransferEnd::Reported(Report::Pushed(_)) => {}
            TransferEnd::Lost(words) => return Err(words),
        }
        removed.map_err(|error| error.to_string())
    }

    /// The Job that deletes an archive which is not wanted any more.
    fn discard_job(&self) -> String {
        self.object_name("discard")
    }

    pub(super) fn transfer_job(&self) -> String {
        self.object_name("transfer")
    }

    /// Whether archive and image are to stay.
    pub(super) fn keeps_checkpoint(&self) -> bool {
        let transfer = self.record.spec.transfer.as_ref();
        transfer
            .and_then(|transfer| transfer.keep_checkpoint)
            .unwrap_or(false)
    }

    /// Secret with the registry's credentials.
    pub(super) fn credentials_secret(&self) -> Option<String> {
        self.record
            .spec
            .transfer
            .as_ref()
            .and_then(|transfer| transfer.credentials_secret.clone())
    }

    /// The checkpoint image by the tag that it is pushed under.
    pub(super) fn tagged_image(&self) -> String {
        let uid = self.record.status.source_pod_uid.as_deref();
        let name = self.handoff_name();
        plan::image_of(&self.record.spec, &name, uid.unwrap_or_default())
    }

    pub(super) fn transfer_order(&self) -> TransferOrder {
        let spec = &self.record.spec;
        TransferOrder {
            name: self.transfer_job(),
            migration: self.record.name.clone(),
            node: self.source_node().to_owned(),
            archive: ArchiveToSend::At(
                Self::known(self.record.status.checkpoint_id.as_ref()).to_owned(),
            ),
            image: self.tagged_image(),
            transfer_image: plan::transfer_image(spec),
            pod: self.source_pod().to_owned(),
            container: self.container().to_owned(),
            compression: plan::compression(spec),
            plain_http: spec
                .transfer
                .as_ref()
                .and_then(|transfer| transfer.plain_http)
                .unwrap_or(false),
            direct: self.direct_order(),
            credentials_secret: self.credentials_secret(),
            keep_archive: self.keeps_checkpoint(),
            discard: false,
            deadline: self.limits.transfer,
        }
    }
}

/// Whether the binary has deleted the archive: it does whatever came of the transfer, unless it never
/// got to it. One that was started early does not say which archive it has failed with.
fn has_seen_to_the_archive(end: &TransferEnd, job: TransferJob) -> bool {
    match end {
        TransferEnd::Reported(Report::Pushed(_)) => true,
        TransferEnd::Reported(Report::Failed(_)) if job != TransferJob::Started => false,
        TransferEnd::Reported(Report::Failed(failed)) => matches!(
            failed.code,
            FailureCode::ArchiveInvalid
                | FailureCode::RegistryDenied
                | FailureCode::RegistryFailed
                | FailureCode::Discarded
        ),
        TransferEnd::Lost(_) => false,
    }
}

fn pushed(job: &str, end: TransferEnd, direct: bool) -> Result<Pushed, Trouble> {
    let failed = match end {
        TransferEnd::Reported(Report::Pushed(pushed)) => return Ok(pushed),
        TransferEnd::Reported(Report::Failed(failed)) => failed,
        TransferEnd::Lost(words) => {
            return Err(Trouble::failed(
                format!("transfer Job {job} ended without a result"),
                words,
            )
            .or_code(&explain::TRANSFER_FAILED));
        }
    };
    let place = if direct { "receiver" } else { "registry" };
    let trouble = Trouble::failed(
        format!("the checkpoint could not be sent to the {place}"),
        failed.message,
    )
    .or_code(&explain::TRANSFER_FAILED);
    Err(match failed.code {
        FailureCode::RegistryDenied => {
            trouble.hint("give credentials that may push to the repository: --registry-secret")
        }
        FailureCode::RegistryFailed if direct => trouble
            .hint("check that the source node reaches the target node's address at the receiver's port, which a firewall may close"),
        FailureCode::RegistryFailed => trouble.hint(
            "check that the registry is reachable from the source node; one without TLS needs --registry-plain-http",
        ),
        _ => trouble,
    })
}
