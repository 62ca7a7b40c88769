//! What a kubelet can do: its feature gate, and a checkpoint call for a pod that cannot exist.

use http::Request;
use tokio::time::timeout;

use super::super::KubeCluster;
use super::super::checkpoint::NOT_A_STATUS;
use super::super::error::port_error;
use super::remedies::checkpoint_remedies;
use super::{Answer, LIMIT};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// No pod and no container can have this name, so nothing of this name is ever checkpointed.
const NOBODY: &str = "_";

/// What a kubelet answers once it would take a checkpoint, if only there were such a pod. It looks for
/// the pod after it has authorized the call (Kubernetes 1.36, pkg/kubelet/server).
const NO_SUCH_POD: &str = "pod does not exist";

/// A feature gate, as a kubelet's metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// This kubelet does not tell.
    Untold,
}

impl KubeCluster {
    /// Whether a checkpoint call to `node` would get through: the caller's right, the API server's
    /// own, and the kubelet's feature gate. It is made for a pod that cannot exist, so no process is
    /// touched.
    pub async fn try_checkpoint_call(&self, node: &str) -> Answer {
        let namespace = &self.inner.namespace;
        let path = format!("/api/v1/nodes/{node}/proxy/checkpoint/{namespace}/{NOBODY}/{NOBODY}");
        let Ok(request) = Request::post(path).body(Vec::new()) else {
            return Answer::Unknown(format!("{node:?} cannot be the name of a node"));
        };
        let asked = self.inner.checkpoints.request_text(request);
        match timeout(LIMIT, asked).await {
            Ok(Ok(text)) => Answer::Unknown(format!("the kubelet answers {text:?}")),
            Ok(Err(kube::Error::Api(status))) => {
                let from_kubelet = status.reason == NOT_A_STATUS;
                read(node, status.code, from_kubelet, &status.message)
            }
            Ok(Err(error)) => {
                Answer::Unknown(port_error("make a checkpoint call", &error).to_string())
            }
            Err(_) => Answer::No {
                words: format!(
                    "no answer from the kubelet of node {node} within {} s",
                    LIMIT.as_secs()
                ),
                remedies: vec![format!("see how the node is: kubectl describe node {node}")],
            },
        }
    }

    /// Whether the kubelet of `node` has the feature gate of that name on, by its metrics.
    ///
    /// # Errors
    /// [`PortError::Denied`] without the right to read them.
    pub async fn feature_gate(&self, node: &str, name: &str) -> PortResult<Gate> {
        let what = format!("read the metrics of the kubelet on node {node}");
        let request = Request::get(format!("/api/v1/nodes/{node}/proxy/metrics"))
            .body(Vec::new())
            .map_err(|error| PortError::Invalid(error.to_string()))?;
        match timeout(LIMIT, self.inner.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(gate(&text, name)),
            Ok(Err(error)) => Err(port_error(what, &error)),
            Err(_) => Err(PortError::Unreachable(format!(
                "cannot {what}: no answer within {} s",
                LIMIT.as_secs()
            ))),
        }
    }
}

/// The answer to a checkpoint call for nobody.
fn read(node: &str, code: u16, from_kubelet: bool, text: &str) -> Answer {
    let text = text.trim();
    if code == 404 && from_kubelet && text.contains(NO_SUCH_POD) {
        return Answer::Yes;
    }
    if !from_kubelet && matches!(code, 401 | 403) {
        return Answer::Unknown(text.to_owned());
    }
    Answer::No {
        words: if text.is_empty() {
            format!("HTTP {code} without a word")
        } else {
            text.to_owned()
        },
        remedies: checkpoint_remedies(node, code, from_kubelet, text),
    }
}

/// `kubernetes_feature_enabled{name="ContainerCheckpoint",stage="BETA"} 1` (Prometheus text format).
fn gate(metrics: &str, name: &str) -> Gate {
    let label = format!("name=\"{name}\"");
    let found = metrics.lines().find(|line| {
        line.starts_with("kubernetes_feature_enabled{") && line.contains(label.as_str())
    });
    match found.and_then(|line| line.rsplit(' ').next()) {
        Some("1") => Gate::On,
        Some(_) => Gate::Off,
        None => Gate::Untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_read_from_metrics() {
        let text = "# TYPE kubernetes_feature_enabled gauge\n\
                    kubernetes_feature_enabled{name=\"Other\",stage=\"\"} 1\n\
                    kubernetes_feature_enabled{name=\"ContainerCheckpoint\",stage=\"BETA\"} 0\n";
        assert_eq!(gate(text, "ContainerCheckpoint"), Gate::Off);
        assert_eq!(gate(text, "Other"), Gate::On);
        assert_eq!(gate(text, "Nothing"), Gate::Untold);
    }

    #[test]
    fn a_call_for_nobody_tells_three_refusals_apart() {
        assert_eq!(read("a", 404, true, "pod does not exist\n"), Answer::Yes);
        let remedies = |answer: Answer| match answer {
            Answer::No { remedies, .. } => remedies.join("\n"),
            other => panic!("{other:?}"),
        };
        let gate = remedies(read("a", 404, true, "404 page not found"));
        assert!(gate.contains("ContainerCheckpoint: true"), "{gate}");
        let own = remedies(read(
            "a",
            403,
            true,
            "Forbidden (user=system:apiserver, verb=create, resource=nodes, subresource(s)=[checkpoint])",
        ));
        assert!(own.contains("--user=system:apiserver"), "{own}");
        let caller = read("a", 403, false, "nodes \"a\" is forbidden");
        assert!(matches!(caller, Answer::Unknown(_)));
        let node = read("a", 404, false, "nodes \"a\" not found");
        assert!(matches!(node, Answer::No { .. }));
    }
}
