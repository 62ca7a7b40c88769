//! What is kept of pods and nodes between requests: no more than is asked for again. A controller keeps
//! it for each migration under way, in clusters of a thousand nodes.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::{Resource, ResourceExt};

use super::target::has_image_volumes;

/// An object without the record of who wrote which of its fields, which nobody here reads: parsed, it
/// takes more than all the rest (measured: 9 of 51 MiB with 50 migrations under way).
pub(super) fn trimmed<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// What is asked of a node once the plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownNode {
    /// Its kubelet knows image volumes.
    pub(super) has_image_volumes: bool,
    /// Where other nodes reach it.
    pub(super) address: Option<IpAddr>,
}

impl KnownNode {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            has_image_volumes: has_image_volumes(node),
            address: internal_address(node),
        }
    }
}

/// The nodes as they were listed last: what is asked of them seldom changes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Whole, until the plan has looked around with them.
    listed: Option<Vec<Node>>,
    known: HashMap<String, KnownNode>,
}

impl Nodes {
    /// They were listed.
    pub(super) fn learn(&mut self, nodes: Vec<Node>) {
        self.known = nodes
            .iter()
            .map(|node| (node.name_any(), KnownNode::of(node)))
            .collect();
        self.listed = Some(nodes);
    }

    /// The list, once.
    pub(super) fn take(&mut self) -> Option<Vec<Node>> {
        self.listed.take()
    }

    pub(super) fn get(&self, name: &str) -> Option<KnownNode> {
        self.known.get(name).copied()
    }
}

fn internal_address(node: &Node) -> Option<IpAddr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().filter(|it| it.type_ == "InternalIP");
    internal.filter_map(|it| it.address.parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_reached_at_its_internal_address() {
        let node: Node = serde_json::from_value(json!({"status": {"addresses": [
            {"type": "Hostname", "address": "node-b"},
            {"type": "ExternalIP", "address": "203.0.113.7"},
            {"type": "InternalIP", "address": "fd00::7"},
        ]}}))
        .expect("a node");
        let address = internal_address(&node).map(|it| it.to_string());
        assert_eq!(address.as_deref(), Some("fd00::7"));
        assert_eq!(internal_address(&Node::default()), None);
    }

    #[test]
    fn a_list_of_nodes_is_handed_out_once_and_what_matters_is_kept() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "node-a"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "cri-o://1.35.0",
                    "kernelVersion": "6.1.0", "kubeProxyVersion": "", "kubeletVersion": "v1.36.2",
                    "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                },
            },
        }))
        .expect("a node");
        let mut nodes = Nodes::default();
        nodes.learn(vec![node]);
        assert_eq!(nodes.take().map(|it| it.len()), Some(1));
        assert_eq!(nodes.take(), None);
        let known = KnownNode {
            has_image_volumes: true,
            address: Some([10, 0, 0, 1].into()),
        };
        assert_eq!(nodes.get("node-a"), Some(known));
        assert_eq!(nodes.get("node-b"), None);
    }

    #[test]
    fn who_wrote_a_field_is_not_kept() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "managedFields": [{"manager": "kubectl"}]},
        }))
        .expect("a pod");
        let kept = trimmed(pod);
        assert_eq!(kept.metadata.managed_fields, None);
        assert_eq!(kept.name_any(), "a");
    }
}
