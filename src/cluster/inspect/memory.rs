//! How much memory a container has in use, by its kubelet's summary.

use http::Request;
use serde::Deserialize;
use tokio::time::timeout;

use super::super::KubeCluster;
use super::super::error::port_error;
use super::LIMIT;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The part of `/stats/summary` that is looked at (k8s.io/kubelet, stats/v1alpha1).
#[derive(Debug, Deserialize)]
struct Summary {
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: Reference,
    #[serde(default)]
    containers: Vec<ContainerStats>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct ContainerStats {
    name: String,
    #[serde(default)]
    memory: Option<Memory>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    /// What of it is in use and not to be had back easily.
    #[serde(default)]
    working_set_bytes: Option<u64>,
}

impl KubeCluster {
    /// Bytes of memory that a container of this namespace has in use; `None` when its kubelet does not
    /// tell.
    ///
    /// # Errors
    /// [`PortError::Denied`] without the right to read it.
    pub async fn memory_of(
        &self,
        node: &str,
        pod: &str,
        container: &str,
    ) -> PortResult<Option<u64>> {
        let what = format!("read the summary of the kubelet on node {node}");
        let request = Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary"))
            .body(Vec::new())
            .map_err(|error| PortError::Invalid(error.to_string()))?;
        let asked = self.inner.client.request::<Summary>(request);
        match timeout(LIMIT, asked).await {
            Ok(Ok(summary)) => Ok(memory(&summary, &self.inner.namespace, pod, container)),
            Ok(Err(error)) => Err(port_error(what, &error)),
            Err(_) => Err(PortError::Unreachable(format!(
                "cannot {what}: no answer within {} s",
                LIMIT.as_secs()
            ))),
        }
    }
}

fn memory(summary: &Summary, namespace: &str, pod: &str, container: &str) -> Option<u64> {
    let of_pod = summary
        .pods
        .iter()
        .find(|it| it.pod_ref.namespace == namespace && it.pod_ref.name == pod)?;
    let found = of_pod.containers.iter().find(|it| it.name == container)?;
    found.memory.as_ref()?.working_set_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_found_among_others() {
        let told = r#"{"node":{"nodeName":"a"},"pods":[
            {"podRef":{"name":"w","namespace":"other","uid":"u"},"containers":[{"name":"w","memory":{"workingSetBytes":1}}]},
            {"podRef":{"name":"w","namespace":"shop","uid":"v"},"containers":[
                {"name":"side"}, {"name":"w","memory":{"time":"x","usageBytes":9,"workingSetBytes":7}}]}]}"#;
        let summary: Summary = serde_json::from_str(told).expect("it is read");
        assert_eq!(memory(&summary, "shop", "w", "w"), Some(7));
        assert_eq!(memory(&summary, "shop", "w", "side"), None);
        assert_eq!(memory(&summary, "shop", "x", "w"), None);
    }
}
