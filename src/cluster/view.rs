//! Kubernetes objects → what the engine knows of them. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, PodSpec, Probe, Volume};
use kube::ResourceExt;

use super::owners::controller;
use crate::migration::ports::{ContainerView, NodeView, PodView, VolumeKind, VolumeView};

/// Annotation by which the kubelet marks the mirror of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What the labels begin with by which node-feature-discovery tells what a CPU can do.
const CPU_FEATURE: &str = "feature.node.kubernetes.io/cpu-cpuid.";

/// The engine's view of a pod.
pub(super) fn pod_view(pod: &Pod) -> PodView {
    let status = pod.status.as_ref();
    let statuses = status
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    let spec = pod.spec.as_ref();
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        annotations: pod.annotations().clone(),
        labels: pod.labels().clone(),
        node: spec.and_then(|spec| spec.node_name.clone()),
        phase: status
            .and_then(|status| status.phase.clone())
            .unwrap_or_else(|| "Pending".to_owned()),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        ready: is_ready(pod),
        containers: spec
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|container| {
                let status = statuses.iter().find(|it| it.name == container.name);
                ContainerView {
                    name: container.name.clone(),
                    image: container.image.clone().unwrap_or_default(),
                    image_id: status
                        .map(|it| image_reference(&it.image_id))
                        .unwrap_or_default(),
                    running: status.is_some_and(is_running),
                    liveness: container.liveness_probe.as_ref().map(patience),
                }
            })
            .collect(),
        init_containers: spec.map(init_containers).unwrap_or_default(),
        volumes: spec
            .and_then(|spec| spec.volumes.as_deref())
            .unwrap_or_default()
            .iter()
            .filter_map(volume_view)
            .collect(),
        host_ports: spec.is_some_and(asks_for_host_ports),
        owner: controller(pod.owner_references()),
        mirror: pod.annotations().contains_key(MIRROR),
    }
}

/// How long a probe fails until the kubelet acts (its defaults: every 10 s, three times).
fn patience(probe: &Probe) -> Duration {
    let seconds =
        |value: Option<i32>, default| u64::try_from(value.unwrap_or(default)).unwrap_or(0);
    let period = seconds(probe.period_seconds, 10).max(1);
    Duration::from_secs(period * seconds(probe.failure_threshold, 3).max(1))
}

/// Those that end before the containers start: a restartable one is a sidecar.
fn init_containers(spec: &PodSpec) -> Vec<String> {
    let ends = |container: &&Container| container.restart_policy.as_deref() != Some("Always");
    let all = spec.init_containers.iter().flatten();
    all.filter(ends).map(|it| it.name.clone()).collect()
}

fn volume_view(volume: &Volume) -> Option<VolumeView> {
    let kind = if let Some(claim) = &volume.persistent_volume_claim {
        VolumeKind::Claim(claim.claim_name.clone())
    } else if volume.empty_dir.is_some() {
        VolumeKind::Local("emptyDir")
    } else if volume.host_path.is_some() {
        VolumeKind::Local("hostPath")
    } else if volume.ephemeral.is_some() {
        VolumeKind::Local("ephemeral")
    } else {
        return None;
    };
    Some(VolumeView {
        name: volume.name.clone(),
        kind,
    })
}

fn asks_for_host_ports(spec: &PodSpec) -> bool {
    let ports = spec
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let asks = |port: Option<i32>| port.is_some_and(|port| port > 0);
    spec.host_network == Some(true) || ports.into_iter().any(|port| asks(port.host_port))
}

/// The engine's view of a node.
pub(super) fn node_view(node: &Node) -> NodeView {
    let info = node.status.as_ref().and_then(|it| it.node_info.as_ref());
    NodeView {
        name: node.name_any(),
        ready: is_node_ready(node),
        unschedulable: node
            .spec
            .as_ref()
            .and_then(|spec| spec.unschedulable)
            .unwrap_or(false),
        runtime: info
            .map(|info| info.container_runtime_version.clone())
            .unwrap_or_default(),
        architecture: info
            .map(|info| info.architecture.clone())
            .unwrap_or_default(),
        kernel: info
            .map(|info| info.kernel_version.clone())
            .unwrap_or_default(),
        cpu_features: node
            .labels()
            .iter()
            .filter(|(_, value)| *value == "true")
            .filter_map(|(key, _)| key.strip_prefix(CPU_FEATURE))
            .map(str::to_owned)
            .collect(),
    }
}

/// Whether the node's condition `Ready` is true.
pub(super) fn is_node_ready(node: &Node) -> bool {
    node.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        })
}

/// Whether the pod's condition `Ready` is true.
pub(super) fn is_ready(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        })
}

fn is_running(status: &ContainerStatus) -> bool {
    status
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

/// `imageID` without the scheme that dockershim put in front of it, and some runtimes still do.
fn image_reference(image_id: &str) -> String {
    image_id
        .strip_prefix("docker-pullable://")
        .unwrap_or(image_id)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_seen_with_what_a_migration_asks_for() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "web-0", "uid": "u1",
                "labels": {"app": "web"},
                "annotations": {"kubernetes.io/config.mirror": "x"},
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "u0"},
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u2", "controller": true}
                ]
            },
            "spec": {"nodeName": "node-a", "containers": [
                {"name": "main", "image": "shop/web:1"}, {"name": "side", "image": "side:2"}
            ]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": "side", "image": "side:2", "imageID": "", "ready": false, "restartCount": 0,
                     "state": {"waiting": {"reason": "ContainerCreating"}}},
                    {"name": "main", "image": "shop/web:1", "ready": true, "restartCount": 0,
                     "imageID": "docker-pullable://shop/web@sha256:aa", "state": {"running": {}}}
                ]
            }
        }))
        .expect("a pod");
        insta::assert_debug_snapshot!(pod_view(&pod));
    }

    #[test]
    fn a_node_is_seen_with_its_runtime() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "node-a", "labels": {
                "feature.node.kubernetes.io/cpu-cpuid.AVX2": "true",
                "feature.node.kubernetes.io/cpu-cpuid.AVX512F": "false",
                "kubernetes.io/arch": "amd64"
            }},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "Unknown"}],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "cri-o://1.36.3",
                    "kernelVersion": "6.12.48-amd64", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
                    "operatingSystem": "linux", "osImage": "", "systemUUID": ""
                }
            }
        }))
        .expect("a node");
        let view = node_view(&node);
        assert_eq!(view.runtime, "cri-o://1.36.3");
        assert_eq!(view.architecture, "amd64");
        assert_eq!(view.kernel, "6.12.48-amd64");
        assert_eq!(view.cpu_features, ["AVX2".to_owned()].into());
        assert!(view.unschedulable);
        assert!(!view.ready, "a node whose kubelet is silent is not ready");
    }
}
