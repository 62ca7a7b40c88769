//! The transfer Job before the checkpoint: its pod is scheduled, pulled and running when the archive
//! comes, so that no start of a pod lies between the checkpoint and the restore.
//!
//! Ensures that at the moment of the checkpoint the Job either takes the next archive or is not
//! there. Undone with the Job, by [`Run::remove_transfer`].

use std::time::Duration;

use ms2m_transfer::{FailureCode, Report};

use super::run::Run;
use super::trouble::Trouble;
use crate::api::HandoffStage as Stage;
use crate::explain;
use crate::migration::ports::{ArchiveToSend, TransferEnd, TransferOrder, TransferReadiness};

/// How long the handoff waits for the Job's pod at most, while the source serves as ever: it may
/// have to pull an image. Without it the transfer starts after the checkpoint.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the Job may wait for besides the source's queue and the checkpoint.
const BEFORE: Duration = Duration::from_secs(120);

/// What this process knows of the transfer Job of the handoff under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migration) enum TransferJob {
    /// Nothing.
    Unknown,
    /// It was made before the checkpoint, and its pod may not run yet.
    Early,
    /// It takes the next archive as soon as there is one.
    Ready,
    /// It was made for the archive that there is.
    Started,
}

impl Run {
    /// Starts the Job, if the checkpoint is yet to come.
    pub(super) async fn start_transfer_early(&mut self) -> Result<(), Trouble> {
        let due = self.stage() < Stage::Checkpointed && self.record.status.checkpoint_id.is_none();
        if !due || self.transfer != TransferJob::Unknown {
            return Ok(());
        }
        let order = self.early_order();
        self.patiently("start the transfer Job", || {
            self.ports.cluster.ensure_transfer(&order)
        })
        .await?;
        self.transfer = TransferJob::Early;
        Ok(())
    }

    /// Waits until the Job takes the next archive, or sees that there is none. Nothing has been done to the service yet, so a
    /// transfer that cannot start is known of before anything waits for it.
    pub(super) async fn await_transfer(&mut self) -> Result<(), Trouble> {
        if self.transfer != TransferJob::Early {
            return Ok(());
        }
        let name = self.transfer_job();
        let ready = self.patiently("see the transfer Job start", || {
            self.ports.cluster.transfer_ready(&name)
        });
        let clock = std::sync::Arc::clone(&self.ports.clock);
        let ready = async {
            tokio::select! {
                ready = ready => ready.map(Some),
                () = clock.sleep(PATIENCE) => Ok(None),
            }
        };
        match self.unless_stopped(ready).await?? {
            Some(TransferReadiness::Ready) => self.transfer = TransferJob::Ready,
            Some(TransferReadiness::Ended(TransferEnd::Lost(words))) => {
                return Err(Trouble::failed("the transfer cannot start", words)
                    .or_code(&explain::TRANSFER_FAILED));
            }
            // It looks at its settings before it waits for an archive.
            Some(TransferReadiness::Ended(TransferEnd::Reported(Report::Failed(failed))))
                if failed.code == FailureCode::Config =>
            {
                return Err(Trouble::failed("the transfer cannot start", failed.message)
                    .or_code(&explain::TRANSFER_FAILED));
            }
            Some(TransferReadiness::Ended(TransferEnd::Reported(_))) => {
                // One of a process that was killed over its checkpoint. What it has sent is not what
                // will be sent.
                self.without_early_transfer().await?;
                self.delete_image().await;
            }
            None => {
                self.step(format!(
                    "the transfer Job does not run after {} s; it starts after the checkpoint instead",
                    PATIENCE.as_secs()
                ));
                // One that starts only after the checkpoint would take its archive for an old one.
                self.without_early_transfer().await?;
            }
        }
        Ok(())
    }

    /// The Job as it is made before there is an archive. Until there is one it does nothing, and
    /// that may take as long as the source takes to empty its queue.
    fn early_order(&self) -> TransferOrder {
        TransferOrder {
            archive: ArchiveToSend::Next,
            deadline: self.limits.transfer + BEFORE + self.limits.drain + self.limits.checkpoint,
            ..self.transfer_order()
        }
    }

    async fn without_early_transfer(&mut self) -> Result<(), Trouble> {
        self.remove_transfer().await?;
        self.transfer = TransferJob::Unknown;
        Ok(())
    }
}
