//! Sizes in the course of a rollout.

use serde_json::{Value, json};

use super::*;

fn deployment(wanted: i32, strategy: Value) -> Deployment {
    serde_json::from_value(json!({ "spec": {
        "replicas": wanted, "selector": {}, "template": {}, "strategy": strategy,
    } }))
    .expect("is a deployment")
}

fn rolls(surge: Value, unavailable: Value) -> Value {
    json!({ "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } })
}

fn set(name: &str, size: i32, available: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": {
            "deployment.kubernetes.io/desired-replicas": "4",
            "deployment.kubernetes.io/max-replicas": "5",
        } },
        "spec": { "replicas": size, "selector": {} },
        "status": { "replicas": size, "availableReplicas": available },
    }))
    .expect("is a set")
}

fn limits(wanted: i32, strategy: Value) -> (i32, i32) {
    let limits = Limits::of(&deployment(wanted, strategy));
    (limits.surge, limits.unavailable)
}

#[test]
fn shares_of_the_size_are_rounded_for_safety() {
    assert_eq!(limits(1, json!({})), (1, 0));
    assert_eq!(limits(10, json!({})), (3, 2));
    assert_eq!(limits(4, rolls(json!(0), json!("10%"))), (0, 1));
    assert_eq!(limits(4, rolls(json!("50%"), json!(9))), (2, 4));
    assert_eq!(limits(4, json!({ "type": "Recreate" })), (0, 0));
}

#[test]
fn a_rolling_update_never_has_too_few_or_too_many() {
    let one = deployment(1, rolls(json!(1), json!(0)));
    let old = [set("old", 1, 1)];
    let step = |new: &ReplicaSet, old: &[ReplicaSet]| rolling(&one, new, old);
    assert_eq!(step(&set("new", 0, 0), &old), [("new".to_owned(), 1)]);
    assert!(
        step(&set("new", 1, 0), &old).is_empty(),
        "it is not available yet"
    );
    assert_eq!(step(&set("new", 1, 1), &old), [("old".to_owned(), 0)]);
    assert!(step(&set("new", 1, 1), &[set("old", 0, 0)]).is_empty());
    let no_surge = deployment(1, rolls(json!(0), json!(1)));
    let first = rolling(&no_surge, &set("new", 0, 0), &old);
    assert_eq!(first, [("old".to_owned(), 0)]);
}

#[test]
fn broken_pods_of_the_old_go_first() {
    let four = deployment(4, rolls(json!(1), json!(1)));
    let old = [set("a", 2, 2), set("b", 2, 1)];
    let sizes = rolling(&four, &set("new", 1, 1), &old);
    assert_eq!(sizes, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
}

#[test]
fn scaling_reaches_the_set_that_has_the_pods() {
    let four = deployment(6, json!({}));
    let (new, old) = (set("new", 4, 4), [set("old", 0, 0)]);
    assert!(was_scaled(&four, std::slice::from_ref(&new)));
    assert_eq!(scaled(&four, Some(&new), &old), [("new".to_owned(), 6)]);
    assert_eq!(
        scaled(&four, Some(&set("new", 0, 0)), &old),
        [("new".to_owned(), 6)]
    );
    assert!(!was_scaled(&deployment(4, json!({})), &[new]));
}

#[test]
fn scaling_in_a_rollout_keeps_the_shares() {
    let eight = deployment(8, rolls(json!(2), json!(0)));
    let sizes = scaled(&eight, Some(&set("new", 1, 1)), &[set("old", 4, 4)]);
    assert_eq!(sizes, [("old".to_owned(), 8), ("new".to_owned(), 2)]);
    let none = deployment(0, rolls(json!(2), json!(0)));
    let sizes = scaled(&none, Some(&set("new", 1, 1)), &[set("old", 4, 4)]);
    assert_eq!(sizes, [("old".to_owned(), 0), ("new".to_owned(), 0)]);
}
