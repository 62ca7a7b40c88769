//! Ports of a node that a pod asks for and another pod has: the scheduler would find no place for it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::super::KubeCluster;
use super::super::pages;
use crate::migration::ports::PortResult;

impl KubeCluster {
    /// Of the node's ports that `pod` asks for those that other pods on `node` have, as `8080/TCP`.
    ///
    /// # Errors
    /// [`crate::migration::error::PortError::Denied`] without the right to list the pods of all
    /// namespaces.
    pub async fn taken_ports(&self, node: &str, pod: &str) -> PortResult<Vec<String>> {
        let wanted = self.known_pod(pod).await?;
        let wanted = wanted.as_deref().map(ports_of).unwrap_or_default();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let pods: Api<Pod> = Api::all(self.inner.client.clone());
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let what = format!("list the pods of node {node}");
        let there = pages::all(&self.inner.retry, &pods, params, &what).await?;
        let taken: BTreeSet<_> = there
            .iter()
            .filter(|other| !has_ended(other))
            .filter(|other| {
                other.name_any() != pod || other.namespace().as_deref() != Some(self.namespace())
            })
            .flat_map(ports_of)
            .collect();
        let both = wanted.intersection(&taken);
        Ok(both
            .map(|(port, protocol)| format!("{port}/{protocol}"))
            .collect())
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Ports of the node that a pod has, with their protocols. The API server fills the host port in for
/// pods in the node's network.
fn ports_of(pod: &Pod) -> BTreeSet<(i32, String)> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|it| it.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            Some((number, protocol.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_a_number_and_a_protocol() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]},
            {"name": "b", "ports": [{"containerPort": 53, "hostPort": 53, "protocol": "UDP"}]}
        ]}}))
        .expect("a pod");
        let expected = [(53, "UDP".to_owned()), (8081, "TCP".to_owned())];
        assert_eq!(ports_of(&pod), expected.into());
    }
}
