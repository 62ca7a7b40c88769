//! The EndpointSlices of a service, and what has to change for them to be so. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

use super::membership::{Member, Port, is_headless};

/// The label that names the service of a slice.
pub(super) const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const US: &str = "endpointslice-controller.k8s.io";

/// Whether the slice is one that this controller keeps for the service.
pub(super) fn is_of(slice: &EndpointSlice, service: &Service) -> bool {
    slice.metadata.namespace == service.metadata.namespace
        && slice.labels().get(SERVICE) == service.metadata.name.as_ref()
        && slice.labels().get(MANAGED_BY).map(String::as_str) == Some(US)
        && slice
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref())
}

/// The slices as they are to be: one for each set of ports, no longer than `limit`. A service
/// without pods has an empty one.
pub(super) fn wanted(service: &Service, members: &[Member], limit: usize) -> Vec<EndpointSlice> {
    let mut by_ports = BTreeMap::<&[Port], Vec<Endpoint>>::new();
    for member in members {
        by_ports
            .entry(&member.ports)
            .or_default()
            .push(endpoint(member));
    }
    if by_ports.is_empty() {
        by_ports.insert(&[], Vec::new());
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in by_ports {
        let chunks: Vec<_> = endpoints.chunks(limit).map(<[_]>::to_vec).collect();
        let chunks = if chunks.is_empty() {
            vec![Vec::new()]
        } else {
            chunks
        };
        for endpoints in chunks {
            slices.push(EndpointSlice {
                address_type: "IPv4".to_owned(),
                endpoints: Some(endpoints),
                metadata: metadata(service),
                ports: Some(ports.iter().map(port).collect()),
            });
        }
    }
    slices
}

fn metadata(service: &Service) -> ObjectMeta {
    let mut labels = service.labels().clone();
    labels.insert(SERVICE.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), US.to_owned());
    if is_headless(service) {
        labels.insert("service.kubernetes.io/headless".to_owned(), String::new());
    }
    ObjectMeta {
        generate_name: Some(format!("{}-", service.name_any())),
        namespace: service.namespace(),
        labels: Some(labels),
        owner_references: service.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn endpoint(member: &Member) -> Endpoint {
    Endpoint {
        addresses: vec![member.address.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(member.ready),
            serving: Some(member.serving),
            terminating: Some(member.terminating),
        }),
        hostname: member.hostname.clone(),
        node_name: member.node.clone(),
        target_ref: Some(member.target.clone()),
        zone: member.zone.clone(),
        ..Endpoint::default()
    }
}

fn port(port: &Port) -> EndpointPort {
    EndpointPort {
        app_protocol: port.application.clone(),
        name: Some(port.name.clone()),
        port: Some(port.number),
        protocol: Some(port.protocol.clone()),
    }
}

/// What to do with a service's slices.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<String>,
}

impl Changes {
    pub(super) fn is_nothing(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }
}

/// What makes the current slices the wanted ones. A slice keeps its ports.
pub(super) fn changes(current: &[EndpointSlice], wanted: &[EndpointSlice]) -> Changes {
    let mut changes = Changes::default();
    let mut left: Vec<_> = current.iter().collect();
    left.sort_by_key(|slice| slice.name_any());
    for slice in wanted {
        let like_it = |old: &&EndpointSlice| {
            old.ports.as_deref().unwrap_or_default() == slice.ports.as_deref().unwrap_or_default()
        };
        let Some(at) = left.iter().position(like_it) else {
            changes.create.push(slice.clone());
            continue;
        };
        let old = left.remove(at);
        let same = old.endpoints.as_deref().unwrap_or_default()
            == slice.endpoints.as_deref().unwrap_or_default()
            && old.labels() == slice.labels();
        if !same {
            changes.update.push(EndpointSlice {
                metadata: ObjectMeta {
                    labels: slice.metadata.labels.clone(),
                    ..old.metadata.clone()
                },
                ..slice.clone()
            });
        }
    }
    changes.delete = left.into_iter().map(|slice| slice.name_any()).collect();
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::membership::members;
    use super::super::membership::tests::{pod, service};
    use super::*;

    fn named(slices: Vec<EndpointSlice>) -> Vec<EndpointSlice> {
        let names = (0..).map(|number| format!("s-{number}"));
        let named = slices.into_iter().zip(names).map(|(mut slice, name)| {
            slice.metadata.name = Some(name);
            slice
        });
        named.collect()
    }

    #[test]
    fn pods_with_other_ports_are_in_other_slices() {
        let service = service(json!({
            "selector": { "app": "a" }, "ports": [{ "port": 80, "targetPort": "web" }],
        }));
        let other = json!({ "spec": { "containers": [
            { "name": "c", "ports": [{ "name": "web", "containerPort": 9090 }] },
        ] } });
        let pods = [
            pod("a", "True", json!({})),
            pod("b", "True", other),
            pod("c", "True", json!({})),
        ];
        let slices = wanted(&service, &members(&service, &pods, &[]), LIMIT);
        let lengths = |slices: &[EndpointSlice]| {
            slices
                .iter()
                .map(|one| one.endpoints.iter().flatten().count())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(&slices), [2, 1]);
        assert_eq!(
            lengths(&wanted(&service, &members(&service, &pods, &[]), 1)),
            [1, 1, 1]
        );
        let labels = slices[0].labels();
        assert_eq!(labels["of"], "service");
        assert_eq!(labels[SERVICE], "s");
        assert!(is_of(&slices[0], &service));
    }

    const LIMIT: usize = super::super::LIMIT;

    #[test]
    fn a_slice_is_kept_and_changed() {
        let service = service(json!({ "selector": { "app": "a" }, "ports": [{ "port": 80 }] }));
        let ask = |ready: &str| {
            wanted(
                &service,
                &members(&service, &[pod("a", ready, json!({}))], &[]),
                LIMIT,
            )
        };
        let current = named(ask("True"));
        assert!(changes(&current, &ask("True")).is_nothing());
        let changed = changes(&current, &ask("False"));
        assert_eq!(changed.update[0].name_any(), "s-0");
        assert!(changed.create.is_empty() && changed.delete.is_empty());
        // Without pods nobody can tell the ports.
        let empty = changes(&current, &wanted(&service, &[], LIMIT));
        assert_eq!(
            (empty.create.len(), empty.delete.as_slice()),
            (1, &["s-0".to_owned()][..])
        );
    }
}
