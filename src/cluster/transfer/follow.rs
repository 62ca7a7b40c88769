//! Follows a transfer Job to its end. Every wait has a way out: a report, a pod that cannot
//! start, is gone or sits on a dead node, a Job that makes no pod, the deadline.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use ms2m_transfer::Report;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::known::trimmed;
use super::super::naming::TRANSFER_LABEL;
use super::super::retry::Retry;
use super::super::start::{Start, main_status, start_of, terminated_words};
use super::super::view::{is_node_ready, is_ready};
use super::job::{CONTAINER, label_value};
use super::job_pods::{MadeJob, PodsOf};
use super::progress::{self, Told};
use crate::migration::ports::{PortResult, TransferEnd};

/// When the Job is looked at that has made no pod yet, and how often from then on.
const LOOK: Duration = Duration::from_secs(5);

/// How long a Job may take to make its pod.
const NO_POD: Duration = Duration::from_secs(60);

/// How long after the Job's own deadline its end is waited for.
const AFTER_DEADLINE: Duration = Duration::from_secs(60);

/// How long a pod that was asked to end may take.
const TERMINATING: Duration = Duration::from_secs(30);

/// Follows one Job.
pub(super) struct Follow {
    client: Client,
    retry: Arc<Retry>,
    pods: Api<Pod>,
    jobs: Api<Job>,
    namespace: String,
    name: String,
}

/// What is known of the Job's pod.
#[derive(Default)]
struct State {
    pod: Option<Pod>,
    was_there: bool,
    /// How long the pod is waited for before the Job is asked about again.
    ask_again: Duration,
    trouble_since: Option<Instant>,
    terminating_since: Option<Instant>,
    log: Option<AbortOnDrop>,
}

impl Follow {
    pub(super) fn new(client: &Client, retry: Arc<Retry>, namespace: &str, name: &str) -> Self {
        Self {
            client: client.clone(),
            retry,
            pods: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Until the Job has ended. `made` is the Job, if the caller knows it.
    pub(super) async fn run(
        self,
        made: Option<MadeJob>,
        tells: impl Fn(Told) + Send,
    ) -> PortResult<TransferEnd> {
        let known = match made {
            Some(made) => Some(made),
            None => self.job().await?.as_ref().map(MadeJob::of),
        };
        let Some(made) = known else {
            return Ok(TransferEnd::Lost(format!("there is no Job {}", self.name)));
        };
        let (tell, mut told) = mpsc::channel(16);
        // Boxed: a channel has room for 32 of what it carries from the start.
        let (see, mut seen) = mpsc::channel(16);
        let deadline = made.deadline;
        let selector = format!("{TRANSFER_LABEL}={}", label_value(&self.name));
        let watch = PodsOf::new(self.pods.clone(), selector, made).run(see);
        let watch = tokio::spawn(watch);
        let _watch = AbortOnDrop(watch.abort_handle());
        let begin = Instant::now();
        let end = begin + deadline + AFTER_DEADLINE;
        let mut state = State::default();
        let mut look = begin + LOOK;
        loop {
            tokio::select! {
                Some(now) = told.recv() => tells(now),
                Some(pod) = seen.recv() => {
                    if let Some(ended) = self.pod_changed(&mut state, pod.map(|it| *it), &tell).await? {
                        while let Ok(now) = told.try_recv() {
                            tells(now);
                        }
                        return Ok(ended);
                    }
                }
                () = sleep_until(look) => {
                    if let Some(words) = self.stuck(&mut state, begin).await? {
                        return Ok(TransferEnd::Lost(words));
                    }
                    look = Instant::now() + LOOK;
                }
                () = sleep_until(end) => {
                    return Ok(TransferEnd::Lost(format!(
                        "Job {} has not ended {} s after it was made",
                        self.name,
                        (deadline + AFTER_DEADLINE).as_secs()
                    )));
                }
            }
        }
    }

    async fn job(&self) -> PortResult<Option<Job>> {
        let what = format!("read Job {}", self.name);
        self.retry
            .run(&what, || self.jobs.get_opt(&self.name))
            .await
    }

    /// Looks at the pod as it is now.
    async fn pod_changed(
        &self,
        state: &mut State,
        pod: Option<Pod>,
        tell: &mpsc::Sender<Told>,
    ) -> PortResult<Option<TransferEnd>> {
        let Some(pod) = pod else {
            state.pod = None;
            return if state.was_there {
                Ok(Some(TransferEnd::Lost(self.why_gone().await?)))
            } else {
                Ok(None)
            };
        };
        state.was_there = true;
        if let Some(ended) = ended(&pod) {
            return Ok(Some(ended));
        }
        if state.log.is_none() && is_running(&pod) {
            let task = progress::read(self.pods.clone(), pod.name_any(), tell.clone());
            state.log = Some(AbortOnDrop(tokio::spawn(task).abort_handle()));
        }
        state.pod = Some(trimmed(pod));
        Ok(judge(state).map(TransferEnd::Lost))
    }

    /// Looks for reasons why nothing happens. None is told by a change, so this comes by time.
    async fn stuck(&self, state: &mut State, begin: Instant) -> PortResult<Option<String>> {
        if state.pod.is_none() && !state.was_there {
            // On a busy cluster the pod comes late, and asking for it makes the cluster no quicker.
            let waited = begin.elapsed();
            if waited < state.ask_again {
                return Ok(None);
            }
            state.ask_again = (waited * 2).min(NO_POD);
            return self.no_pod(waited).await;
        }
        if let Some(words) = judge(state) {
            return Ok(Some(words));
        }
        let Some(pod) = &state.pod else {
            return Ok(None);
        };
        if is_running(pod) && !is_ready(pod) {
            return self.dead_node(pod).await;
        }
        Ok(None)
    }

    /// Why there is no pod, if that will not change.
    async fn no_pod(&self, waited: Duration) -> PortResult<Option<String>> {
        let Some(job) = self.job().await? else {
            return Ok(Some(format!("Job {} was deleted", self.name)));
        };
        if let Some(words) = failure(&job) {
            return Ok(Some(words));
        }
        let refused = self.refusal().await;
        if refused.is_some() || waited >= NO_POD {
            let why = refused.unwrap_or_else(|| {
                format!(
                    "no pod after {} s; does the Job controller run?",
                    waited.as_secs()
                )
            });
            return Ok(Some(format!("Job {} makes no pod: {why}", self.name)));
        }
        Ok(None)
    }

    /// The Job controller's last words when it was not allowed to make the pod. The right to read
    /// events is not asked for, so that not getting any is no error.
    async fn refusal(&self) -> Option<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().fields(&format!(
            "involvedObject.kind=Job,involvedObject.name={}",
            self.name
        ));
        let found = timeout(LOOK, events.list(&params)).await.ok()?.ok()?;
        found
            .into_iter()
            .filter(|it| it.reason.as_deref() == Some("FailedCreate"))
            .find_map(|it| it.message)
    }

    /// Words when the node of a running pod is lost: nobody will ever report its end.
    async fn dead_node(&self, pod: &Pod) -> PortResult<Option<String>> {
        let Some(name) = pod.spec.as_ref().and_then(|it| it.node_name.clone()) else {
            return Ok(None);
        };
        let nodes: Api<Node> = Api::all(self.client.clone());
        let what = format!("read node {name}");
        let node = self.retry.run(&what, || nodes.get_opt(&name)).await?;
        Ok((!node.as_ref().is_some_and(is_node_ready))
            .then(|| format!("node {name} is lost, and the transfer with it")))
    }

    /// Why the pod is gone.
    async fn why_gone(&self) -> PortResult<String> {
        let job = self.job().await?;
        Ok(match job {
            None => format!("Job {} was deleted", self.name),
            Some(job) => {
                failure(&job).unwrap_or_else(|| format!("the pod of Job {} was deleted", self.name))
            }
        })
    }
}

/// Ends a task that nobody listens to any more.
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How the transfer ended, once its container has.
fn ended(pod: &Pod) -> Option<TransferEnd> {
    let status = main_status(pod, Some(CONTAINER))?;
    let end = status.state.as_ref()?.terminated.as_ref()?;
    let message = end.message.as_deref().unwrap_or_default();
    Some(match Report::parse(message) {
        Ok(report) => TransferEnd::Reported(report),
        Err(_) => TransferEnd::Lost(terminated_words(CONTAINER, end)),
    })
}

/// Words when the pod will come to nothing.
fn judge(state: &mut State) -> Option<String> {
    let pod = state.pod.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        let since = *state.terminating_since.get_or_insert_with(Instant::now);
        return (since.elapsed() >= TERMINATING)
            .then(|| format!("pod {} is being deleted, and does not end", pod.name_any()));
    }
    match start_of(pod, Some(CONTAINER)) {
        Start::Ended(words) => Some(words),
        Start::Trouble { words, grace } => {
            let since = *state.trouble_since.get_or_insert_with(Instant::now);
            (since.elapsed() >= grace).then_some(words)
        }
        Start::Starting(_) | Start::Running { .. } => {
            state.trouble_since = None;
            None
        }
    }
}

fn is_running(pod: &Pod) -> bool {
    matches!(start_of(pod, Some(CONTAINER)), Start::Running { .. })
}

/// The words of the Job's condition `Failed`.
fn failure(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|it| it.type_ == "Failed" && it.status == "True")?;
    Some(format!(
        "Job {} failed ({}): {}",
        job.name_any(),
        failed.reason.as_deref().unwrap_or("no reason"),
        failed.message.as_deref().unwrap_or("no message")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use tokio::time::sleep;

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"nodeName": "a", "containers": [{"name": "transfer"}]},
            "status": status
        }))
        .expect("a pod")
    }

    fn container(state: Value) -> Value {
        json!({"containerStatuses": [{"name": "transfer", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": state}]})
    }

    #[test]
    fn a_report_is_an_end_and_so_is_a_death_without_one() {
        let report = r#"{"result":"failed","code":"registry-denied","message":"no"}"#;
        let reported = pod(container(
            json!({"terminated": {"exitCode": 5, "message": report}}),
        ));
        assert!(matches!(
            ended(&reported),
            Some(TransferEnd::Reported(Report::Failed(_)))
        ));
        let killed = pod(container(
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        ));
        assert_eq!(
            ended(&killed),
            Some(TransferEnd::Lost(
                "container transfer ended with exit code 137 (OOMKilled)".into()
            ))
        );
        assert_eq!(ended(&pod(container(json!({"running": {}})))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_has_its_grace_and_no_more() {
        let mut state = State {
            pod: Some(pod(container(
                json!({"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}}),
            ))),
            ..State::default()
        };
        assert_eq!(judge(&mut state), None);
        sleep(Duration::from_secs(14)).await;
        assert_eq!(judge(&mut state), None);
        sleep(Duration::from_secs(2)).await;
        assert!(judge(&mut state).expect("words").contains("i/o timeout"));
    }

    #[test]
    fn a_failed_job_says_why() {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j"},
            "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
                "message": "Job was active longer than specified deadline"}]}
        }))
        .expect("a Job");
        assert_eq!(
            failure(&job).as_deref(),
            Some("Job j failed (DeadlineExceeded): Job was active longer than specified deadline")
        );
    }
}
