//! Pods and Jobs made, looked at and removed. All of it may be repeated: names are fixed, so
//! what is there already is looked at instead of made again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::KubeCluster;
use super::adapter::lock;
use super::error::{is_already_exists, port_error};
use super::image_pull::image_pull_pod;
use super::naming::{TRANSFER_LABEL, role};
use super::start::{Start, is_pulled, start_of};
use super::target::handed_over;
use super::transfer::{Following, MadeJob, TransferView, job_label, transfer_job};
use super::view::is_node_ready;
use crate::api::{MIGRATION_LABEL, ROLE_LABEL};
use crate::migration::error::PortError;
use crate::migration::ports::{ImagePull, PortResult, TransferOrder};

/// How much longer than its grace period the end of a pod is waited for.
const GONE_AFTER_GRACE: Duration = Duration::from_secs(60);

/// How long after its grace period a pod's node is looked at, and how often from then on.
const LOOK_AT_NODE: Duration = Duration::from_secs(3);

/// Grace period of a transfer that is not wanted any more.
const TRANSFER_GRACE: Duration = Duration::from_secs(1);

impl KubeCluster {
    /// Ensures `wanted`. One that is there already must belong to the same migration.
    pub(super) async fn ensure<K>(&self, wanted: &K) -> PortResult<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.inner.client.clone(), &self.inner.namespace);
        let name = wanted.name_any();
        let kind = K::kind(&()).into_owned();
        let what = format!("make {kind} {name}");
        let parameters = PostParams::default();
        let made = self
            .inner
            .retry
            .run(&what, || async {
                match api.create(&parameters, wanted).await {
                    Ok(made) => Ok(Some(made)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        if let Some(made) = made {
            return Ok(made);
        }
        let found = self.inner.retry.run(&what, || api.get(&name)).await?;
        let ours = found.labels().get(MIGRATION_LABEL) == wanted.labels().get(MIGRATION_LABEL);
        if !ours {
            return Err(PortError::Conflict(format!(
                "{kind} {name} is there already and does not belong to this migration"
            )));
        }
        if found.meta().deletion_timestamp.is_some() {
            return Err(PortError::Conflict(format!(
                "an earlier {kind} {name} is still being deleted"
            )));
        }
        Ok(found)
    }

    pub(super) async fn make_image_pull(
        &self,
        migration: &str,
        name: &str,
        node: &str,
        image: &str,
        source_pod: &str,
    ) -> PortResult<()> {
        let source = self
            .known_pod(source_pod)
            .await?
            .ok_or_else(|| PortError::NotFound(format!("there is no pod {source_pod}")))?;
        let spec = source.spec.clone().unwrap_or_default();
        let wanted = image_pull_pod(migration, name, node, image, &spec);
        let pod = self.ensure(&wanted).await?;
        self.inner.watches.observe(pod);
        Ok(())
    }

    pub(super) async fn see_image_pull(&self, name: &str) -> PortResult<ImagePull> {
        let Some(pod) = self.inner.watches.current(name).await? else {
            return Ok(ImagePull::Absent);
        };
        if is_pulled(&pod) {
            return Ok(ImagePull::Present);
        }
        Ok(match start_of(&pod, None) {
            Start::Ended(words) => ImagePull::Failed(words),
            Start::Trouble { words, grace } => {
                if self.inner.watches.trouble(name, true) >= grace {
                    ImagePull::Failed(words)
                } else {
                    ImagePull::Pulling
                }
            }
            Start::Starting(_) | Start::Running { .. } => {
                self.inner.watches.trouble(name, false);
                ImagePull::Pulling
            }
        })
    }

    pub(super) async fn make_transfer(&self, order: &TransferOrder) -> PortResult<()> {
        let job = transfer_job(&self.inner.namespace, order)?;
        let made = self.ensure(&job).await?;
        let made = MadeJob::of(&made);
        lock(&self.inner.transfers)
            .made
            .insert(order.name.clone(), made);
        Ok(())
    }

    /// The Job of that name, as it is followed from now on if it was not before.
    pub(super) fn followed(&self, name: &str) -> TransferView {
        let inner = &self.inner;
        let mut transfers = lock(&inner.transfers);
        if let Some(following) = transfers.following.get(name)
            && !following.has_failed()
        {
            return following.view();
        }
        let made = transfers.made.get(name).cloned();
        let following = Following::start(&inner.client, &inner.retry, &inner.namespace, name, made);
        let view = following.view();
        transfers.following.insert(name.to_owned(), following);
        view
    }

    pub(super) async fn unmake_transfer(&self, name: &str) -> PortResult<()> {
        let jobs: Api<Job> = Api::namespaced(self.inner.client.clone(), &self.inner.namespace);
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let what = format!("delete Job {name}");
        self.inner
            .retry
            .run(&what, || async {
                absent_is_fine(jobs.delete(name, &params).await)
            })
            .await?;
        let has_ended = {
            let mut transfers = lock(&self.inner.transfers);
            // Another one of that name is another one.
            transfers.following.remove(name);
            transfers.made.remove(name);
            transfers.ended.remove(name)
        };
        if has_ended {
            // Its pod has ended, and the garbage collector takes it away.
            return Ok(());
        }
        let selector = format!("{TRANSFER_LABEL}={}", job_label(name));
        let params = ListParams::default().labels(&selector);
        let pods = self.pods();
        let left = self
            .inner
            .retry
            .run("list the transfer's pods", || pods.list(&params))
            .await?;
        for pod in left {
            let uid = pod.uid();
            self.delete_pod(&pod.name_any(), uid.as_deref(), TRANSFER_GRACE)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn delete_pod(
        &self,
        name: &str,
        uid: Option<&str>,
        grace: Duration,
    ) -> PortResult<()> {
        // With 0 the API server would forget the pod at once, while its process may still run.
        let (at_once, grace) = (grace.is_zero(), grace.max(Duration::from_secs(1)));
        let Some(pod) = self.ask_to_end(name, uid, grace).await? else {
            return Ok(());
        };
        let uid = pod.uid().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        // Not watched from the answer on: a pod that had ended is gone at once, and its deletion may
        // be the very change that the answer has the version of.
        let limit = grace + GONE_AFTER_GRACE;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let look = (grace + LOOK_AT_NODE).min(end.saturating_duration_since(Instant::now()));
            if self.inner.watches.gone(name, &uid, look).await? {
                return Ok(());
            }
            if self.is_lost(node.as_deref()).await? {
                if at_once {
                    // Its name may be needed. Should the node come back, its kubelet ends what the API
                    // server does not know.
                    self.ask_to_end(name, Some(&uid), Duration::ZERO).await?;
                }
                return Ok(());
            }
        }
        Err(PortError::Busy(format!(
            "pod {name} was asked to end {} s ago and is still there",
            limit.as_secs()
        )))
    }

    /// One request for its end; `None` when there is no such pod.
    pub(super) async fn ask_to_end(
        &self,
        name: &str,
        uid: Option<&str>,
        grace: Duration,
    ) -> PortResult<Option<Pod>> {
        let params = DeleteParams {
            grace_period_seconds: Some(u32::try_from(grace.as_secs()).unwrap_or(u32::MAX)),
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = format!("delete pod {name}");
        let pods = self.pods();
        self.inner
            .retry
            .run(&what, || async {
                match pods.delete(name, &params).await {
                    Ok(answer) => Ok(answer.left()),
                    Err(error) if is_uid_mismatch(&error) && uid.is_some() => Ok(None),
                    Err(error) => absent_is_fine(Err(error)).map(|_: Option<Pod>| None),
                }
            })
            .await
    }

    /// Whether the node is not ready or gone. A pod there that was asked to end has ended, or
    /// does so as soon as its node is back; nobody tells before that, so nobody waits for it.
    async fn is_lost(&self, node: Option<&str>) -> PortResult<bool> {
        let Some(name) = node else {
            return Ok(false);
        };
        let found = self.find_node(name).await?;
        Ok(!found.as_ref().is_some_and(is_node_ready))
    }

    pub(super) async fn see_belongings(
        &self,
        migration: &str,
        transfer: &str,
    ) -> PortResult<Vec<String>> {
        let (retry, pods) = (&self.inner.retry, self.pods());
        let params = ListParams::default().labels(&format!("{MIGRATION_LABEL}={migration}"));
        let what = format!("list the pods of migration {migration}");
        let found = retry.run(&what, || pods.list(&params)).await?;
        let mut left: Vec<String> = found
            .iter()
            .map(|pod| format!("pod {}", pod.name_any()))
            .collect();
        // Its Secret has its name, and goes with it.
        let receivers = found
            .iter()
            .filter(|pod| pod.labels().get(ROLE_LABEL).map(String::as_str) == Some(role::RECEIVER));
        left.extend(receivers.map(|pod| format!("Secret {}", pod.name_any())));
        let jobs: Api<Job> = Api::namespaced(self.inner.client.clone(), &self.inner.namespace);
        let what = format!("look at Job {transfer}");
        let job = retry.run(&what, || jobs.get_opt(transfer)).await?;
        left.extend(job.map(|job| format!("Job {}", job.name_any())));
        Ok(left)
    }

    pub(super) async fn give_labels(&self, target: &str) -> PortResult<()> {
        let pod: Arc<Pod> = self
            .inner
            .watches
            .current(target)
            .await?
            .ok_or_else(|| PortError::NotFound(format!("there is no pod {target}")))?;
        let patch = Patch::Merge(json!({"metadata": {
            // Only this very pod; another of the same name is none of ours.
            "uid": pod.uid(),
            "labels": handed_over(&pod)?,
        }}));
        let what = format!("label pod {target}");
        let pods = self.pods();
        let params = PatchParams::default();
        self.inner
            .retry
            .run(&what, || pods.patch(target, &params, &patch))
            .await?;
        Ok(())
    }
}

/// An object that is not there needs no deletion.
pub(super) fn absent_is_fine<T>(answer: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a deletion was refused because the pod of that name is another one.
fn is_uid_mismatch(error: &kube::Error) -> bool {
    matches!(port_error("", error), PortError::Conflict(_))
}
