//! A short-lived pod that looks at its node's files (`ms2m-transfer probe`), and its removal. What
//! the report means is decided in `check`.

mod pod;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use ms2m_transfer::node::NodeReport;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::KubeCluster;
use super::inspect::{Answer, admission_answer};
use super::start::{Start, main_status, start_of};
use crate::migration::error::PortError;

pub use pod::PROBE_ROLE;

/// How long a pod may take from its creation to its report: as long as a slow pull.
const LIMIT: Duration = Duration::from_secs(60);

/// It holds nothing that it would have to finish.
const GRACE: Duration = Duration::from_secs(1);

/// How long its removal may take before nobody waits any longer.
const REMOVAL: Duration = Duration::from_secs(15);

/// What is to be looked at, and with what.
#[derive(Debug, Clone)]
pub struct ProbeOrder {
    /// The node.
    pub node: String,
    /// The transfer's image.
    pub image: String,
    /// Secret to pull it with, if it takes one.
    pub credentials_secret: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It has looked.
    Seen(Box<NodeReport>),
    /// The namespace does not take such a pod.
    NotAdmitted {
        /// The words of admission.
        words: String,
        /// What to type about it.
        remedies: Vec<String>,
    },
    /// It could not look, for this reason.
    Unseen(String),
}

impl KubeCluster {
    /// Has a pod look at the node's files, and removes it whatever comes of that; also as soon as
    /// `stop` says so.
    pub async fn probe(&self, order: &ProbeOrder, stop: &CancellationToken) -> Probed {
        let interrupted = || Probed::Unseen("it was interrupted".to_owned());
        if stop.is_cancelled() {
            return interrupted();
        }
        let pod = pod::probe_pod(order);
        let name = pod.metadata.name.clone().unwrap_or_default();
        // Not to be stopped: a request that is given up may make the pod after its removal.
        let probed = match self.make_probe(&pod).await {
            Ok(()) => tokio::select! {
                told = self.report_of(&name) => {
                    told.unwrap_or_else(|error| Probed::Unseen(error.to_string()))
                }
                () = stop.cancelled() => interrupted(),
            },
            Err(Probed::NotAdmitted { words, remedies }) => {
                return Probed::NotAdmitted { words, remedies };
            }
            Err(unseen) => unseen,
        };
        let removal = self.delete_pod(&name, None, GRACE);
        match tokio::time::timeout(REMOVAL, removal).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("pod {name} of the probe is left over: {error}"),
            Err(_) => tracing::warn!("pod {name} of the probe is still being removed"),
        }
        probed
    }

    /// Makes the pod; the error is what is to be said of the node then.
    async fn make_probe(&self, pod: &Pod) -> Result<(), Probed> {
        let pods: Api<Pod> = self.pods();
        let parameters = PostParams::default();
        // A second attempt of one name finds the first one's pod, and is no refusal.
        let made = self
            .inner
            .retry
            .run("make the probe's pod", || pods.create(&parameters, pod))
            .await;
        match made {
            Ok(made) => {
                self.inner.watches.observe(made);
                Ok(())
            }
            Err(PortError::Conflict(_)) => Ok(()),
            Err(error) => Err(match admission_answer(self.namespace(), error) {
                Answer::No { words, remedies } => Probed::NotAdmitted { words, remedies },
                Answer::Unknown(why) => Probed::Unseen(why),
                Answer::Yes => Probed::Unseen("its pod could not be made".to_owned()),
            }),
        }
    }

    /// Waits for the report.
    async fn report_of(&self, name: &str) -> Result<Probed, PortError> {
        let end = Instant::now() + LIMIT;
        let watches = &self.inner.watches;
        loop {
            let Some(pod) = watches.current(name).await? else {
                return Ok(Probed::Unseen("somebody has removed its pod".to_owned()));
            };
            if let Some(probed) = told(&pod) {
                return Ok(probed);
            }
            let waits = match start_of(&pod, None) {
                Start::Ended(words) => return Ok(Probed::Unseen(words)),
                Start::Trouble { words, grace } => {
                    if watches.trouble(name, true) >= grace {
                        return Ok(Probed::Unseen(words));
                    }
                    words
                }
                Start::Starting(words) => words,
                Start::Running { .. } => "it runs".to_owned(),
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Probed::Unseen(self.late(name, &waits).await));
            }
            watches
                .changed(name, left.min(Duration::from_secs(1)))
                .await;
        }
    }

    /// Why there is no report after so long: a mount that fails is told by events alone.
    async fn late(&self, name: &str, waits: &str) -> String {
        let events = self
            .event_lines(&[name.to_owned()])
            .await
            .unwrap_or_default();
        let said = events.iter().rev().find(|line| line.contains("Warning"));
        let said = said.map_or_else(String::new, |line| format!("; the last event: {line}"));
        let seconds = LIMIT.as_secs();
        format!("its pod has told nothing within {seconds} s: {waits}{said}")
    }
}

/// What its container has left, once it has ended.
fn told(pod: &Pod) -> Option<Probed> {
    let state = main_status(pod, None)?.state.as_ref()?;
    let end = state.terminated.as_ref()?;
    let message = end.message.as_deref().unwrap_or_default();
    Some(match NodeReport::parse(message) {
        Ok(report) if end.exit_code == 0 => Probed::Seen(Box::new(report)),
        _ => Probed::Unseen(format!(
            "the probe ended with exit code {}: an image of another version of ms2m-transfer may not know it",
            end.exit_code
        )),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_report_is_one() {
        let ended = |code: i32, message: &str| {
            let pod: Pod = serde_json::from_value(json!({
                "spec": {"containers": [{"name": "probe"}]},
                "status": {"containerStatuses": [{
                    "name": "probe", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code, "message": message}},
                }]},
            }))
            .expect("a pod");
            told(&pod)
        };
        let empty = Box::new(NodeReport::default());
        assert_eq!(ended(0, "{}\n"), Some(Probed::Seen(empty)));
        for (code, message) in [(0, ""), (2, "{}"), (2, r#"{"result":"failed"}"#)] {
            let told = ended(code, message);
            assert!(matches!(told, Some(Probed::Unseen(_))), "{told:?}");
        }
        assert_eq!(told(&Pod::default()), None);
    }
}
