//! The source pod's manifest → the target pod's. Pure.
//!
//! A restore asks for every mount of the source container under the same path, so the manifest is
//! copied and only what belongs to the source's place and identity is taken out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LocalObjectReference, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::naming::{CONTAINER, SOURCE_LABELS, SOURCE_POD, labels, role};
use super::super::placement::{HOSTNAME, pinned};
use super::labels::{is_own, own_labels_removed};
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, RestoreOrder};

/// Annotations that describe the source alone.
const SOURCES_OWN: [&str; 3] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "controller.kubernetes.io/pod-deletion-cost",
    "migration.ms2m.io/former-deletion-cost",
];

/// The target pod of `order`, made from `source`.
///
/// # Errors
/// [`PortError::Invalid`] when the source has no such container.
pub(in super::super) fn target_pod(source: &Pod, order: &RestoreOrder) -> PortResult<Pod> {
    let spec = source.spec.clone().unwrap_or_default();
    let known = spec.containers.iter().any(|it| it.name == order.container);
    if !known {
        return Err(PortError::Invalid(format!(
            "pod {} has no container {}",
            order.source_pod, order.container
        )));
    }
    let same_name = source.metadata.name.as_ref() == Some(&order.target_pod);
    Ok(Pod {
        metadata: metadata(source, order)?,
        spec: Some(pod_spec(spec, order, same_name)),
        status: None,
    })
}

/// None of the source's labels, as long as the source is there: a Service or a controller that
/// selects on them must not find the target before the handoff commits.
fn metadata(source: &Pod, order: &RestoreOrder) -> PortResult<ObjectMeta> {
    let source_labels = own_labels_removed(source.metadata.labels.clone().unwrap_or_default());
    let mut own_labels = labels(&order.migration, role::TARGET);
    if order.labelled {
        own_labels.extend(source_labels.clone());
    }
    let source_labels = serde_json::to_string(&source_labels)
        .map_err(|error| PortError::Invalid(error.to_string()))?;
    let mut annotations: BTreeMap<String, String> = source
        .metadata
        .annotations
        .clone()
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| !SOURCES_OWN.contains(&key.as_str()) && !is_own(key))
        .collect();
    annotations.extend([
        (SOURCE_LABELS.to_owned(), source_labels),
        (SOURCE_POD.to_owned(), order.source_pod.clone()),
        (CONTAINER.to_owned(), order.container.clone()),
    ]);
    Ok(ObjectMeta {
        name: Some(order.target_pod.clone()),
        labels: Some(own_labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    })
}

fn pod_spec(source: PodSpec, order: &RestoreOrder, same_name: bool) -> PodSpec {
    PodSpec {
        affinity: Some(pinned(source.affinity, &order.node)),
        containers: source
            .containers
            .into_iter()
            .map(|it| container(it, order))
            .collect(),
        image_pull_secrets: pull_secrets(source.image_pull_secrets, order),
        node_selector: without_hostname(source.node_selector),
        // A restored container that restarts is restored again, and its state goes back in time.
        restart_policy: Some("Never".to_owned()),
        // The application takes its new name from /etc/hostname, so a name that the source was
        // given must not go along, except to a pod that is called like the source.
        hostname: source.hostname.filter(|_| same_name),
        hostname_override: source.hostname_override.filter(|_| same_name),
        // The operator has chosen the node; spreading rules have nothing left to choose, and
        // could only forbid it.
        topology_spread_constraints: None,
        // Set by the scheduler or by admission for the source, and set again for the target.
        node_name: None,
        overhead: None,
        preemption_policy: None,
        priority: None,
        scheduling_gates: None,
        scheduling_group: None,
        // Debugging sessions; the API refuses a new pod that has them.
        ephemeral_containers: None,
        ..source
    }
}

fn container(source: Container, order: &RestoreOrder) -> Container {
    if source.name != order.container {
        // Sidecars start fresh, from their own image.
        return source;
    }
    Container {
        image: Some(order.image.clone()),
        // A digest never changes.
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // See `restart_policy` of the pod, which these would override.
        restart_policy: None,
        restart_policy_rules: None,
        ..source
    }
}

fn pull_secrets(
    source: Option<Vec<LocalObjectReference>>,
    order: &RestoreOrder,
) -> Option<Vec<LocalObjectReference>> {
    let Some(name) = &order.credentials_secret else {
        return source;
    };
    let mut secrets = source.unwrap_or_default();
    if !secrets.iter().any(|it| it.name == *name) {
        secrets.push(LocalObjectReference { name: name.clone() });
    }
    Some(secrets)
}

fn without_hostname(
    selector: Option<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    let mut selector = selector?;
    selector.remove(HOSTNAME);
    (!selector.is_empty()).then_some(selector)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order() -> RestoreOrder {
        RestoreOrder {
            migration: "web-0-m1".into(),
            source_pod: "web-0".into(),
            source_uid: "u1".into(),
            target_pod: "web-0-shadow".into(),
            node: "node-b".into(),
            container: "main".into(),
            image: "registry:5000/cp@sha256:cc".into(),
            base_image: None,
            credentials_secret: Some("checkpoints".into()),
            kept_with: None,
            labelled: false,
        }
    }

    fn source() -> Value {
        json!({
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                "generateName": "web-", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "web", "migration.ms2m.io/role": "target"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "migration.ms2m.io/queue": "orders",
                    "migration.ms2m.io/source-pod": "web-old",
                    "note": "kept"
                },
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u0", "controller": true}],
                "finalizers": ["x/y"]
            },
            "spec": {
                "nodeName": "node-a",
                "hostname": "web-0", "subdomain": "web",
                "nodeSelector": {"kubernetes.io/hostname": "node-a", "disk": "ssd"},
                "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
                "restartPolicy": "Always", "serviceAccountName": "web",
                "imagePullSecrets": [{"name": "registry"}],
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
                "ephemeralContainers": [{"name": "debugger"}],
                "securityContext": {"fsGroup": 7},
                "containers": [
                    {
                        "name": "main", "image": "shop/web:1", "imagePullPolicy": "Always",
                        "env": [{"name": "QUEUE", "value": "orders"}],
                        "resources": {"limits": {"memory": "64Mi"}},
                        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
                        "restartPolicy": "Always",
                        "volumeMounts": [
                            {"name": "data", "mountPath": "/data"},
                            {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}
                        ]
                    },
                    {"name": "side", "image": "side:2"}
                ],
                "volumes": [
                    {"name": "data", "emptyDir": {}},
                    {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}}
                ]
            },
            "status": {"phase": "Running"}
        })
    }

    fn built(source: Value, order: &RestoreOrder) -> Pod {
        let source = serde_json::from_value(source).expect("a pod");
        target_pod(&source, order).expect("a target")
    }

    #[test]
    fn the_target_is_the_source_in_another_place() {
        insta::assert_yaml_snapshot!(built(source(), &order()));
    }

    #[test]
    fn every_mount_and_volume_of_the_source_is_there() {
        let source = source();
        let built = serde_json::to_value(built(source.clone(), &order())).expect("JSON");
        assert_eq!(built["spec"]["volumes"], source["spec"]["volumes"]);
        let mounts = |pod: &Value| pod["spec"]["containers"][0]["volumeMounts"].clone();
        assert_eq!(mounts(&built), mounts(&source));
    }

    #[test]
    fn a_target_of_the_same_name_keeps_its_host_name() {
        let order = RestoreOrder {
            target_pod: "web-0".into(),
            ..order()
        };
        let spec = built(source(), &order).spec.expect("a spec");
        assert_eq!(spec.hostname.as_deref(), Some("web-0"));
        assert_eq!(spec.subdomain.as_deref(), Some("web"));
    }

    #[test]
    fn a_target_in_the_place_of_its_source_has_its_labels_at_once() {
        let labels = |labelled: bool| {
            let order = RestoreOrder {
                labelled,
                ..order()
            };
            built(source(), &order).metadata.labels.expect("labels")
        };
        assert_eq!(labels(false).get("app"), None);
        let found = labels(true);
        assert_eq!(found.get("app").map(String::as_str), Some("web"));
        assert_eq!(
            found.get("migration.ms2m.io/role").map(String::as_str),
            Some("target"),
            "by which the migration knows it"
        );
    }

    #[test]
    fn an_unknown_container_is_refused() {
        let order = RestoreOrder {
            container: "other".into(),
            ..order()
        };
        let source = serde_json::from_value(source()).expect("a pod");
        assert!(matches!(
            target_pod(&source, &order),
            Err(PortError::Invalid(_))
        ));
    }
}
