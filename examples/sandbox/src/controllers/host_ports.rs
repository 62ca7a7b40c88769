//! Which ports of a node its pods take. Pure.

use k8s_openapi::api::core::v1::Pod;

/// Whether a pod that is on the node has a port that this one wants.
pub(super) fn conflict(pod: &Pod, node: &str, pods: &[&Pod]) -> bool {
    let wanted = taken(pod);
    let on_node = pods.iter().filter(|other| {
        let phase = other
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let spec = other.spec.as_ref();
        other.metadata.uid != pod.metadata.uid
            && spec.and_then(|spec| spec.node_name.as_deref()) == Some(node)
            && !matches!(phase, Some("Succeeded" | "Failed"))
    });
    let others: Vec<_> = on_node.flat_map(|other| taken(other)).collect();
    wanted
        .iter()
        .any(|one| others.iter().any(|other| clash(one, other)))
}

/// Port, protocol and address.
type HostPort = (i32, String, String);

fn taken(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.spec.iter().flat_map(|spec| {
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
        spec.containers.iter().chain(sidecars)
    });
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty());
            Some((number, protocol, ip.unwrap_or_else(|| "0.0.0.0".to_owned())))
        })
        .collect()
}

fn clash(one: &HostPort, other: &HostPort) -> bool {
    let any = |port: &HostPort| port.2 == "0.0.0.0";
    one.0 == other.0 && one.1 == other.1 && (one.2 == other.2 || any(one) || any(other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, node: &str, ip: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "uid": uid },
            "spec": { "nodeName": node, "containers": [
                { "name": "c", "ports": [{ "containerPort": 1, "hostPort": 80, "hostIP": ip }] },
            ] },
            "status": { "phase": phase },
        }))
        .expect("is a pod")
    }

    #[test]
    fn a_port_of_a_node_is_taken_once() {
        let new = pod("new", "", "", "Pending");
        for (other, expected) in [
            (pod("old", "a", "", "Running"), true),
            (pod("old", "a", "127.0.0.1", "Running"), true),
            (pod("old", "b", "", "Running"), false),
            (pod("old", "a", "", "Succeeded"), false),
            (pod("new", "a", "", "Running"), false),
        ] {
            assert_eq!(conflict(&new, "a", &[&other]), expected, "{other:?}");
        }
        let own = pod("new", "", "127.0.0.2", "Pending");
        assert!(!conflict(
            &own,
            "a",
            &[&pod("old", "a", "127.0.0.1", "Running")]
        ));
    }
}
