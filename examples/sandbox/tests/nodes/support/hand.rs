//! Pods that somebody makes and ends behind the back of their controllers.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Scene, wait_for};

/// A pod as somebody else makes it: bound by hand, never restarted, with those labels.
pub(crate) fn by_hand(name: &str, node: &str, image: &str, labels: Value) -> Value {
    json!({
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "hostname": name,
            "subdomain": "svc",
            "containers": [{ "name": "main", "image": image, "args": ["print", "moved", "wait"] }],
        },
    })
}

/// All pods of the namespace, by name.
pub(crate) async fn pods(scene: &Scene) -> Vec<Value> {
    let pods = scene.api::<Pod>().list(&ListParams::default()).await;
    let pods = pods.expect("are listed").items;
    pods.into_iter().map(|pod| json!(pod)).collect()
}

/// Deletes a pod and waits for its end; another of its name may be there by then.
pub(crate) async fn end(scene: &Scene, pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let pods = scene.api::<Pod>();
    pods.delete(name, &DeleteParams::default())
        .await
        .expect("is deleted");
    wait_for("the pod's end", async || {
        let now = pods.get_opt(name).await.expect("answers");
        let same = now.is_some_and(|now| now.uid().as_deref() == Some(uid(pod)));
        (!same).then_some(())
    })
    .await;
}

/// Changes the labels and annotations of a pod.
pub(crate) async fn relabel(scene: &Scene, name: &str, metadata: Value) {
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    scene
        .api::<Pod>()
        .patch(name, &PatchParams::default(), &patch)
        .await
        .expect("labels may change");
}

/// The pod's uid.
pub(crate) fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The uid of its owner.
pub(crate) fn owner(pod: &Value) -> Option<&str> {
    pod["metadata"]["ownerReferences"][0]["uid"].as_str()
}
