//! The same for scripts: one JSON object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Ending, How, Move, Survey};
use crate::migration::error::Error;

/// Everything for scripts: the plan; with `endings` what came of each; with `error` why nothing was
/// begun.
#[must_use]
pub fn document(survey: &Survey, endings: Option<&[Ending]>, error: Option<&Error>) -> Value {
    let mut endings = endings.into_iter().flatten();
    let pods: Vec<Value> = survey
        .moves
        .iter()
        .map(|it| pod_document(it, endings.next()))
        .collect();
    let stays: Vec<Value> = survey
        .stays
        .iter()
        .map(|stay| json!({"namespace": stay.namespace, "pod": stay.pod, "error": stay.error}))
        .collect();
    let aside: BTreeMap<String, usize> = survey
        .aside
        .iter()
        .map(|(why, count)| (why.to_string(), *count))
        .collect();
    let mut all = json!({
        "node": survey.node,
        "pods": pods,
        "cannotMove": stays,
        "notConcerned": aside,
    });
    if let Some(error) = error {
        all["error"] = json!(error);
        all["error"]["exitCode"] = error.kind.exit_code().into();
    }
    all
}

fn pod_document(it: &Move, ending: Option<&Ending>) -> Value {
    let mut pod = json!({
        "namespace": it.namespace,
        "pod": it.pod,
        "from": it.source_node(),
        "to": it.target_node(),
    });
    match ending {
        None => match &it.how {
            How::Begins(plan) => pod["plan"] = json!(plan),
            How::GoesOn(record) => pod["unfinished"] = json!(record),
        },
        Some(Ending::Moved(summary)) => {
            pod["result"] = "moved".into();
            pod["summary"] = json!(summary);
        }
        Some(Ending::Failed(error)) => {
            pod["result"] = json!(error.kind);
            pod["error"] = json!(error);
            pod["error"]["exitCode"] = error.kind.exit_code().into();
        }
        Some(Ending::NotBegun(why)) => {
            pod["result"] = "notBegun".into();
            pod["because"] = (*why).into();
        }
    }
    pod
}
