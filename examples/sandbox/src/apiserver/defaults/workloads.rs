//! Defaults of the workloads that make pods.

use serde_json::{Map, Value, json};

use super::pod;
use crate::apiserver::meta::{self, default_field, object_at};

fn template(object: &mut Value, pointer: &str) {
    if let Some(template) = object.pointer_mut(pointer).filter(|t| t.is_object()) {
        object_at(template, "metadata");
        object_at(template, "spec");
        pod::fill_spec(&mut template["spec"]);
    }
}

fn spec(object: &mut Value) -> &mut Map<String, Value> {
    object_at(object, "spec")
}

pub(crate) fn deployment(object: &mut Value) {
    template(object, "/spec/template");
    let spec = spec(object);
    default_field(spec, "replicas", 1);
    default_field(spec, "revisionHistoryLimit", 10);
    default_field(spec, "progressDeadlineSeconds", 600);
    default_field(spec, "strategy", json!({}));
    if let Some(Value::Object(strategy)) = spec.get_mut("strategy") {
        default_field(strategy, "type", "RollingUpdate");
        if strategy.get("type") == Some(&json!("RollingUpdate")) {
            default_field(strategy, "rollingUpdate", json!({}));
            if let Some(Value::Object(rolling)) = strategy.get_mut("rollingUpdate") {
                default_field(rolling, "maxUnavailable", "25%");
                default_field(rolling, "maxSurge", "25%");
            }
        }
    }
}

pub(crate) fn replica_set(object: &mut Value) {
    template(object, "/spec/template");
    default_field(spec(object), "replicas", 1);
}

pub(crate) fn stateful_set(object: &mut Value) {
    template(object, "/spec/template");
    let spec = spec(object);
    default_field(spec, "replicas", 1);
    default_field(spec, "revisionHistoryLimit", 10);
    default_field(spec, "podManagementPolicy", "OrderedReady");
    default_field(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    if let Some(Value::Object(policy)) = spec.get_mut("persistentVolumeClaimRetentionPolicy") {
        default_field(policy, "whenDeleted", "Retain");
        default_field(policy, "whenScaled", "Retain");
    }
    default_field(spec, "updateStrategy", json!({}));
    if let Some(Value::Object(strategy)) = spec.get_mut("updateStrategy") {
        default_field(strategy, "type", "RollingUpdate");
        if strategy.get("type") == Some(&json!("RollingUpdate")) {
            default_field(strategy, "rollingUpdate", json!({}));
            if let Some(Value::Object(rolling)) = strategy.get_mut("rollingUpdate") {
                default_field(rolling, "partition", 0);
            }
        }
    }
    for claim in spec
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        meta::set_type(claim, "v1", "PersistentVolumeClaim");
        default_field(object_at(claim, "spec"), "volumeMode", "Filesystem");
        default_field(
            meta::as_object(claim),
            "status",
            json!({"phase": "Pending"}),
        );
    }
}

pub(crate) fn daemon_set(object: &mut Value) {
    template(object, "/spec/template");
    let spec = spec(object);
    default_field(spec, "revisionHistoryLimit", 10);
    default_field(
        spec,
        "updateStrategy",
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}),
    );
}

pub(crate) fn job(object: &mut Value) {
    template(object, "/spec/template");
    job_spec(spec(object));
}

fn job_spec(spec: &mut Map<String, Value>) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        spec.insert("completions".into(), 1.into());
    }
    default_field(spec, "parallelism", 1);
    default_field(spec, "backoffLimit", 6);
    default_field(spec, "completionMode", "NonIndexed");
    default_field(spec, "suspend", false);
    let policy = if spec.contains_key("podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default_field(spec, "podReplacementPolicy", policy);
}

pub(crate) fn cron_job(object: &mut Value) {
    template(object, "/spec/jobTemplate/spec/template");
    let spec = spec(object);
    default_field(spec, "concurrencyPolicy", "Allow");
    default_field(spec, "suspend", false);
    default_field(spec, "successfulJobsHistoryLimit", 3);
    default_field(spec, "failedJobsHistoryLimit", 1);
}

/// A new job selects its own pods, by its uid.
pub(crate) fn new_job(object: &mut Value) {
    if object.pointer("/spec/manualSelector") == Some(&json!(true)) {
        return;
    }
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let labels = [
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
    ];
    let spec = spec(object);
    spec.insert(
        "selector".into(),
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let Some(template) = spec.get_mut("template") else {
        return;
    };
    let metadata = meta::metadata(template);
    if let Value::Object(map) = metadata.entry("labels").or_insert_with(|| json!({})) {
        for (label, value) in labels {
            map.insert(label.to_owned(), value.clone().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_selects_its_own_pods() {
        let mut object = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": []}}}});
        job(&mut object);
        new_job(&mut object);
        assert_eq!(
            object["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"],
            "u"
        );
        assert_eq!(
            object["spec"]["template"]["metadata"]["labels"]["job-name"],
            "j"
        );
        assert_eq!(
            (
                &object["spec"]["backoffLimit"],
                &object["spec"]["completions"]
            ),
            (&json!(6), &json!(1))
        );
    }
}
