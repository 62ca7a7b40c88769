//! Checkpointing: the one call that must go out exactly once.
//!
//! Ensures `status.checkpointID`. What is left of it when the migration ends is the archive, which
//! the transfer deletes after the push.

use super::run::Run;
use super::trouble::{Trouble, while_doing};
use crate::api::conditions;
use crate::explain;
use crate::migration::error::PortError;

impl Run {
    /// Checkpoints the source. It is never repeated by itself: a failed call may have left the
    /// source paused or an archive behind, so a person decides.
    pub(super) async fn checkpoint(&mut self) -> Result<(), Trouble> {
        if self.record.status.checkpoint_id.is_some() {
            // By a process that died over what comes next. The gate has been closed since, so the
            // memory is still what it was.
            return Ok(());
        }
        let (node, pod, container) = (
            self.source_node().to_owned(),
            self.source_pod().to_owned(),
            self.container().to_owned(),
        );
        let limit = self.limits.checkpoint;
        let began = self.ports.clock.elapsed();
        if !self.lock.is_held() {
            return Err(Trouble::LockLost);
        }
        // Not cancelled by a signal: closing the connection early can leave the source paused.
        let answer = self
            .ports
            .cluster
            .checkpoint(&node, &pod, &container, limit)
            .await;
        if answer.as_ref().is_err_and(PortError::is_transient) {
            // Its name is not known, so it cannot be deleted from here.
            self.warn(format!(
                "no answer to the checkpoint call has come: node {node} may still write an archive, which holds the \
                 memory of the process; look for it there, and delete it: \
                 /var/lib/kubelet/checkpoints/checkpoint-{pod}_{}-{container}-*.tar",
                self.record.namespace
            ));
        }
        let path = answer.map_err(|error| {
            let doing = format!(
                "container {container} of pod {pod} could not be checkpointed on node {node}"
            );
            while_doing(doing)(error).or_code(&explain::CHECKPOINT_FAILED)
        })?;
        let took = (self.ports.clock.elapsed() - began).as_secs_f64();
        self.add_seconds(|receipt| &mut receipt.checkpoint_call, took);
        self.step(format!("checkpoint taken: {path}"));
        let now = self.ports.clock.now();
        let text = format!("{path} on node {node}");
        let status = &mut self.record.status;
        status.set_condition(
            conditions::CHECKPOINTED,
            true,
            conditions::reasons::ARCHIVE_WRITTEN,
            &text,
            now,
        );
        status.checkpoint_id = Some(path);
        self.save().await
    }
}
