//! Watches the nodes' signs of life. A node whose lease is not renewed becomes Unknown and is
//! tainted, so that nothing is scheduled there, and its pods are not ready any more; a node that
//! says it is not ready is tainted too.
//! Pods are not evicted: a real cluster does that after five minutes.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::node::LEASES;

/// How often the leases are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How old a lease may be. A real cluster waits 50 s; the sandbox's nodes renew every 2 s.
const GRACE: Duration = Duration::from_secs(10);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    loop {
        if let Err(error) = look(&client).await {
            tracing::warn!(%error, "nodes not looked at");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(client: &Client) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    for node in nodes.list(&ListParams::default()).await? {
        let lease = leases.get_opt(&node.name_any()).await?;
        let mut ready = ready(&node);
        if !lease.is_some_and(|lease| fresh(&lease, Timestamp::now())) {
            if ready != "Unknown" {
                mark_pods(client, &node.name_any()).await?;
                mark_unknown(&nodes, &node).await?;
            }
            ready = "Unknown".to_owned();
        }
        let (before, after) = taints(&node, &ready);
        if before != after {
            let patch = json!({
                "metadata": { "resourceVersion": node.resource_version() },
                "spec": { "taints": after },
            });
            let patch = Patch::Merge(patch);
            match nodes
                .patch(&node.name_any(), &PatchParams::default(), &patch)
                .await
            {
                // Changed meanwhile: the next look is soon enough.
                Err(kube::Error::Api(answer)) if answer.code == 409 => {}
                patched => drop(patched?),
            }
        }
    }
    Ok(())
}

fn ready(node: &Node) -> String {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone())
}

/// A node that has just been registered has no lease for a moment; its status is not older.
fn fresh(lease: &Lease, now: Timestamp) -> bool {
    let renewed = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.renew_time.as_ref());
    renewed.is_some_and(|renewed| {
        Duration::try_from(now.duration_since(renewed.0)).unwrap_or_default() < GRACE
    })
}

async fn mark_unknown(nodes: &Api<Node>, node: &Node) -> kube::Result<()> {
    let now = Time(Timestamp::now());
    let conditions: Vec<_> = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
        .into_iter()
        .map(|kind| {
            json!({
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            })
        })
        .collect();
    let patch = json!({ "status": { "conditions": conditions } });
    nodes
        .patch_status(
            &node.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
        .map(drop)
}

/// Pods that nobody vouches for any more are not ready, whatever their kubelet said last.
async fn mark_pods(client: &Client, node: &str) -> kube::Result<()> {
    let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone()).list(&on_node).await?;
    for pod in pods.items.iter().filter(|pod| says_ready(pod)) {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let condition = json!({
            "type": "Ready",
            "status": "False",
            "lastTransitionTime": Time(Timestamp::now()),
        });
        let patch = json!({ "status": { "conditions": [condition] } });
        let patch = Patch::Strategic(patch);
        match pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await
        {
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            patched => drop(patched?),
        }
    }
    Ok(())
}

fn says_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The node's taints as they are and as they are to be. Other people's stay.
fn taints(node: &Node, ready: &str) -> (Vec<Taint>, Vec<Taint>) {
    let spec = node.spec.clone().unwrap_or_default();
    let before = spec.taints.unwrap_or_default();
    let mut wanted = Vec::new();
    match ready {
        "True" => {}
        "Unknown" => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        _ => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours =
        |taint: &Taint| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str());
    let stays = |taint: &&Taint| {
        !ours(taint) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str()))
    };
    let mut after: Vec<_> = before.iter().filter(stays).cloned().collect();
    for (key, effect) in wanted {
        if !after
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            after.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: (effect == "NoExecute").then(|| Time(Timestamp::now())),
                value: None,
            });
        }
    }
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_come_and_go_with_readiness() {
        let node: Node = serde_json::from_value(json!({
            "spec": { "taints": [
                { "key": "mine", "effect": "NoSchedule" },
                { "key": NOT_READY, "effect": "NoSchedule" },
            ] },
        }))
        .expect("is a node");
        let keys = |ready: &str| {
            let (_, after) = taints(&node, ready);
            after.into_iter().map(|taint| taint.key).collect::<Vec<_>>()
        };
        assert_eq!(keys("True"), ["mine"]);
        assert_eq!(keys("False"), ["mine", NOT_READY, NOT_READY]);
        assert_eq!(keys("Unknown"), ["mine", UNREACHABLE, UNREACHABLE]);
    }
}
