//! Whether source and target are still there: looked at only when something that they should do
//! has not been seen for a while.

use std::time::Duration;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::HandoffStage as Stage;
use crate::migration::handoff::TargetPod;
use crate::migration::handoff::watch::Look;
use crate::migration::ports::{PodView, RestoreState};

/// How long one waits for a party before looking whether its pod is there, and between two such
/// looks.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether a node that something depends on is still ready.
const LOOK_AT_NODE: Duration = Duration::from_secs(3);

impl Run {
    /// Looks whether the parties that keep us waiting are there at all.
    pub(super) async fn look_after_the_pods(&mut self, look: &Look) -> Result<(), Trouble> {
        let due = self.watch.waited(look.at) >= LOOK_AFTER
            && self
                .pods_seen
                .is_none_or(|seen| look.at.saturating_sub(seen) >= LOOK_AFTER);
        if self.target_is_missed(look) && (due || self.watch.waited(look.at).is_zero()) {
            self.look_after_target().await?;
        }
        if due {
            self.pods_seen = Some(look.at);
            if self.source_is_missed(look) {
                self.watch.source_lost = self.source_is_lost().await?;
            }
        }
        Ok(())
    }

    /// The target was made, and is on neither queue.
    fn target_is_missed(&self, look: &Look) -> bool {
        let on_replay = look.replay.consumers > 0;
        let working = match self.stage() {
            Stage::SourceDiverted | Stage::TargetSeen | Stage::Returning => {
                on_replay || look.primary.consumers > 0
            }
            Stage::TargetAttached
            | Stage::CutoverClosed
            | Stage::TargetRestored
            | Stage::Reopened => on_replay,
            // Sequential: it may not be there yet, and goes to the primary queue first.
            Stage::SourceRemoved if self.is_sequential() => look.primary.consumers > 0,
            Stage::SourceRemoved => on_replay,
            _ => true,
        };
        !working && !self.is_aborting() && self.watch.target == TargetPod::Present
    }

    fn source_is_missed(&self, look: &Look) -> bool {
        let before_commit = (Stage::Closed..=Stage::TargetAttached).contains(&self.stage());
        look.hold.consumers == 0 && (self.is_aborting() || before_commit)
    }

    async fn look_after_target(&mut self) -> Result<(), Trouble> {
        let name = self.target_pod().to_owned();
        let state = self
            .patiently("look at the target pod", || {
                self.ports.restore.target(&self.record.name, &name)
            })
            .await?;
        let lost = match state {
            RestoreState::Absent | RestoreState::Failed(_) => true,
            RestoreState::Running { ready: true, .. } => false,
            // It is all that there is, and a node that is away may come back.
            _ if self.is_committed() && !self.may_restore_again() => false,
            RestoreState::Running { .. } | RestoreState::Starting(_) => {
                let node = self.target_node().to_owned();
                !self.node_is_ready(&node).await?
            }
        };
        if lost {
            self.watch.target = TargetPod::Lost;
        }
        Ok(())
    }

    /// Whether the source pod has ended for good, was replaced, or is on a node that is gone.
    pub(super) async fn source_is_lost(&self) -> Result<bool, Trouble> {
        let Some(pod) = self.find_source().await? else {
            return Ok(true);
        };
        let ended = matches!(pod.phase.as_str(), "Succeeded" | "Failed");
        if ended || pod.ready {
            return Ok(ended);
        }
        Ok(!self.node_is_ready(self.source_node()).await?)
    }

    /// The source pod itself, not one of the same name.
    pub(super) async fn find_source(&self) -> Result<Option<PodView>, Trouble> {
        let name = self.source_pod();
        let pod = self
            .patiently("look at the source pod", || self.ports.cluster.pod(name))
            .await?;
        let uid = self.source_uid();
        Ok(pod.filter(|pod| uid.is_none_or(|uid| uid == pod.uid)))
    }

    /// Does `work`, which only `node` can bring to its end, as long as that node is ready.
    pub(super) async fn while_node_lives<T>(
        &self,
        node: &str,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        tokio::select! {
            result = work => result,
            lost = self.node_lost(node) => Err(lost),
        }
    }

    async fn node_lost(&self, node: &str) -> Trouble {
        loop {
            self.ports.clock.sleep(LOOK_AT_NODE).await;
            match self.node_is_ready(node).await {
                Ok(true) => {}
                Ok(false) => {
                    return Trouble::failed(
                        format!("node {node} is not ready any more"),
                        "what it was to do cannot come to an end there",
                    );
                }
                Err(trouble) => return trouble,
            }
        }
    }

    /// Whether the node is there and ready.
    pub(super) async fn node_is_ready(&self, name: &str) -> Result<bool, Trouble> {
        let node = self
            .patiently("look at a node", || self.ports.cluster.node(name))
            .await?;
        Ok(node.is_some_and(|node| node.ready))
    }
}
