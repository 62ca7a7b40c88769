//! The pod's owner: it lets the pod go before the source is removed, and has the target at the
//! end.
//!
//! A StatefulSet makes a pod that is gone anew at once, on any node and without its state. So it is
//! deleted, without its pods, for as long as the pod's name is free; its manifest and the source
//! pod's are kept in the cluster, so that any process can go on. A ReplicaSet is only told which of
//! two pods is to go.

use std::time::Duration;

use super::retry::Backoff;
use super::run::Run;
use super::trouble::Trouble;
use crate::api::{OwnerStatus, Strategy};
use crate::migration::ports::{Adoption, Claim, LetGoOrder, kept_name};

/// How long other migrations of pods of the same StatefulSet are waited for. Each has the set gone
/// for a few seconds; one that nobody works on has it until somebody goes on with it.
const OTHERS: Duration = Duration::from_secs(120);

/// Kinds of owners that have a part in a migration.
pub(in crate::migration) mod kinds {
    pub(in crate::migration) const STATEFUL_SET: &str = "StatefulSet";
    pub(in crate::migration) const REPLICA_SET: &str = "ReplicaSet";
}

impl Run {
    /// The owner, if it is of that kind.
    fn owner_of_kind(&self, kind: &str) -> Option<&OwnerStatus> {
        let owner = self.record.status.owner.as_ref();
        owner.filter(|owner| owner.kind == kind)
    }

    /// Whether a ReplicaSet owns the pod, and has to choose it as the one that goes.
    pub(super) fn has_replica_set(&self) -> bool {
        self.owner_of_kind(kinds::REPLICA_SET).is_some()
    }

    /// Whether the target has the source's name, so that the source goes first.
    pub(super) fn is_sequential(&self) -> bool {
        self.record.status.strategy == Some(Strategy::Sequential)
    }

    /// Whether the StatefulSet may be gone.
    pub(super) fn has_let_go(&self) -> bool {
        let owner = self.record.status.owner.as_ref();
        owner.is_some_and(|owner| owner.let_go)
    }

    /// Claims the StatefulSet, waiting for other migrations of its pods: one at a time has it gone,
    /// for the seconds that its pod's name is free. The source serves meanwhile.
    pub(super) async fn claim_set(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.let_go_order() else {
            return Ok(());
        };
        // Remembered first, so that whoever takes over puts it back.
        if !self.has_let_go() {
            if let Some(owner) = &mut self.record.status.owner {
                owner.let_go = true;
            }
            self.save().await?;
        }
        let began = self.ports.clock.elapsed();
        let clock = std::sync::Arc::clone(&self.ports.clock);
        let (mut backoff, mut said) = (Backoff::looks(), false);
        loop {
            let cluster = &self.ports.cluster;
            let claim = self
                .patiently("keep the StatefulSet's manifest", || {
                    cluster.claim_set(&order)
                })
                .await?;
            let Claim::Of(other) = claim else {
                return Ok(());
            };
            if self.ports.clock.elapsed() - began > OTHERS {
                return Err(Trouble::failed(
                    format!("migration {other} has let StatefulSet {} go", order.set),
                    format!("it has not been put back within {} s", OTHERS.as_secs()),
                )
                .hint(format!("see what it does: ms2m status {other}")));
            }
            if !said {
                said = true;
                self.step(format!(
                    "migration {other} has let StatefulSet {} go: waiting until it is back",
                    order.set
                ));
            }
            self.unless_stopped(backoff.pause(&*clock)).await?;
        }
    }

    fn let_go_order(&self) -> Option<LetGoOrder> {
        let set = self.owner_of_kind(kinds::STATEFUL_SET)?;
        Some(LetGoOrder {
            migration: self.record.name.clone(),
            pod: self.record.spec.source_pod.clone(),
            pod_uid: Self::known(self.record.status.source_pod_uid.as_ref()).to_owned(),
            set: set.name.clone(),
        })
    }

    /// Ensures that the StatefulSet does not make the pod anew. In the second handoff it has
    /// been gone since the first.
    pub(super) async fn let_owner_go(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.let_go_order() else {
            return Ok(());
        };
        let cluster = &self.ports.cluster;
        self.patiently("let the StatefulSet give the pod up", || {
            cluster.let_go(&order)
        })
        .await?;
        if !self.is_takeover() {
            self.step(format!(
                "StatefulSet {} deleted without its pods; its manifest is kept in ConfigMap {}",
                order.set,
                kept_name(&order.set)
            ));
        }
        Ok(())
    }

    /// Puts the StatefulSet back as soon as it can do no harm: others may be waiting for it. Where
    /// that fails it is tried again at the end.
    pub(super) async fn put_owner_back_early(&mut self) -> Result<(), Trouble> {
        if !self.has_let_go() {
            return Ok(());
        }
        let target = self.target_pod().to_owned();
        match self.put_owner_back(Some(&target)).await {
            Ok(()) => self.save().await,
            Err(Trouble::Failed(error)) => {
                self.warn(format!("the StatefulSet is not back yet: {error}"));
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// Ensures that the StatefulSet is there again and, where `pod` is to be its own, has adopted it.
    /// The record says so once it is saved.
    pub(super) async fn put_owner_back(&mut self, pod: Option<&str>) -> Result<(), Trouble> {
        if !self.has_let_go() {
            return Ok(());
        }
        let owner = self.record.status.owner.clone().unwrap_or_default();
        let cluster = std::sync::Arc::clone(&self.ports.cluster);
        let adoption = self
            .patiently("put the StatefulSet back", || {
                cluster.take_back(&self.record.name, &owner.name, pod)
            })
            .await?;
        let name = &owner.name;
        match (adoption, pod) {
            (Adoption::Adopted, Some(pod)) => {
                self.step(format!(
                    "StatefulSet {name} is there, and pod {pod} its own"
                ));
            }
            (Adoption::Adopted, None) => self.step(format!("StatefulSet {name} is there")),
            (Adoption::NotOurs, _) => {}
            (Adoption::Refused(why), _) => self.warn(format!(
                "StatefulSet {name} is there again, but pod {} is not its own: {why}",
                pod.unwrap_or_default()
            )),
        }
        if let Some(owner) = &mut self.record.status.owner {
            owner.let_go = false;
        }
        Ok(())
    }

    /// The StatefulSet's way back in a roll-back: the pod that serves is the source.
    pub(super) async fn undo_letting_go(
        &mut self,
        undone: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        if !self.has_let_go() {
            return Ok(());
        }
        let source = self.source_pod().to_owned();
        self.put_owner_back(Some(&source)).await?;
        self.save().await?;
        let name = self.record.status.owner.as_ref();
        let name = name.map(|owner| owner.name.clone()).unwrap_or_default();
        self.tell_undone(undone, &format!("StatefulSet {name} is as it was"));
        Ok(())
    }
}
