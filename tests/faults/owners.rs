//! Pods that belong to someone: what fails after the source has gone, what somebody else does to a
//! StatefulSet in mid-migration, and each call that an owner takes, failing in passing.

use serde_json::{Value, json};

use crate::case::{Case, End, FaultOrder, Kind};
use crate::place::Place;
use crate::support::eventually;
use crate::trials::{Trials, Turns};

/// Calls on top of those of a pod that nobody owns: name, whose pod, verb, path, and how many of
/// that kind come before.
const CALLS: [(&str, Kind, &str, &str, usize); 10] = [
    ("read_the_set", Kind::Sequential, "get", "/statefulsets/", 0),
    (
        "delete_the_set",
        Kind::Sequential,
        "delete",
        "/statefulsets/",
        0,
    ),
    (
        "make_the_set_again",
        Kind::Sequential,
        "create",
        "/statefulsets$",
        0,
    ),
    (
        "keep_manifests",
        Kind::Sequential,
        "create",
        "/configmaps$",
        1,
    ),
    (
        "read_what_is_kept",
        Kind::Sequential,
        "get",
        "/configmaps/.*-ms2m-kept$",
        0,
    ),
    (
        "forget_what_is_kept",
        Kind::Sequential,
        "delete",
        "/configmaps/",
        0,
    ),
    (
        "make_the_target_in_its_place",
        Kind::Sequential,
        "create",
        "/pods$",
        1,
    ),
    (
        "read_the_replica_set",
        Kind::ReplicaSet,
        "get",
        "/replicasets/",
        0,
    ),
    (
        "mark_the_source",
        Kind::ReplicaSet,
        "patch",
        "/pods/POD$",
        0,
    ),
    (
        "make_the_second_target",
        Kind::Takeover,
        "create",
        "/pods$",
        2,
    ),
];

pub(crate) fn add(trials: &mut Trials, turns: &Turns) {
    for call in CALLS {
        let name = format!("owners::{}_fails_in_passing", call.0);
        trials.add(name, move || fails_in_passing(call));
        trials.add(format!("owners::{}_is_denied", call.0), move || {
            is_denied(call)
        });
    }
    trials.add("owners::what_cannot_be_restored_comes_home", comes_home);
    for first in 1..=2 {
        let name = format!("owners::killed_on_the_way_home_from_{first}");
        trials.add(name, move || killed_on_the_way_home(first));
    }
    trials.add(
        "owners::what_crashes_before_it_was_seen_comes_home",
        crashes_unseen,
    );
    // All faults are taken back in these.
    trials.add_in_turn(
        turns,
        "owners::neither_node_restores_it_for_a_while",
        nowhere_for_a_while,
    );
    trials.add("owners::somebody_puts_the_set_back", put_back_by_somebody);
    trials.add(
        "owners::the_shadow_crashes_before_it_takes_over",
        shadow_crashes,
    );
    for (name, on) in [("checkpoint", "checkpoint"), ("restore", "restore")] {
        let name = format!("owners::the_second_{name}_of_a_takeover_fails");
        trials.add_in_turn(turns, name, move || second_handoff_fails(on));
    }
}

fn order<'a>(
    verb: &'a str,
    path: &'a str,
    skip: usize,
    times: u32,
    after: bool,
    action: Value,
) -> FaultOrder<'a> {
    FaultOrder {
        verb,
        path,
        skip,
        times,
        after,
        action,
    }
}

async fn fails_in_passing((name, kind, verb, path, skip): (&str, Kind, &str, &str, usize)) {
    let mut case = Case::owned(&name.replace('_', "-"), kind).await;
    let path = path.replace("POD", &case.app.pod);
    let mut ordered = Vec::new();
    for (action, after) in [
        (
            json!({"status": 500, "message": "etcdserver: request timed out"}),
            false,
        ),
        (json!({"status": 429, "retryAfter": 1}), false),
        (json!({"cut": true}), false),
        (json!({"cut": true}), true),
    ] {
        ordered.push(case.fault(order(verb, &path, skip, 1, after, action)).await);
    }
    let outcome = case.migrate().outcome().await;
    let words = format!("{outcome:?}");
    let (mut left, total) = (0, ordered.len());
    for fault in ordered {
        left += usize::from(case.cancel(fault).await);
    }
    let end = case.settle(outcome).await;
    assert_eq!(end, End::Completed, "{words}");
    assert!(
        left < total,
        "no fault was met: is there still such a call? {words}"
    );
    case.ends_well(end).await;
}

/// 403 for ever, until it has ended: then somebody grants the right, and it is run again.
async fn is_denied((name, kind, verb, path, skip): (&str, Kind, &str, &str, usize)) {
    let mut case = Case::owned(&format!("no-{}", name.replace('_', "-")), kind).await;
    let path = path.replace("POD", &case.app.pod);
    let action = json!({"status": 403, "message": "forbidden: ordered fault"});
    let fault = case
        .fault(order(verb, &path, skip, 1_000_000, false, action))
        .await;
    let outcome = case.migrate().outcome().await;
    case.cancel(fault).await;
    if outcome.code == Some(3) {
        assert!(
            outcome.stderr.contains("nothing was changed"),
            "{outcome:?}"
        );
        return case.ends_well(End::RolledBack).await;
    }
    let end = case.settle(outcome).await;
    case.ends_well(end).await;
}

async fn restore_fails_on_target(case: &Case, times: u32) {
    let pod = format!("^{}/", case.app.namespace);
    let fault = json!({
        "pod": pod, "on": "restore", "error": "image not known", "times": times, "node": case.app.to,
    });
    case.place.world.order("/kubelet", fault).await;
}

/// The set has the pod again, on the node that it came from, restored from the same checkpoint.
async fn is_home(case: Case) {
    let pod = case.pod(&case.app.pod).await.expect("it is there");
    assert_eq!(pod["spec"]["nodeName"], case.app.from.as_str());
    let report = case.serves(&case.app.pod).await;
    assert_eq!(report.restores, 1, "with its state");
    case.ends_well(End::RolledBack).await;
}

async fn comes_home() {
    let mut case = Case::owned("home", Kind::Sequential).await;
    restore_fails_on_target(&case, 1000).await;
    let outcome = case.migrate().outcome().await.expect_code(4);
    assert!(outcome.stderr.contains("image not known"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("was restored on node"),
        "{outcome:?}"
    );
    let end = case.settle(outcome).await;
    assert_eq!(end, End::RolledBack);
    is_home(case).await;
}

async fn killed_on_the_way_home(first: usize) {
    let mut line = first;
    while killed_home_at(line).await {
        line += 2;
    }
}

/// Kills `ms2m` when it has said so many lines since it turned back. `false` when it ended before.
async fn killed_home_at(line: usize) -> bool {
    let mut case = Case::owned(&format!("home-{line}"), Kind::Sequential).await;
    restore_fails_on_target(&case, 1000).await;
    let mut running = case.migrate();
    let said = running.says("rolling back").await && running.says_more(line).await;
    if said {
        running.signal("KILL").await;
    }
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::RolledBack);
    is_home(case).await;
    said
}

/// Then it is unfinished, with everything that is needed still there, and goes on when it can.
async fn nowhere_for_a_while() {
    let mut case = Case::owned_at(Place::disturbed().await, "nowhere", Kind::Sequential).await;
    case.kubelet_fault("restore", "image not known", 1000).await;
    let outcome = case.migrate().outcome().await.expect_code(5);
    assert!(
        outcome.stderr.contains("its state is in image"),
        "{outcome:?}"
    );
    case.place.world.clear_faults().await;
    let end = case.settle(outcome).await;
    assert_eq!(end, End::RolledBack);
    is_home(case).await;
}

/// As a GitOps controller does: the set is there again, and has made an empty pod in the place of
/// the one that has gone.
async fn put_back_by_somebody() {
    let mut case = Case::owned("gitops", Kind::Sequential).await;
    let sets = format!(
        "/apis/apps/v1/namespaces/{}/statefulsets",
        case.app.namespace
    );
    let path = format!("{sets}/{}", case.app.workload);
    let mut set = case.place.api.get(&path).await.expect("the set");
    set["metadata"] = json!({"name": set["metadata"]["name"], "labels": set["metadata"]["labels"]});
    let mut running = case.migrate();
    assert!(running.says("deleted without its pods").await);
    case.place.api.post(&sets, &set).await;
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}

/// The shadow serves on under its own name, and the next run tries again.
async fn second_handoff_fails(on: &str) {
    let place = Place::disturbed().await;
    let mut case = Case::owned_at(place, &format!("second-{on}"), Kind::Takeover).await;
    let mut running = case.migrate();
    assert!(running.says("its state goes to pod").await);
    case.kubelet_fault(on, "criu failed: type RESTORE errno 0", 40)
        .await;
    let outcome = running.outcome().await.expect_code(5);
    assert!(
        outcome
            .stderr
            .contains("has moved and serves under that name"),
        "{outcome:?}"
    );
    let shadow = format!("{}-shadow", case.app.pod);
    case.serves(&shadow).await;
    case.place.world.clear_faults().await;
    let end = case.settle(outcome).await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}

/// As after any crash of a pod: its state is gone, its messages are not, and its set starts an empty
/// one in its place.
async fn shadow_crashes() {
    let case = Case::owned("shadow-crash", Kind::Takeover).await;
    let mut running = case.migrate();
    assert!(running.says("its state goes to pod").await);
    let text = "criu failed: type DUMP errno 0";
    case.kubelet_fault("checkpoint", text, 40).await;
    running.outcome().await.expect_code(5);
    let shadow = format!("{}-shadow", case.app.pod);
    let full = format!("{}/{shadow}", case.app.namespace);
    let order = json!({"pod": full, "do": "kill"});
    case.place.world.order("/container", order).await;
    eventually("the shadow has ended", async || {
        let pod = case.pod(&shadow).await?;
        (pod["status"]["phase"] == "Failed").then_some(())
    })
    .await;
    let outcome = case.migrate().outcome().await.expect_code(9);
    assert!(outcome.stderr.contains("nobody serves"), "{outcome:?}");
    let report = case.serves(&case.app.pod).await;
    assert_eq!(report.restores, 0, "the set has started an empty one");
    assert!(
        case.pod(&shadow).await.is_none(),
        "nothing is left of the shadow"
    );
    case.nothing_is_left(End::RolledBack).await;
    case.clear().await;
}

/// Nothing was taken from the replay queue yet, so the checkpoint is as good as it was.
async fn crashes_unseen() {
    let mut case = Case::owned("unseen", Kind::Sequential).await;
    let mut running = case.migrate();
    assert!(running.says("target restored").await);
    let full = format!("{}/{}", case.app.namespace, case.app.pod);
    let order = json!({"pod": full, "do": "kill"});
    case.place.world.order("/container", order).await;
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::RolledBack);
    is_home(case).await;
}
