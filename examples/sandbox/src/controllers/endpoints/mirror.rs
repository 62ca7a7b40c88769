//! The Endpoints of a service: what was there before slices, and is still kept. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service,
};
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::membership::{Member, Port, is_headless, publishes_not_ready};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const US: &str = "endpoint-controller";

/// Whether this controller keeps them.
pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    endpoints.labels().get(MANAGED_BY).map(String::as_str) == Some(US)
}

/// Whether two say the same.
pub(super) fn same(one: &Endpoints, other: &Endpoints) -> bool {
    one.labels() == other.labels()
        && one.subsets.as_deref().unwrap_or_default()
            == other.subsets.as_deref().unwrap_or_default()
}

/// The Endpoints as they are to be. Here a pod that is on its way out is none any more.
pub(super) fn wanted(service: &Service, members: &[Member]) -> Endpoints {
    let mut labels = service.labels().clone();
    labels.insert(MANAGED_BY.to_owned(), US.to_owned());
    if is_headless(service) {
        labels.insert("service.kubernetes.io/headless".to_owned(), String::new());
    }
    let all = publishes_not_ready(service);
    let mut subsets = BTreeMap::<&[Port], [Vec<EndpointAddress>; 2]>::new();
    for member in members.iter().filter(|member| all || !member.terminating) {
        let [ready, not_ready] = subsets.entry(&member.ports).or_default();
        let list = if member.ready { ready } else { not_ready };
        list.push(address(member));
    }
    let subsets: Vec<_> = subsets
        .into_iter()
        .map(|(ports, [ready, not_ready])| EndpointSubset {
            addresses: (!ready.is_empty()).then_some(ready),
            not_ready_addresses: (!not_ready.is_empty()).then_some(not_ready),
            ports: (!ports.is_empty()).then(|| ports.iter().map(port).collect()),
        })
        .collect();
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.namespace(),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    }
}

fn address(member: &Member) -> EndpointAddress {
    EndpointAddress {
        hostname: member.hostname.clone(),
        ip: member.address.clone(),
        node_name: member.node.clone(),
        target_ref: Some(member.target.clone()),
    }
}

fn port(port: &Port) -> EndpointPort {
    EndpointPort {
        app_protocol: port.application.clone(),
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        port: port.number,
        protocol: Some(port.protocol.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::membership::members;
    use super::super::membership::tests::{pod, service};
    use super::*;

    #[test]
    fn a_pod_is_ready_or_not_or_gone() {
        let service = service(json!({ "selector": { "app": "a" }, "ports": [{ "port": 80 }] }));
        let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        let pods = [
            pod("a", "True", json!({})),
            pod("b", "False", json!({})),
            pod("c", "True", deleted),
        ];
        let endpoints = wanted(&service, &members(&service, &pods, &[]));
        let subset = &endpoints.subsets.as_ref().expect("has members")[0];
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter()
                .flatten()
                .map(|one| one.ip.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ips(&subset.addresses), ["ip-a"]);
        assert_eq!(ips(&subset.not_ready_addresses), ["ip-b"]);
        assert!(is_ours(&endpoints) && same(&endpoints, &endpoints));
    }
}
