//! Tests of what owners make of a migration.

use std::collections::BTreeMap;

use super::*;
use crate::migration::ports::{BudgetView, ClaimView, Surroundings};

fn spec() -> StatefulMigrationSpec {
    StatefulMigrationSpec::sample("web-1")
}

fn pod(kind: &str, owner: &str) -> PodView {
    PodView {
        name: "web-1".to_owned(),
        uid: "u".to_owned(),
        annotations: BTreeMap::new(),
        labels: BTreeMap::from([(REVISION.to_owned(), "r1".to_owned())]),
        node: Some("node-a".to_owned()),
        phase: "Running".to_owned(),
        terminating: false,
        ready: true,
        containers: Vec::new(),
        init_containers: Vec::new(),
        volumes: Vec::new(),
        host_ports: false,
        owner: Some(OwnerView {
            kind: kind.to_owned(),
            name: owner.to_owned(),
        }),
        mirror: false,
    }
}

fn set() -> SetView {
    SetView {
        replicas: 3,
        observed: true,
        current_revision: "r1".to_owned(),
        update_revision: "r1".to_owned(),
        ..SetView::default()
    }
}

fn world(owner: Option<OwnerState>) -> InCluster {
    InCluster {
        around: Surroundings {
            owner,
            ..Surroundings::default()
        },
        ..InCluster::default()
    }
}

fn of_set(spec: &StatefulMigrationSpec, set: SetView) -> Result<Strategy, String> {
    let world = world(Some(OwnerState::StatefulSet(set)));
    planned(spec, &pod("StatefulSet", "web"), &world)
}

fn planned(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    world: &InCluster,
) -> Result<Strategy, String> {
    strategy(spec, pod, world, &mut Vec::new())
        .map(|(strategy, _)| strategy)
        .map_err(|error| error.what)
}

#[track_caller]
fn refused(result: Result<Strategy, String>, words: &str) {
    let what = result.expect_err("it is refused");
    assert!(what.contains(words), "{what}");
}

#[test]
fn a_set_is_moved_sequentially_unless_somebody_says_otherwise() {
    assert_eq!(of_set(&spec(), set()), Ok(Strategy::Sequential));
    let shadow = StatefulMigrationSpec {
        migration_strategy: Some(Strategy::ShadowPod),
        ..spec()
    };
    assert_eq!(of_set(&shadow, set()), Ok(Strategy::ShadowPod));
    let mirror = StatefulMigrationSpec {
        handoff: Some(Handoff::Mirror),
        ..spec()
    };
    refused(
        of_set(&mirror, set()),
        "handoff Mirror goes with strategy ShadowPod",
    );
}

#[test]
fn a_set_that_would_not_be_the_same_again_is_refused() {
    let deletes = SetView {
        deletes_claims: true,
        ..set()
    };
    refused(of_set(&spec(), deletes), "deletes its pods' claims");
    let rolling = SetView {
        update_revision: "r2".to_owned(),
        ..set()
    };
    refused(of_set(&spec(), rolling.clone()), "is under way");
    let held = SetView {
        partition: 2,
        ..rolling.clone()
    };
    refused(of_set(&spec(), held.clone()), "is under way");
    let complete = SetView {
        current_pods: 2,
        updated_pods: 1,
        ..held
    };
    assert_eq!(of_set(&spec(), complete.clone()), Ok(Strategy::Sequential));
    let on_the_other_side = SetView {
        partition: 1,
        current_pods: 1,
        updated_pods: 2,
        ..complete
    };
    refused(of_set(&spec(), on_the_other_side), "is under way");
    let on_delete = SetView {
        on_delete: true,
        ..rolling
    };
    assert_eq!(of_set(&spec(), on_delete), Ok(Strategy::Sequential));
    let shrunk = SetView {
        replicas: 1,
        ..set()
    };
    refused(of_set(&spec(), shrunk), "is about to go");
    let moved_range = SetView { start: 2, ..set() };
    refused(of_set(&spec(), moved_range), "is about to go");
}

#[test]
fn a_set_that_somebody_manages_takes_a_word() {
    let managed = SetView {
        owner: Some(OwnerView {
            kind: "RabbitmqCluster".to_owned(),
            name: "mq".to_owned(),
        }),
        ..set()
    };
    refused(
        of_set(&spec(), managed.clone()),
        "is managed by RabbitmqCluster mq",
    );
    let insisted = StatefulMigrationSpec {
        orphan: Some(true),
        ..spec()
    };
    assert_eq!(of_set(&insisted, managed), Ok(Strategy::Sequential));
}

#[test]
fn claims_of_one_node_and_budgets_decide_between_the_strategies() {
    let mut world = world(Some(OwnerState::StatefulSet(set())));
    world.around.claims = vec![ClaimView {
        name: "data-web-1".to_owned(),
        one_node: true,
        ..ClaimView::default()
    }];
    let pod = pod("StatefulSet", "web");
    assert_eq!(planned(&spec(), &pod, &world), Ok(Strategy::Sequential));
    let shadow = StatefulMigrationSpec {
        migration_strategy: Some(Strategy::ShadowPod),
        ..spec()
    };
    refused(planned(&shadow, &pod, &world), "claim data-web-1");
    world.around.claims.clear();
    world.around.budgets = vec![BudgetView {
        name: "web".to_owned(),
        allowed: 0,
    }];
    refused(planned(&spec(), &pod, &world), "PodDisruptionBudget web");
    assert_eq!(planned(&shadow, &pod, &world), Ok(Strategy::ShadowPod));
    let forced = StatefulMigrationSpec {
        force: Some(true),
        ..spec()
    };
    assert_eq!(planned(&forced, &pod, &world), Ok(Strategy::Sequential));
}

#[test]
fn a_replica_set_has_to_be_at_rest() {
    let pod = pod("ReplicaSet", "web-5d");
    let rest = ReplicaSetView {
        replicas: 2,
        pods: 2,
        ready: 2,
        ..ReplicaSetView::default()
    };
    let of = |set: ReplicaSetView| {
        let world = world(Some(OwnerState::ReplicaSet(set)));
        planned(&spec(), &pod, &world)
    };
    assert_eq!(of(rest.clone()), Ok(Strategy::ShadowPod));
    let unready = ReplicaSetView {
        ready: 1,
        ..rest.clone()
    };
    refused(of(unready), "1 of them ready");
    let rolling = ReplicaSetView {
        rolling_out: true,
        ..rest
    };
    refused(of(rolling), "a rollout of ReplicaSet web-5d is under way");
}

#[test]
fn other_owners_are_refused_each_with_its_reason() {
    let of =
        |kind: &str, spec: &StatefulMigrationSpec| planned(spec, &pod(kind, "it"), &world(None));
    for kind in ["DaemonSet", "Job", "Node", "Rollout"] {
        refused(of(kind, &spec()), &format!("belongs to {kind} it"));
    }
    let insisted = StatefulMigrationSpec {
        orphan: Some(true),
        ..spec()
    };
    assert_eq!(of("Rollout", &insisted), Ok(Strategy::ShadowPod));
    for kind in ["DaemonSet", "Job"] {
        refused(of(kind, &insisted), "belongs to");
    }
    refused(of("StatefulSet", &spec()), "is gone or being deleted");
}
