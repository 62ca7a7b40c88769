//! The migrations of all namespaces, for whoever asks before the controller goes.

use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::KubeCluster;
use super::pages;
use crate::api::{
    DRIVEN_BY_CLI, DRIVEN_BY_LABEL, ENDED_LABEL, FINALIZER, Phase, StatefulMigration,
};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// A migration that somebody has yet to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unended {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Whether the command line drives it, and not the controller.
    pub by_cli: bool,
}

impl KubeCluster {
    /// The migrations of all namespaces that have not ended; none where the CRD is not installed.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn unended(&self) -> PortResult<Vec<Unended>> {
        let api: Api<StatefulMigration> = Api::all(self.inner.client.clone());
        let params = ListParams::default().labels(&format!("{ENDED_LABEL}!=true"));
        match pages::all(&self.inner.retry, &api, params, "list all migrations").await {
            Ok(found) => Ok(found.iter().filter_map(unended).collect()),
            Err(PortError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// One that has ended and still has its finalizer needs the controller to go.
fn unended(found: &StatefulMigration) -> Option<Unended> {
    let status = found.status.as_ref();
    let phase = status.and_then(|it| it.phase).unwrap_or_default();
    let held = found.finalizers().iter().any(|it| it == FINALIZER);
    (!phase.is_final() || held).then(|| Unended {
        namespace: found.namespace().unwrap_or_default(),
        name: found.name_any(),
        phase,
        by_cli: found.labels().get(DRIVEN_BY_LABEL).map(String::as_str) == Some(DRIVEN_BY_CLI),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{StatefulMigrationSpec, StatefulMigrationStatus};

    fn migration(phase: Option<Phase>) -> StatefulMigration {
        let mut found = StatefulMigration::new("m", StatefulMigrationSpec::sample("worker-0"));
        found.status = phase.map(|phase| StatefulMigrationStatus {
            phase: Some(phase),
            ..StatefulMigrationStatus::default()
        });
        found
    }

    #[test]
    fn what_nobody_has_begun_has_not_ended() {
        assert!(unended(&migration(None)).is_some());
        assert!(unended(&migration(Some(Phase::Restoring))).is_some());
        assert_eq!(unended(&migration(Some(Phase::Completed))), None);
        assert_eq!(unended(&migration(Some(Phase::Failed))), None);
    }

    #[test]
    fn what_cannot_go_by_itself_has_not_ended() {
        let mut held = migration(Some(Phase::Completed));
        held.finalizers_mut().push(FINALIZER.to_owned());
        assert!(unended(&held).is_some());
    }
}
