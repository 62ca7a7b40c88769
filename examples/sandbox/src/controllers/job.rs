//! The Job controller: makes pods until enough have succeeded or too many failed, and deletes
//! finished Jobs when their time is over. Their pods go with them by garbage collection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use rand::RngExt as _;
use serde_json::json;

use super::job_memory::JobMemory;
use super::job_status::{Decision, Outcome, decide, status};
use super::{RETRY, observe, owners};
use crate::node::{Recorder, Severity};

/// The first pause before a failed pod is replaced.
const POD_BACKOFF: Duration = Duration::from_secs(10);

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (jobs, job_changes) = observe::<Job>(Api::all(client.clone()));
    let (_, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let mut controller = Controller {
        memories: HashMap::new(),
        recorder: Recorder::new(client.clone(), "job-controller", None),
        client,
    };
    let mut changes = std::pin::pin!(futures_util::stream::select(job_changes, pod_changes));
    let mut pause = None;
    loop {
        let timer = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = timer => {}
        }
        pause = None;
        let known = jobs.state();
        controller.forget_all_but(&known);
        let pods = match controller.pods(&known).await {
            Ok(pods) => pods,
            Err(error) => {
                tracing::warn!(%error, "the pods of Jobs cannot be listed");
                pause = Some(RETRY);
                continue;
            }
        };
        for job in known {
            let next = match controller.reconcile(&job, &pods).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(job = job.name_any(), %error, "job not reconciled");
                    Some(RETRY)
                }
            };
            pause = pause.into_iter().chain(next).min();
        }
    }
}

struct Controller {
    client: Client,
    /// By the uids of the Jobs.
    memories: HashMap<String, JobMemory>,
    recorder: Recorder,
}

impl Controller {
    fn forget_all_but(&mut self, jobs: &[Arc<Job>]) {
        self.memories
            .retain(|uid, _| jobs.iter().any(|job| job.uid().as_ref() == Some(uid)));
    }

    /// The pods of all Jobs. Asked for, not remembered: a pod made a moment ago must be counted.
    async fn pods(&self, jobs: &[Arc<Job>]) -> kube::Result<Vec<Pod>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let pods: Api<Pod> = Api::all(self.client.clone());
        let of_jobs = ListParams::default().labels("batch.kubernetes.io/job-name");
        pods.list(&of_jobs).await.map(|listed| listed.items)
    }

    /// Makes the world as the Job says; the time is when to look again without a change.
    async fn reconcile(
        &mut self,
        job: &Job,
        pods_of_jobs: &[Pod],
    ) -> kube::Result<Option<Duration>> {
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let namespace = job.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let mut own: Vec<_> = pods_of_jobs
            .iter()
            .filter(|pod| {
                pod.owner_references()
                    .iter()
                    .any(|owner| owner.uid == job.uid().unwrap_or_default())
            })
            .cloned()
            .collect();
        let now = Timestamp::now();
        let memory = self
            .memories
            .entry(job.uid().unwrap_or_default())
            .or_default();
        let gone = memory.look(&own, now);
        // What this controller has deleted is nobody's failure.
        own.retain(|pod| !memory.has_deleted(pod) && !memory.has_failed_for_good(pod));
        let decision = decide(job, &own, gone, now, POD_BACKOFF);
        for pod in &own {
            let name = pod.name_any();
            if decision.delete.contains(&name) {
                memory.deletes(pod);
                delete(&pods, &name).await?;
            }
        }
        let mut created = 0;
        for _ in 0..decision.create {
            self.create_pod(&pods, job).await?;
            created += 1;
        }
        self.report(job, &decision, created, now).await?;
        if decision.expired {
            return self.delete_job(job).await.map(|()| None);
        }
        Ok(decision.look_again)
    }

    async fn create_pod(&self, pods: &Api<Pod>, job: &Job) -> kube::Result<()> {
        let template = job
            .spec
            .as_ref()
            .map(|spec| spec.template.clone())
            .unwrap_or_default();
        let meta = template.metadata.unwrap_or_default();
        let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
        let mut labels = meta.labels.unwrap_or_default();
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            labels.insert(key.to_owned(), value.clone());
        }
        let pod = Pod {
            metadata: ObjectMeta {
                name: Some(format!("{name}-{}", suffix())),
                labels: Some(labels),
                annotations: meta.annotations,
                owner_references: owners::reference(job).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        };
        match pods.create(&PostParams::default(), &pod).await {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name_any());
                self.record(job, Severity::Normal, "SuccessfulCreate", &message);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                self.record(job, Severity::Warning, "FailedCreate", &message);
                Err(error)
            }
        }
    }

    async fn report(
        &self,
        job: &Job,
        decision: &Decision,
        created: i32,
        now: Timestamp,
    ) -> kube::Result<()> {
        let wanted = status(job, decision, created, now);
        if job.status.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let jobs: Api<Job> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let mut patch = json!(wanted);
        for field in ["active", "ready", "terminating"] {
            if patch.get(field).is_none() {
                patch[field] = json!(0);
            }
        }
        let patch = Patch::Merge(json!({ "metadata": { "uid": job.uid() }, "status": patch }));
        match jobs
            .patch_status(&job.name_any(), &PatchParams::default(), &patch)
            .await
        {
            // The Job is gone, or another one has its name: what is known of it is out of date, and
            // the watch brings the news.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return Ok(()),
            patched => drop(patched?),
        }
        match &decision.outcome {
            Outcome::Complete => self.record(job, Severity::Normal, "Completed", "Job completed"),
            Outcome::Failed { reason, message } => {
                self.record(job, Severity::Warning, reason, message);
            }
            Outcome::Running | Outcome::Finished => {}
        }
        Ok(())
    }

    async fn delete_job(&self, job: &Job) -> kube::Result<()> {
        let jobs: Api<Job> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let options = DeleteParams {
            preconditions: Some(Preconditions {
                uid: job.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match jobs.delete(&job.name_any(), &options).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    fn record(&self, job: &Job, severity: Severity, reason: &str, message: &str) {
        self.recorder
            .record(job.object_ref(&()), severity, reason, message);
    }
}

async fn delete(pods: &Api<Pod>, name: &str) -> kube::Result<()> {
    match pods.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// Five letters and digits, of those that Kubernetes uses: none that make words.
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}
