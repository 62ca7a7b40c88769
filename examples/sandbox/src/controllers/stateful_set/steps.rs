//! The hand of the StatefulSet controller: does what was decided, one step at a time, and says
//! so in events. No decisions.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::decide::Step;
use super::{claims, members};
use crate::controllers::words;
use crate::node::{Recorder, Severity};

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused it.
    #[error("{}", words(.0))]
    Api(#[from] kube::Error),
    /// A claim that is needed is about to go.
    #[error("pvc {0} is being deleted")]
    ClaimGoes(String),
}

impl Error {
    fn is_already_exists(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(answer)) if answer.code == 409)
    }
}

/// Acts for one set.
pub(super) struct Hand<'a> {
    recorder: &'a Recorder,
    set: &'a StatefulSet,
    pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
}

impl<'a> Hand<'a> {
    pub(super) fn new(client: &Client, recorder: &'a Recorder, set: &'a StatefulSet) -> Self {
        let namespace = set.namespace().unwrap_or_default();
        Self {
            recorder,
            set,
            pods: Api::namespaced(client.clone(), &namespace),
            claims: Api::namespaced(client.clone(), &namespace),
        }
    }

    /// Does all steps, in batches of 1, 2, 4 and so on, of which the first with an error is the
    /// last. In an ordered set there is never more to do at once than one step and what it needs.
    pub(super) async fn all(&self, steps: &[Step]) -> Result<(), Error> {
        let (mut rest, mut size) = (steps, 1);
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let mut first = Ok(());
            for step in batch {
                first = first.and(self.one(step).await);
            }
            first?;
            (rest, size) = (later, size * 2);
        }
        Ok(())
    }

    async fn one(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Create(pod) => self.create(pod).await,
            Step::Delete(pod) => self.delete(pod).await,
            Step::Claims(pod) => self.make_claims(pod).await,
            Step::Owners(pod) => self.own_claims(pod).await,
            Step::Correct(pod) => {
                let (name, options) = (pod.name_any(), PostParams::default());
                let written = self.pods.replace(&name, &options, pod).await;
                let outcome = written.map(drop).map_err(Error::from);
                self.record("update", &format!("Pod {}", pod.name_any()), &outcome);
                outcome
            }
        }
    }

    async fn create(&self, pod: &Pod) -> Result<(), Error> {
        let what = format!("Pod {}", pod.name_any());
        let made = self.make_claims(pod).await;
        if made.is_err() {
            self.record("create", &what, &made);
            return made;
        }
        let created = self.pods.create(&PostParams::default(), pod).await;
        let created = created.map_err(Error::from);
        if let Err(error) = &created
            && error.is_already_exists()
        {
            // The real controller says nothing of it either.
            return created.map(drop);
        }
        let outcome = match &created {
            Ok(pod) => self.own_claims(pod).await,
            Err(_) => Ok(()),
        };
        let created = created.map(drop);
        self.record("create", &what, &created);
        created.and(outcome)
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let deleted = self
            .pods
            .delete(&pod.name_any(), &DeleteParams::default())
            .await;
        let outcome = match deleted {
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            deleted => deleted.map(drop).map_err(Error::from),
        };
        self.record("delete", &format!("Pod {}", pod.name_any()), &outcome);
        outcome
    }

    async fn make_claims(&self, pod: &Pod) -> Result<(), Error> {
        for claim in claims::wanted(self.set, members::ordinal(pod)) {
            let name = claim.name_any();
            match self.claims.get_opt(&name).await? {
                Some(there) if there.metadata.deletion_timestamp.is_some() => {
                    return Err(Error::ClaimGoes(name));
                }
                Some(_) => {}
                None => {
                    let created = self.claims.create(&PostParams::default(), &claim).await;
                    let outcome = created.map(drop).map_err(Error::from);
                    let what = format!("Claim {name} Pod {}", pod.name_any());
                    self.record("create", &what, &outcome);
                    outcome?;
                }
            }
        }
        Ok(())
    }

    async fn own_claims(&self, pod: &Pod) -> Result<(), Error> {
        for (_, name) in claims::names(self.set, members::ordinal(pod)) {
            let Some(claim) = self.claims.get_opt(&name).await? else {
                continue;
            };
            let Some(owners) = claims::corrected_owners(self.set, pod, &claim) else {
                continue;
            };
            let patch = Patch::Merge(json!({ "metadata": {
                "resourceVersion": claim.resource_version(),
                "ownerReferences": owners,
            } }));
            self.claims
                .patch(&name, &PatchParams::default(), &patch)
                .await?;
        }
        Ok(())
    }

    fn record(&self, verb: &str, what: &str, outcome: &Result<(), Error>) {
        let title = match verb {
            "create" => "Create",
            "delete" => "Delete",
            _ => "Update",
        };
        let set = self.set.name_any();
        match outcome {
            Ok(()) => {
                let done = if what.starts_with("Claim") {
                    "success"
                } else {
                    "successful"
                };
                let message = format!("{verb} {what} in StatefulSet {set} {done}");
                self.event(Severity::Normal, &format!("Successful{title}"), message);
            }
            Err(error) => {
                let message = format!("{verb} {what} in StatefulSet {set} failed error: {error}");
                self.event(Severity::Warning, &format!("Failed{title}"), message);
            }
        }
    }

    fn event(&self, severity: Severity, reason: &str, message: String) {
        self.recorder
            .record(self.set.object_ref(&()), severity, reason, message);
    }
}
