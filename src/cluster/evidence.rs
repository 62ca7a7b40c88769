//! What somebody far away needs to know of a cluster to understand one migration. Fields are chosen
//! by name, so that nothing secret can be among them: of a pod neither its environment nor its
//! arguments, nor annotations, which hold what their users left there.

use k8s_openapi::api::core::v1::{Container, Event, Node, Pod, Volume};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::KubeCluster;
use super::pages;
use crate::migration::ports::PortResult;

impl KubeCluster {
    /// A node: versions, capacity, conditions; none if there is no such node.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn node_evidence(&self, name: &str) -> PortResult<Option<Value>> {
        let nodes: Api<Node> = Api::all(self.inner.client.clone());
        let what = format!("read node {name}");
        let found = self.inner.retry.run(&what, || nodes.get_opt(name)).await?;
        Ok(found.map(|node| {
            let spec = node.spec.clone().unwrap_or_default();
            let status = node.status.clone().unwrap_or_default();
            json!({
                "name": node.name_any(), "unschedulable": spec.unschedulable, "taints": spec.taints,
                "nodeInfo": status.node_info, "allocatable": status.allocatable, "conditions": status.conditions,
            })
        }))
    }

    /// A pod, save what may be secret; none if there is no such pod.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn pod_evidence(&self, name: &str) -> PortResult<Option<Value>> {
        Ok(self.read_pod(name).await?.map(|pod| evidence_of(&pod)))
    }

    /// The events about these pods, oldest first, a line each.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn event_lines(&self, pods: &[String]) -> PortResult<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.inner.client.clone(), &self.inner.namespace);
        let mut found = Vec::new();
        for pod in pods {
            let about = format!("involvedObject.kind=Pod,involvedObject.name={pod}");
            let params = ListParams::default().fields(&about);
            let what = format!("list the events of pod {pod}");
            found.extend(pages::all(&self.inner.retry, &events, params, &what).await?);
        }
        found.sort_by_key(|event| event.last_timestamp.clone());
        Ok(found.iter().map(line).collect())
    }
}

fn line(event: &Event) -> String {
    let time = event.last_timestamp.as_ref().map(|it| it.0.to_string());
    format!(
        "{} {} {} {} {}",
        time.unwrap_or_default(),
        event.involved_object.name.as_deref().unwrap_or_default(),
        event.type_.as_deref().unwrap_or_default(),
        event.reason.as_deref().unwrap_or_default(),
        event.message.as_deref().unwrap_or_default(),
    )
}

fn evidence_of(pod: &Pod) -> Value {
    let spec = pod.spec.clone().unwrap_or_default();
    let containers: Vec<Value> = spec.containers.iter().map(container).collect();
    let inits = spec.init_containers.iter().flatten();
    let inits: Vec<Value> = inits.map(container).collect();
    let volumes: Vec<Value> = spec.volumes.iter().flatten().map(volume).collect();
    let meta = &pod.metadata;
    json!({
        "name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "labels": meta.labels,
        "creationTimestamp": meta.creation_timestamp, "deletionTimestamp": meta.deletion_timestamp,
        "ownerReferences": meta.owner_references, "finalizers": meta.finalizers,
        "nodeName": spec.node_name, "hostname": spec.hostname, "subdomain": spec.subdomain,
        "hostNetwork": spec.host_network, "restartPolicy": spec.restart_policy,
        "runtimeClassName": spec.runtime_class_name, "tolerations": spec.tolerations,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "initContainers": inits, "containers": containers, "volumes": volumes, "status": pod.status,
    })
}

fn container(container: &Container) -> Value {
    json!({
        "name": container.name, "image": container.image, "ports": container.ports,
        "resources": container.resources, "volumeMounts": container.volume_mounts,
        "securityContext": container.security_context,
    })
}

/// Its name, and which kinds of source it has.
fn volume(volume: &Volume) -> Value {
    let all = serde_json::to_value(volume).unwrap_or_default();
    let kinds = all.as_object().into_iter().flatten();
    let kinds: Vec<&String> = kinds
        .map(|(key, _)| key)
        .filter(|it| *it != "name")
        .collect();
    json!({"name": volume.name, "kinds": kinds})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_pod_nothing_is_told_that_may_be_secret() {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "w", "annotations": {"a": "s3cret-1"}},
            "spec": {
                "containers": [{
                    "name": "c", "image": "i", "args": ["s3cret-2"], "command": ["s3cret-3"],
                    "env": [{"name": "PASSWORD", "value": "s3cret-4"}],
                    "lifecycle": {"preStop": {"exec": {"command": ["s3cret-5"]}}},
                    "livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "A", "value": "s3cret-6"}]}},
                }],
                "initContainers": [{"name": "i", "env": [{"name": "P", "value": "s3cret-7"}]}],
                "volumes": [{"name": "v", "nfs": {"server": "s3cret-8", "path": "/"}}],
            },
            "status": {"phase": "Running"},
        }))
        .expect("a pod");
        let told = evidence_of(&pod);
        assert!(!told.to_string().contains("s3cret"), "{told:#}");
        assert_eq!(told["volumes"][0]["kinds"], json!(["nfs"]));
        assert_eq!(told["status"]["phase"], "Running");
    }
}
