//! Whether what was installed works: a CRD that is established, a Deployment whose newest pods all
//! serve, objects that are gone.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use kube::runtime::wait::{await_condition, conditions};
use tokio::time::{Instant, sleep, timeout};

use super::KubeCluster;
use super::error::chain;
use super::objects::Which;
use super::pages;
use super::start::{Start, start_of};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How often something is looked for that goes, of many kinds: not worth a watch each.
const LOOK: Duration = Duration::from_millis(250);

impl KubeCluster {
    /// Waits until the API server serves the CRD; `false` when it takes longer than `limit`.
    ///
    /// # Errors
    /// It cannot be watched.
    pub async fn crd_is_served(&self, name: &str, limit: Duration) -> PortResult<bool> {
        let api: Api<CustomResourceDefinition> = Api::all(self.inner.client.clone());
        let established = await_condition(api, name, conditions::is_crd_established());
        within(limit, Box::pin(established), &format!("watch CRD {name}")).await
    }

    /// Waits until all pods of the Deployment are those of its newest template and available;
    /// `false` when that takes longer than `limit`.
    ///
    /// # Errors
    /// It cannot be watched.
    pub async fn deployment_serves(
        &self,
        namespace: &str,
        name: &str,
        limit: Duration,
    ) -> PortResult<bool> {
        let api: Api<Deployment> = Api::namespaced(self.inner.client.clone(), namespace);
        let rolled_out = |found: Option<&Deployment>| found.is_some_and(is_rolled_out);
        let serves = await_condition(api, name, rolled_out);
        within(limit, Box::pin(serves), &format!("watch Deployment {name}")).await
    }

    /// What hinders the pods that `selector` selects, a line each.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn hindrances(&self, namespace: &str, selector: &str) -> PortResult<Vec<String>> {
        let api: Api<Pod> = Api::namespaced(self.inner.client.clone(), namespace);
        let params = ListParams::default().labels(selector);
        let pods = pages::all(&self.inner.retry, &api, params, "list the pods").await?;
        if pods.is_empty() {
            return Ok(vec!["it has no pod".to_owned()]);
        }
        Ok(pods.iter().filter_map(hindrance).collect())
    }

    /// Waits until none of the objects is there; those that still are after `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn gone(&self, objects: &[Which], limit: Duration) -> PortResult<Vec<Which>> {
        let until = Instant::now() + limit;
        let mut left = objects.to_vec();
        loop {
            let mut still = Vec::new();
            for which in left {
                if self.find_object(&which).await?.is_some() {
                    still.push(which);
                }
            }
            if still.is_empty() || Instant::now() >= until {
                return Ok(still);
            }
            left = still;
            sleep(LOOK).await;
        }
    }
}

async fn within<T>(
    limit: Duration,
    wait: impl Future<Output = Result<T, kube::runtime::wait::Error>>,
    what: &str,
) -> PortResult<bool> {
    match timeout(limit, wait).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => Err(PortError::Invalid(format!(
            "cannot {what}: {}",
            chain(&error)
        ))),
        Err(_) => Ok(false),
    }
}

/// As `kubectl rollout status` sees it.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or_default() == wanted
        && status.replicas.unwrap_or_default() == wanted
        && status.available_replicas.unwrap_or_default() == wanted
}

fn hindrance(pod: &Pod) -> Option<String> {
    let words = match start_of(pod, None) {
        Start::Running { ready: true } => return None,
        Start::Running { ready: false } => "it runs, and is not ready".to_owned(),
        Start::Starting(words) | Start::Trouble { words, .. } | Start::Ended(words) => words,
    };
    Some(format!("pod {}: {words}", pod.name_any()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_over_when_all_new_pods_serve_and_no_old_one_is_left() {
        let deployment = |generation: i64, replicas: i32, updated: i32, available: i32| {
            let value = json!({
                "metadata": {"generation": generation},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available},
            });
            serde_json::from_value::<Deployment>(value).expect("a Deployment")
        };
        assert!(is_rolled_out(&deployment(2, 2, 2, 2)));
        assert!(!is_rolled_out(&deployment(3, 2, 2, 2)), "not seen yet");
        assert!(
            !is_rolled_out(&deployment(2, 3, 2, 2)),
            "an old one is left"
        );
        assert!(!is_rolled_out(&deployment(2, 2, 1, 2)), "one is old");
        assert!(
            !is_rolled_out(&deployment(2, 2, 2, 1)),
            "one does not serve"
        );
    }
}
