//! Pending: what can be started early is started here.
//!
//! Ensures that the base image is on its way to the target node, and that the transfer Job is there.
//! Undone in [`super::back`].

use super::run::Run;
use super::trouble::Trouble;
use crate::api::HandoffStage as Stage;

impl Run {
    /// Starts the pull of the base image, which the restore needs on the target node, and enters
    /// the next phase. After the restore there is nothing to prepare.
    pub(super) async fn prepare(&mut self) -> Result<(), Trouble> {
        if self.is_takeover() && self.stage() < Stage::Checkpointed {
            self.sees_shadow().await?;
        }
        // In the second handoff, and on the way home, the node has run that image.
        let known_there = self.is_takeover() || self.record.status.returning;
        let needed = self.stage() < Stage::TargetAttached && !self.target_made();
        if needed && !known_there {
            self.start_image_pull().await?;
        }
        if needed {
            self.start_receiver().await?;
        }
        self.start_transfer_early().await?;
        if self.stage() < Stage::TargetServes {
            self.recall_target().await?;
        }
        Ok(())
    }

    async fn start_image_pull(&self) -> Result<(), Trouble> {
        let (name, image) = (
            self.pull_pod(),
            Self::known(self.record.status.base_image.as_ref()),
        );
        let cluster = &self.ports.cluster;
        self.patiently("start the pull of the base image", || {
            cluster.ensure_image_pull(
                &self.record.name,
                &name,
                self.target_node(),
                image,
                self.source_pod(),
            )
        })
        .await?;
        self.step(format!("node {} pulls the base image", self.target_node()));
        Ok(())
    }

    /// The pod that makes the target node pull the base image.
    pub(super) fn pull_pod(&self) -> String {
        self.object_name("pull")
    }

    pub(super) fn target_made(&self) -> bool {
        self.record
            .status
            .handoff
            .as_ref()
            .is_some_and(|handoff| handoff.target_made)
    }
}
