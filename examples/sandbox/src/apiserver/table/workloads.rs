//! The rows of the workloads that make pods.

use jiff::Timestamp;
use serde_json::Value;

use super::human;
use crate::apiserver::meta;

/// The cells of such an object, kept under `key`.
pub(crate) fn cells(key: &str, object: &Value) -> Vec<Value> {
    let count = |pointer: &str| meta::int(object, pointer).unwrap_or(0);
    let age = human::age(object, "/metadata/creationTimestamp");
    let (names, images) = human::containers(object, "/spec/template/spec/containers");
    let selector = human::selector(object.pointer("/spec/selector"));
    let mut row: Vec<Value> = vec![meta::name(object).into()];
    match key {
        "deployments.apps" => row.extend([
            format!(
                "{}/{}",
                count("/status/readyReplicas"),
                count("/spec/replicas")
            )
            .into(),
            count("/status/updatedReplicas").to_string().into(),
            count("/status/availableReplicas").to_string().into(),
            age.into(),
            names.into(),
            images.into(),
            selector.into(),
        ]),
        "statefulsets.apps" => row.extend([
            format!(
                "{}/{}",
                count("/status/readyReplicas"),
                count("/spec/replicas")
            )
            .into(),
            age.into(),
            names.into(),
            images.into(),
        ]),
        "daemonsets.apps" => row.extend([
            count("/status/desiredNumberScheduled").into(),
            count("/status/currentNumberScheduled").into(),
            count("/status/numberReady").into(),
            count("/status/updatedNumberScheduled").into(),
            count("/status/numberAvailable").into(),
            human::labels(
                object
                    .pointer("/spec/template/spec/nodeSelector")
                    .and_then(Value::as_object),
            )
            .into(),
            age.into(),
            names.into(),
            images.into(),
            selector.into(),
        ]),
        "jobs.batch" => row.extend([
            job_status(object).into(),
            job_completions(object).into(),
            job_duration(object).into(),
            age.into(),
            names.into(),
            images.into(),
            selector.into(),
        ]),
        "cronjobs.batch" => {
            let (names, images) =
                human::containers(object, "/spec/jobTemplate/spec/template/spec/containers");
            row.extend([
                meta::text(object, "/spec/schedule")
                    .unwrap_or_default()
                    .into(),
                human::or_none(meta::text(object, "/spec/timeZone")).into(),
                if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
                    "True"
                } else {
                    "False"
                }
                .into(),
                meta::list(object, "/status/active").len().into(),
                meta::text(object, "/status/lastScheduleTime")
                    .map_or_else(|| "<none>".to_owned(), human::since)
                    .into(),
                age.into(),
                names.into(),
                images.into(),
                human::selector(object.pointer("/spec/jobTemplate/spec/selector")).into(),
            ]);
        }
        _ => {
            // A replication controller's selector is a plain map.
            let selector = match object.pointer("/spec/selector").and_then(Value::as_object) {
                Some(map) if key == "replicationcontrollers" => human::labels(Some(map)),
                _ => selector,
            };
            row.extend([
                count("/spec/replicas").into(),
                count("/status/replicas").into(),
                count("/status/readyReplicas").into(),
                age.into(),
                names.into(),
                images.into(),
                selector.into(),
            ]);
        }
    }
    row
}

fn has_condition(job: &Value, kind: &str) -> bool {
    meta::list(job, "/status/conditions")
        .iter()
        .any(|c| meta::text(c, "/type") == Some(kind) && meta::text(c, "/status") == Some("True"))
}

fn job_status(job: &Value) -> &'static str {
    if has_condition(job, "Complete") {
        "Complete"
    } else if has_condition(job, "Failed") {
        "Failed"
    } else if meta::is_deleting(job) {
        "Terminating"
    } else if has_condition(job, "Suspended") {
        "Suspended"
    } else if has_condition(job, "FailureTarget") {
        "FailureTarget"
    } else if has_condition(job, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn job_completions(job: &Value) -> String {
    let succeeded = meta::int(job, "/status/succeeded").unwrap_or(0);
    match (
        meta::int(job, "/spec/completions"),
        meta::int(job, "/spec/parallelism").unwrap_or(0),
    ) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value) -> String {
    let time =
        |pointer: &str| meta::text(job, pointer).and_then(|text| text.parse::<Timestamp>().ok());
    match (time("/status/startTime"), time("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(start), None) => human::duration(Timestamp::now().duration_since(start).as_secs()),
        (Some(start), Some(end)) => human::duration(end.duration_since(start).as_secs()),
    }
}
