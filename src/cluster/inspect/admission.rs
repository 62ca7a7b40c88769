//! What admission would say to the pods that a migration makes, asked by a dry run: Pod Security,
//! quotas and whatever webhooks there are, each in its own words.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use super::super::KubeCluster;
use super::super::target::target_pod;
use super::super::transfer::transfer_job;
use super::Answer;
use super::remedies::admission_remedies;
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, RestoreOrder, TransferOrder};

/// A pod that is tried.
#[derive(Debug, Clone, Copy)]
pub enum Trial<'a> {
    /// That of the transfer Job.
    Transfer(&'a TransferOrder),
    /// The target pod, under a name of its own.
    Target(&'a RestoreOrder),
}

impl KubeCluster {
    /// Whether the namespace would take the pod.
    pub async fn try_pod(&self, trial: Trial<'_>) -> Answer {
        let pod = match self.pod_of(trial).await {
            Ok(pod) => pod,
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let pods: Api<Pod> = self.pods();
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let made = self
            .inner
            .retry
            .run("try a pod", || pods.create(&parameters, &pod))
            .await;
        match made {
            Ok(_) => Answer::Yes,
            Err(error) => admission_answer(self.namespace(), error),
        }
    }

    async fn pod_of(&self, trial: Trial<'_>) -> PortResult<Pod> {
        match trial {
            Trial::Transfer(order) => {
                let job = transfer_job(self.namespace(), order)?;
                let template = job.spec.map(|spec| spec.template).unwrap_or_default();
                let labels = template.metadata.and_then(|metadata| metadata.labels);
                Ok(Pod {
                    metadata: ObjectMeta {
                        generate_name: Some(format!("{}-", order.name)),
                        labels,
                        ..ObjectMeta::default()
                    },
                    spec: template.spec,
                    status: None,
                })
            }
            Trial::Target(order) => {
                let source = self.known_pod(&order.source_pod).await?.ok_or_else(|| {
                    PortError::NotFound(format!("there is no pod {}", order.source_pod))
                })?;
                let mut pod = target_pod(&source, order)?;
                pod.metadata.name = None;
                pod.metadata.generate_name = Some(format!("{}-", order.target_pod));
                Ok(pod)
            }
        }
    }
}

/// What it means that a pod could not be made in `namespace`.
pub(in super::super) fn admission_answer(namespace: &str, error: PortError) -> Answer {
    match error {
        // Without the right to make pods nothing was asked; with it, this is admission.
        PortError::Denied(words) if words.contains("cannot create resource") => {
            Answer::Unknown(words)
        }
        // A webhook that has effects of its own takes no part in a dry run.
        PortError::Denied(words) | PortError::Invalid(words)
            if words.contains("does not support dry run") =>
        {
            Answer::Unknown(words)
        }
        PortError::Denied(words) | PortError::Invalid(words) => Answer::No {
            remedies: admission_remedies(namespace, &words),
            words,
        },
        error => Answer::Unknown(error.to_string()),
    }
}
