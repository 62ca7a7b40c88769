//! The node's object: what a kubelet says of the machine that it runs on.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Kubelet;
use crate::image::architecture;

/// The version that the sandbox's kubelets pretend to have.
pub(super) const VERSION: &str = "v1.36.2";

/// Creates the node's object, or takes up the one that is there, and says that it is ready.
pub(super) async fn register(kubelet: &Kubelet, port: u16) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(kubelet.client.clone());
    let labels = json!({
        "beta.kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "kubernetes.io/hostname": kubelet.name,
        "kubernetes.io/os": "linux",
    });
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": kubelet.name, "labels": labels },
        "spec": {},
    });
    let node: Node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(answer)) if answer.code == 409 => {}
        Err(error) => return Err(error),
    }
    report(kubelet, port).await
}

/// Says how the node is now.
pub(super) async fn report(kubelet: &Kubelet, port: u16) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(kubelet.client.clone());
    let before = nodes.get(&kubelet.name).await?;
    let old = before
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let patch = json!({ "status": status(kubelet, port, &old) });
    nodes
        .patch_status(
            &kubelet.name,
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
        .map(drop)
}

/// Says which volumes the node's pods have mounted, and nothing else.
pub(super) async fn report_volumes(kubelet: &Kubelet) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(kubelet.client.clone());
    let patch = Patch::Merge(json!({ "status": { "volumesInUse": kubelet.volumes.names() } }));
    nodes
        .patch_status(&kubelet.name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

fn status(kubelet: &Kubelet, port: u16, old: &[NodeCondition]) -> Value {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = format!("{}Ki", memory_kib());
    let resources = json!({
        "cpu": cpus.to_string(),
        "memory": memory,
        "ephemeral-storage": "100Gi",
        "pods": "250",
    });
    let setup = kubelet.setup.borrow().clone();
    let images: Vec<_> = kubelet
        .runtime
        .images
        .list()
        .into_iter()
        .map(|(image, mut names)| {
            if setup.image_digests {
                names.insert(0, image.repo_digest.clone());
                names.dedup();
            } else {
                names.retain(|name| !name.contains('@'));
            }
            json!({ "names": names, "sizeBytes": image.size })
        })
        .collect();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let kernel = setup.kernel_version.unwrap_or(kernel);
    let runtime = setup
        .runtime_version
        .unwrap_or_else(|| kubelet.runtime.personality.version().to_owned());
    let architecture = setup
        .architecture
        .unwrap_or_else(|| architecture().to_owned());
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    json!({
        "addresses": [
            { "type": "InternalIP", "address": kubelet.address.to_string() },
            { "type": "Hostname", "address": kubelet.name },
        ],
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions(*kubelet.ready.borrow(), old),
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        "images": images,
        "nodeInfo": {
            "architecture": architecture,
            "bootID": boot.trim(),
            "containerRuntimeVersion": runtime,
            "kernelVersion": kernel.trim(),
            "kubeProxyVersion": "",
            "kubeletVersion": VERSION,
            "machineID": machine.trim(),
            "operatingSystem": "linux",
            "osImage": "ms2m sandbox",
            "systemUUID": machine.trim(),
        },
        "volumesInUse": kubelet.volumes.names(),
    })
}

fn conditions(ready: bool, old: &[NodeCondition]) -> Vec<Value> {
    let (reason, message) = if ready {
        ("KubeletReady", "kubelet is posting ready status")
    } else {
        ("KubeletNotReady", "container runtime network not ready")
    };
    let calm = |kind: &str| format!("kubelet has sufficient {kind} available");
    [
        (
            "MemoryPressure",
            false,
            "KubeletHasSufficientMemory",
            calm("memory"),
        ),
        (
            "DiskPressure",
            false,
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure".to_owned(),
        ),
        ("PIDPressure", false, "KubeletHasSufficientPID", calm("PID")),
        ("Ready", ready, reason, message.to_owned()),
    ]
    .into_iter()
    .map(|(kind, holds, reason, message)| {
        let status = if holds { "True" } else { "False" };
        let since = old
            .iter()
            .find(|old| old.type_ == kind && old.status == status)
            .and_then(|old| old.last_transition_time.clone())
            .unwrap_or_else(|| Time(Timestamp::now()));
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": Time(Timestamp::now()),
            "lastTransitionTime": since,
        })
    })
    .collect()
}

fn memory_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(1024 * 1024)
}
