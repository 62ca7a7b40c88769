//! Writing an object's status down, as real controllers and a real API server leave it: only
//! when it changes, and without the counts that are zero.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Counts that are left out when they are zero.
const OMITTED: [&str; 7] = [
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "currentReplicas",
    "updatedReplicas",
    "unavailableReplicas",
    "conditions",
];

/// Writes the status of the object if it is not `before` already. An object that is gone has
/// none.
pub(super) async fn status<K, S>(
    api: &Api<K>,
    object: &K,
    before: Option<&S>,
    wanted: &S,
) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let wanted = patch(json!(wanted));
    if changes_nothing(&json!(before), &wanted) {
        return Ok(());
    }
    let patch = Patch::Merge(json!({ "metadata": { "uid": object.uid() }, "status": wanted }));
    match api
        .patch_status(&object.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        written => written.map(drop),
    }
}

/// The merge patch that makes a status so.
fn patch(mut wanted: Value) -> Value {
    for field in OMITTED {
        if wanted[field] == 0 {
            wanted[field] = Value::Null;
        }
    }
    wanted
}

fn changes_nothing(before: &Value, patch: &Value) -> bool {
    let fields = patch.as_object().into_iter().flatten();
    before.is_object()
        && fields
            .into_iter()
            .all(|(field, value)| before[field] == *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_are_written() {
        let wanted = patch(json!({ "replicas": 0, "readyReplicas": 0, "updatedReplicas": 1 }));
        assert!(!changes_nothing(&Value::Null, &wanted));
        let there = json!({ "replicas": 0, "updatedReplicas": 1, "other": 2 });
        assert!(changes_nothing(&there, &wanted));
        let more = json!({ "replicas": 0, "updatedReplicas": 1, "readyReplicas": 1 });
        assert!(!changes_nothing(&more, &wanted));
        assert!(!changes_nothing(&json!({ "replicas": 1 }), &wanted));
    }
}
