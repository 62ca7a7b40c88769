//! Which pods are behind a service, and how each of them is. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

/// A pod behind a service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) address: String,
    pub(super) target: ObjectReference,
    pub(super) node: Option<String>,
    pub(super) zone: Option<String>,
    /// Its name within a headless service.
    pub(super) hostname: Option<String>,
    /// It passes its probes.
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// It is to get traffic.
    pub(super) ready: bool,
    /// Name, number, protocol and application protocol of the service's ports, as they are in
    /// this pod.
    pub(super) ports: Vec<Port>,
}

/// A port of the service in a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) number: i32,
    pub(super) protocol: String,
    pub(super) application: Option<String>,
}

/// Whether the service wants pods among its endpoints that are not ready.
pub(super) fn publishes_not_ready(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.publish_not_ready_addresses == Some(true))
}

/// Whether the service has no address of its own.
pub(super) fn is_headless(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// The pods behind a service, by name. One that is on its way out is among them to its end.
pub(super) fn members(service: &Service, pods: &[Arc<Pod>], nodes: &[Arc<Node>]) -> Vec<Member> {
    let selector = service
        .spec
        .iter()
        .flat_map(|spec| spec.selector.iter().flatten());
    let selector: Vec<_> = selector.collect();
    let selected = pods.iter().filter(|pod| {
        pod.metadata.namespace == service.metadata.namespace
            && selector
                .iter()
                .all(|(key, value)| pod.labels().get(*key) == Some(*value))
    });
    let mut members: Vec<_> = selected
        .filter_map(|pod| member(service, pod, nodes))
        .collect();
    members.sort_by(|one, other| one.target.name.cmp(&other.target.name));
    members
}

fn member(service: &Service, pod: &Pod, nodes: &[Arc<Node>]) -> Option<Member> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let address = status.pod_ip.clone().filter(|ip| !ip.is_empty())?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let serving = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node = nodes
        .iter()
        .find(|node| node.metadata.name == spec.node_name);
    let named = spec.subdomain == service.metadata.name;
    Some(Member {
        address,
        target: ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.namespace(),
            name: pod.metadata.name.clone(),
            uid: pod.uid(),
            ..ObjectReference::default()
        },
        node: spec.node_name.clone(),
        zone: node.and_then(|node| node.labels().get("topology.kubernetes.io/zone").cloned()),
        hostname: spec
            .hostname
            .clone()
            .filter(|name| named && !name.is_empty()),
        serving,
        terminating,
        ready: publishes_not_ready(service) || serving && !terminating,
        ports: ports(service, pod),
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    let mut ports: Vec<_> = ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                number: number(port, &protocol, pod)?,
                protocol,
                application: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

/// The port's number in the pod. Nothing if no container has a port of that name.
fn number(port: &ServicePort, protocol: &str, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten();
            let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
            let containers = spec.containers.iter().chain(sidecars);
            let mut ports = containers.flat_map(|one| one.ports.iter().flatten());
            let found = ports.find(|port| {
                let of_port = port.protocol.as_deref().unwrap_or("TCP");
                port.name.as_ref() == Some(name) && of_port == protocol
            });
            found.map(|port| port.container_port)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn service(spec: Value) -> Service {
        serde_json::from_value(json!({
            "metadata": { "name": "s", "namespace": "x", "uid": "1", "labels": { "of": "service" } },
            "spec": spec,
        }))
        .expect("is a service")
    }

    pub(crate) fn pod(name: &str, ready: &str, more: Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": { "name": name, "namespace": "x", "uid": name, "labels": { "app": "a" } },
            "spec": {
                "nodeName": "n", "hostname": "h", "subdomain": "s",
                "containers": [{ "name": "c", "ports": [{ "name": "web", "containerPort": 8080 }] }],
            },
            "status": {
                "podIP": format!("ip-{name}"), "phase": "Running",
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        });
        json_patch::merge(&mut pod, &more);
        Arc::new(serde_json::from_value(pod).expect("is a pod"))
    }

    fn named() -> Value {
        json!({ "selector": { "app": "a" }, "ports": [{ "port": 80, "targetPort": "web" }] })
    }

    #[test]
    fn a_pod_that_is_deleted_is_not_ready_at_once() {
        let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        let pods = [
            pod("a", "True", deleted),
            pod("b", "True", json!({})),
            pod("c", "False", json!({})),
        ];
        let flags = |service: &Service| {
            let members = members(service, &pods, &[]).into_iter();
            members
                .map(|one| (one.ready, one.serving, one.terminating))
                .collect::<Vec<_>>()
        };
        let expected = [
            (false, true, true),
            (true, true, false),
            (false, false, false),
        ];
        assert_eq!(flags(&service(named())), expected);
        let mut all = named();
        all["publishNotReadyAddresses"] = json!(true);
        let expected = [
            (true, true, true),
            (true, true, false),
            (true, false, false),
        ];
        assert_eq!(flags(&service(all)), expected);
    }

    #[test]
    fn pods_that_are_over_or_have_no_address_or_other_labels_are_not_members() {
        let pods = [
            pod("over", "True", json!({ "status": { "phase": "Failed" } })),
            pod("young", "False", json!({ "status": { "podIP": null } })),
            pod(
                "other",
                "True",
                json!({ "metadata": { "labels": { "app": "b" } } }),
            ),
            pod(
                "abroad",
                "True",
                json!({ "metadata": { "namespace": "y" } }),
            ),
        ];
        assert_eq!(members(&service(named()), &pods, &[]), []);
    }

    #[test]
    fn a_member_has_the_pods_own_port_and_name() {
        let found = members(&service(named()), &[pod("a", "True", json!({}))], &[]);
        assert_eq!(found[0].ports[0].number, 8080);
        assert_eq!(found[0].hostname.as_deref(), Some("h"));
        let elsewhere = pod("a", "True", json!({ "spec": { "subdomain": "t" } }));
        assert_eq!(
            members(&service(named()), &[elsewhere], &[])[0].hostname,
            None
        );
    }
}
