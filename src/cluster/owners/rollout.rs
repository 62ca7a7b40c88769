//! A rollout that a partition holds: pods below it are of an older revision, and a set that is made
//! again from its manifest alone would not know that revision any more.
//!
//! So such a set is made again in two steps, as its history went: first with the older template and
//! nothing to update, then, once its controller has that revision for the current one, as it was.
//! Each step says by an annotation of the set how far it has come. Pure.

use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// On a set that has yet to get its own template back.
const FIRST_STEP: &str = "migration.ms2m.io/first-of-two-steps";

/// What is kept of the two revisions of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Revisions {
    /// `status.currentRevision`.
    pub(super) current: String,
    /// `status.updateRevision`.
    pub(super) update: String,
    /// The template of the current one.
    template: Value,
}

impl Revisions {
    /// Those of a set with the ControllerRevision that its status calls the current one; its `data`
    /// is a patch that puts the template back.
    pub(super) fn new(current: &str, update: &str, data: &Value) -> Option<Self> {
        let mut template = data.pointer("/spec/template")?.clone();
        template.as_object_mut()?.remove("$patch");
        Some(Self {
            current: current.to_owned(),
            update: update.to_owned(),
            template,
        })
    }
}

/// The current and the update revision of a set whose rollout is held.
pub(super) fn held(set: &DynamicObject) -> Option<(&str, &str)> {
    let status = |name| set.data["status"][name].as_str();
    let (current, update) = (status("currentRevision")?, status("updateRevision")?);
    let spec = &set.data["spec"];
    let rolls = spec["updateStrategy"]["type"].as_str() != Some("OnDelete");
    let partition = number(&spec["updateStrategy"]["rollingUpdate"]["partition"], 0);
    let start = number(&spec["ordinals"]["start"], 0);
    (rolls && partition > start && current != update).then_some((current, update))
}

/// The set with its older template and no pod to update.
pub(super) fn first_step(set: &DynamicObject, revisions: &Revisions) -> DynamicObject {
    let mut set = set.clone();
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(FIRST_STEP.to_owned(), "true".to_owned());
    let spec = &mut set.data["spec"];
    let end = number(&spec["ordinals"]["start"], 0) + number(&spec["replicas"], 1);
    spec["template"] = revisions.template.clone();
    spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": end}});
    set
}

/// Whether that is how the set is.
pub(super) fn is_first_step(set: &DynamicObject) -> bool {
    let annotations = set.metadata.annotations.as_ref();
    annotations.is_some_and(|it| it.contains_key(FIRST_STEP))
}

/// Whether the set's controller has seen it as it is now, and has that revision in the status.
pub(super) fn has_seen(set: &DynamicObject, field: &str, revision: &str) -> bool {
    let status = &set.data["status"];
    status["observedGeneration"].as_i64() == set.metadata.generation
        && status[field].as_str() == Some(revision)
}

fn number(value: &Value, default: i64) -> i64 {
    value.as_i64().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(partition: i64, current: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "web", "generation": 4},
            "spec": {
                "replicas": 3, "ordinals": {"start": 2}, "template": {"metadata": {"labels": {"v": "2"}}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition, "maxUnavailable": 1}}
            },
            "status": {"observedGeneration": 4, "currentRevision": current, "updateRevision": "web-2"}
        }))
        .expect("a set")
    }

    #[test]
    fn a_rollout_is_held_by_a_partition_above_the_first_pod() {
        assert_eq!(held(&set(4, "web-1")), Some(("web-1", "web-2")));
        assert_eq!(held(&set(4, "web-2")), None, "it is complete");
        assert_eq!(held(&set(2, "web-1")), None, "it is under way");
        let mut on_delete = set(4, "web-1");
        on_delete.data["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        assert_eq!(held(&on_delete), None);
    }

    #[test]
    fn the_first_step_is_the_past() {
        let older = json!({"spec": {"template": {"$patch": "replace", "metadata": {"labels": {"v": "1"}}}}});
        let revisions = Revisions::new("web-1", "web-2", &older).expect("a template");
        let wanted = set(4, "web-1");
        let first = first_step(&wanted, &revisions);
        assert!(is_first_step(&first) && !is_first_step(&wanted));
        let spec = &first.data["spec"];
        assert_eq!(
            spec["template"],
            json!({"metadata": {"labels": {"v": "1"}}})
        );
        let partition = &spec["updateStrategy"]["rollingUpdate"]["partition"];
        assert_eq!(*partition, 5, "beyond the last pod");
        assert_eq!(spec["ordinals"], wanted.data["spec"]["ordinals"]);
    }

    #[test]
    fn a_status_of_an_earlier_spec_says_nothing() {
        let mut seen = set(4, "web-1");
        assert!(has_seen(&seen, "currentRevision", "web-1"));
        assert!(!has_seen(&seen, "currentRevision", "web-2"));
        seen.metadata.generation = Some(5);
        assert!(!has_seen(&seen, "currentRevision", "web-1"));
    }
}
