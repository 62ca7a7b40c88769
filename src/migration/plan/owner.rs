//! The pod's owner → the strategy, or the reason why it stands against a migration. Pure.
//!
//! Every owner fights a migration in its own way: a StatefulSet makes a pod that is gone anew at
//! once, a ReplicaSet removes whichever pod it likes least, a Job counts, a DaemonSet has one pod a
//! node (facts.md, Owners).

use super::InCluster;
use crate::api::{Handoff, StaleIdentity, StatefulMigrationSpec, Strategy};
use crate::explain;
use crate::migration::error::Error;
use crate::migration::ports::{OwnerState, OwnerView, PodView, ReplicaSetView, SetView};
use crate::migration::steps::owner::kinds::{REPLICA_SET, STATEFUL_SET};

/// Label by which a StatefulSet knows the revision of a pod.
const REVISION: &str = "controller-revision-hash";

/// The strategy, and the owner where it has a part in the migration.
pub(super) fn strategy(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    world: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(Strategy, Option<OwnerView>), Error> {
    let wanted = spec.migration_strategy;
    let Some(owner) = &pod.owner else {
        return without_owner(pod, wanted).map(|strategy| (strategy, None));
    };
    let strategy = match (&world.around.owner, owner.kind.as_str()) {
        (Some(OwnerState::StatefulSet(set)), _) => {
            stateful_set(spec, pod, owner, set)?;
            let strategy = wanted.unwrap_or(Strategy::Sequential);
            of_set(spec, pod, strategy, world)?;
            strategy
        }
        (Some(OwnerState::ReplicaSet(set)), _) => {
            replica_set(owner, set)?;
            shadow_only(pod, owner, wanted)?
        }
        (None, STATEFUL_SET | REPLICA_SET) => {
            return Err(Error::refused(format!(
                "{} {} of pod {} is gone or being deleted",
                owner.kind, owner.name, pod.name
            ))
            .hint("if its pods are to stay, make it again first: it adopts them"));
        }
        (None, _) => {
            unknown(spec, pod, owner, warnings)?;
            let strategy = shadow_only(pod, owner, wanted)?;
            one_node_claims(pod, world)?;
            return Ok((strategy, None));
        }
    };
    if strategy == Strategy::ShadowPod {
        one_node_claims(pod, world)?;
    }
    Ok((strategy, Some(owner.clone())))
}

fn without_owner(pod: &PodView, wanted: Option<Strategy>) -> Result<Strategy, Error> {
    match wanted {
        Some(Strategy::Sequential) => Err(Error::refused(format!(
            "strategy Sequential is for pods of a StatefulSet, and pod {} has no owner",
            pod.name
        ))
        .hint("leave --strategy out, or choose shadow-pod")),
        Some(Strategy::ShadowPod) | None => Ok(Strategy::ShadowPod),
    }
}

fn shadow_only(
    pod: &PodView,
    owner: &OwnerView,
    wanted: Option<Strategy>,
) -> Result<Strategy, Error> {
    match wanted {
        Some(Strategy::Sequential) => Err(Error::refused(format!(
            "strategy Sequential is for pods of a StatefulSet, and pod {} belongs to {} {}",
            pod.name, owner.kind, owner.name
        ))
        .because("its owner would start an empty pod the moment that the source is gone")
        .hint("leave --strategy out, or choose shadow-pod")),
        Some(Strategy::ShadowPod) | None => Ok(Strategy::ShadowPod),
    }
}

/// Both pods run at once, on two nodes.
fn one_node_claims(pod: &PodView, world: &InCluster) -> Result<(), Error> {
    let one_node = world.around.claims.iter().find(|claim| claim.one_node);
    match one_node {
        None => Ok(()),
        Some(claim) => Err(Error::refused(format!(
            "claim {} of pod {} can be mounted on one node at a time",
            claim.name, pod.name
        ))
        .code(&explain::CLAIM_ONE_NODE)
        .because("with strategy ShadowPod source and target run side by side on two nodes")
        .hint("a pod of a StatefulSet can be moved with --strategy sequential: the source lets go of the claim first")),
    }
}

fn stateful_set(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    owner: &OwnerView,
    set: &SetView,
) -> Result<(), Error> {
    let name = &owner.name;
    if set.terminating {
        return Err(
            Error::refused(format!("StatefulSet {name} is being deleted"))
                .hint("if its pods are to stay, make it again first: it adopts them"),
        );
    }
    if let Some(above) = &set.owner
        && spec.orphan != Some(true)
    {
        return Err(Error::refused(format!(
            "StatefulSet {name} is managed by {} {}, which would put it back in mid-migration",
            above.kind, above.name
        ))
        .hint("let that operator rest for the time of the migration, then say --orphan"));
    }
    if !set.observed {
        return Err(
            Error::refused(format!("StatefulSet {name} has just been changed"))
                .code(&explain::ROLLOUT_UNDER_WAY)
                .hint("try again in a moment"),
        );
    }
    if set.deletes_claims {
        return Err(Error::refused(format!(
            "StatefulSet {name} deletes its pods' claims when it is deleted or scaled down"
        ))
        .code(&explain::CLAIMS_DELETED)
        .because("ms2m has to delete the set, without its pods, for a moment")
        .hint(
            "set spec.persistentVolumeClaimRetentionPolicy to Retain for the time of the migration",
        ));
    }
    let ordinal = ordinal(&pod.name, name);
    let range = set.start..set.start + set.replicas;
    if !ordinal.is_some_and(|ordinal| range.contains(&ordinal)) {
        return Err(Error::refused(format!(
            "pod {} is not one of the {} that StatefulSet {name} keeps, so it is about to go",
            pod.name, set.replicas
        ))
        .hint(format!("see what it keeps: kubectl get statefulset {name}")));
    }
    revision(pod, name, set)
}

/// A rollout that a partition holds is put back as it is held; one that moves cannot be.
fn revision(pod: &PodView, name: &str, set: &SetView) -> Result<(), Error> {
    if set.on_delete || set.current_revision == set.update_revision || is_held(pod, name, set) {
        return Ok(());
    }
    Err(Error::refused(format!("a rollout of StatefulSet {name} is under way"))
        .code(&explain::ROLLOUT_UNDER_WAY)
        .because("ms2m has to delete the set, without its pods, for a moment, and it would forget how far it has come")
        .hint(format!("wait for it to end (kubectl rollout status statefulset/{name}), or undo it")))
}

/// Whether every pod is on its side of the partition, this one among them.
fn is_held(pod: &PodView, name: &str, set: &SetView) -> bool {
    let (start, end) = (set.start, set.start + set.replicas);
    let partition = set.partition.clamp(start, end);
    let newer = ordinal(&pod.name, name).is_some_and(|ordinal| ordinal >= partition);
    let own = if newer {
        &set.update_revision
    } else {
        &set.current_revision
    };
    partition > start
        && set.current_pods == partition - start
        && set.updated_pods == end - partition
        && pod.labels.get(REVISION) == Some(own)
}

/// The number in the name of a StatefulSet's pod.
fn ordinal(pod: &str, set: &str) -> Option<i64> {
    let rest = pod.strip_prefix(set)?.strip_prefix('-')?;
    rest.parse().ok()
}

/// What stands against one strategy and not against the other.
fn of_set(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    strategy: Strategy,
    world: &InCluster,
) -> Result<(), Error> {
    match strategy {
        Strategy::Sequential if spec.handoff == Some(Handoff::Mirror) => {
            Err(Error::refused("handoff Mirror goes with strategy ShadowPod alone")
                .code(&explain::OPTIONS_CLASH)
                .because("the source stays on its queue until the target has caught up, and sequentially it goes first")
                .hint("add --strategy shadow-pod"))
        }
        Strategy::Sequential => {
            let exhausted = world.around.budgets.iter().find(|budget| budget.allowed < 1);
            match exhausted {
                Some(budget) if spec.force != Some(true) => Err(Error::refused(format!(
                    "PodDisruptionBudget {} allows no pod to be missing now",
                    budget.name
                ))
                .code(&explain::BUDGET_EXHAUSTED)
                .because("sequentially the source goes before the target is there")
                .hint("wait until the other pods are healthy, or choose --strategy shadow-pod")
                .hint("--force goes on all the same")),
                _ => Ok(()),
            }
        }
        Strategy::ShadowPod if spec.stale_identity == Some(StaleIdentity::StopSource) => {
            Err(Error::refused("--stale-identity stop-source does not go with a shadow pod of a StatefulSet")
                .code(&explain::OPTIONS_CLASH)
                .because(
                    "its state moves twice, and a process that keeps the name of its first pod cannot be told to the \
                     second time",
                )
                .hint("choose --strategy sequential: there the pod keeps its name"))
        }
        Strategy::ShadowPod if pod.host_ports => Err(Error::refused(format!(
            "pod {} asks for ports of its node",
            pod.name
        ))
        .because("with strategy ShadowPod a StatefulSet's pod changes its name on the target node, where two pods would ask for one port")
        .hint("choose --strategy sequential")),
        Strategy::ShadowPod => Ok(()),
    }
}

/// It removes pods that are not ready before any other.
fn replica_set(owner: &OwnerView, set: &ReplicaSetView) -> Result<(), Error> {
    let name = &owner.name;
    let above = set.owner.as_ref().map_or_else(
        || format!("ReplicaSet {name}"),
        |above| format!("{} {}", above.kind, above.name),
    );
    if set.terminating {
        return Err(
            Error::refused(format!("ReplicaSet {name} is being deleted"))
                .hint("its pods go with it; start again with one that stays"),
        );
    }
    if set.rolling_out {
        return Err(Error::refused(format!("a rollout of {above} is under way"))
            .code(&explain::ROLLOUT_UNDER_WAY)
            .because("its old pods are about to go, state and all")
            .hint(format!(
                "wait for it to end, then start again; the pods of {above} have other names then"
            )));
    }
    if set.pods != set.replicas || set.ready != set.replicas {
        return Err(Error::refused(format!(
            "{above} has {} pods, {} of them ready, and wants {}",
            set.pods, set.ready, set.replicas
        ))
        .code(&explain::ROLLOUT_UNDER_WAY)
        .because("of two pods it removes the one that is not ready, whichever ms2m means")
        .hint(format!(
            "wait until all are ready: kubectl get replicaset {name}"
        )));
    }
    Ok(())
}

fn unknown(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    owner: &OwnerView,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let belongs = format!("pod {} belongs to {} {}", pod.name, owner.kind, owner.name);
    let refused = |because: &str, hint: &str| {
        Err(Error::refused(belongs.clone()).because(because).hint(hint))
    };
    match owner.kind.as_str() {
        "DaemonSet" => refused(
            "a DaemonSet has one pod on each of its nodes, so there is nowhere to move it to",
            "if the pod's state matters, run it as a StatefulSet",
        ),
        "Job" => refused(
            "a Job counts how its pods end, and would start another one in the place of this",
            "let it end, or run it as a StatefulSet",
        ),
        "Node" => refused(
            "it is a static pod, which only its node's kubelet can move",
            "move its manifest to the other node instead",
        ),
        _ if spec.orphan == Some(true) => {
            warnings.push(format!(
                "{belongs}: what that owner does when the source goes is not known, and the target has no owner"
            ));
            Ok(())
        }
        _ => refused(
            "ms2m does not know what that owner does when the pod goes",
            "--orphan moves it all the same; the target has no owner then",
        ),
    }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
