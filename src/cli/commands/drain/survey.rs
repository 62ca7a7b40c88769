//! Looks at the pods of the node and plans for each, one after the other, so that each plan knows
//! where those before it go. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::ArgMatches;
use tokio_util::sync::CancellationToken;

use super::DrainArgs;
use super::sort::{self, Sort};
use crate::cli::failure::refused;
use crate::cli::settings::flags::SettingArgs;
use crate::cli::settings::migration::{Settings, Typed, Wanted, recorded};
use crate::cli::settings::{Config, Layers};
use crate::cli::view::drain::{How, Move, Stay, Survey};
use crate::cli::wire::Reached;
use crate::cluster::{FoundPod, NodePods};
use crate::explain;
use crate::migration::error::Error;
use crate::migration::event::Silent;
use crate::migration::plan::{Plan, Request};
use crate::migration::ports::{Journal as _, PodView};
use crate::migration::record::Record;

/// What was typed, and the layers below.
pub(super) struct Given<'a> {
    pub(super) args: &'a DrainArgs,
    pub(super) settings: SettingArgs,
    pub(super) typed: Typed,
    pub(super) matches: &'a ArgMatches,
    pub(super) config: &'a Config,
}

/// What it takes to move a pod of the survey.
pub(super) struct Means {
    pub(super) reached: Reached,
    pub(super) settings: Settings,
    /// Of those that begin.
    pub(super) request: Option<Request>,
    /// What it must not have in common with a pod that moves at the same time.
    pub(super) shares: Vec<String>,
}

/// The survey, and beside each pod that moves what that takes.
pub(super) struct Surveyed {
    survey: Survey,
    means: Vec<Means>,
}

impl Surveyed {
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    pub(super) fn means(&self) -> &[Means] {
        &self.means
    }
}

/// Looks and plans.
///
/// # Errors
/// Pods or migrations cannot be listed.
pub(super) async fn survey(reached: &Reached, given: &Given<'_>) -> Result<Surveyed, Error> {
    let node = &given.args.node;
    let wanted = NodePods {
        node,
        everywhere: given.args.all_namespaces,
        selector: given.args.selector.as_deref(),
    };
    let found = reached.cluster.pods_on(wanted).await.map_err(|error| {
        let error = refused(format!("failed to list the pods of node {node}"), &error);
        match given.args.all_namespaces {
            true => error.hint("without --all-namespaces only those of one namespace are listed"),
            false => error,
        }
    })?;
    let mut surveyor = Surveyor {
        reached,
        given,
        bound: BTreeMap::new(),
        begins: Vec::new(),
        goes_on: Vec::new(),
        survey: Survey {
            node: node.clone(),
            moves: Vec::new(),
            stays: Vec::new(),
            aside: BTreeMap::new(),
        },
    };
    surveyor.all(&found).await?;
    Ok(surveyor.end())
}

struct Surveyor<'a> {
    reached: &'a Reached,
    given: &'a Given<'a>,
    /// How many pods are to go to each node so far.
    bound: BTreeMap<String, u64>,
    begins: Vec<(Move, Means)>,
    goes_on: Vec<(Move, Means)>,
    survey: Survey,
}

impl Surveyor<'_> {
    async fn all(&mut self, found: &[FoundPod]) -> Result<(), Error> {
        let mut namespaces: Vec<&str> = found.iter().map(|it| it.namespace.as_str()).collect();
        if !self.given.args.all_namespaces {
            // What was left unfinished may have no pod here any more.
            namespaces.push(&self.reached.namespace);
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            let reached = self.reached.in_namespace(namespace);
            let records = reached.journal.list().await.map_err(|error| {
                refused(
                    format!("failed to read the migrations of namespace {namespace}"),
                    &error,
                )
            })?;
            for it in found.iter().filter(|it| it.namespace == namespace) {
                self.one(&reached, it, &records).await;
            }
            if self.given.args.selector.is_none() {
                let node = &self.given.args.node;
                for record in sort::gone(node, found, &records) {
                    self.unfinished(&reached, None, record).await;
                }
            }
        }
        Ok(())
    }

    /// Those that were begun before come first.
    fn end(mut self) -> Surveyed {
        let all = self.goes_on.into_iter().chain(self.begins);
        let (moves, means) = all.unzip();
        self.survey.moves = moves;
        Surveyed {
            survey: self.survey,
            means,
        }
    }

    async fn one(&mut self, reached: &Reached, found: &FoundPod, records: &[Record]) {
        match sort::sort(&self.given.args.node, found, records) {
            Sort::Aside(why) => *self.survey.aside.entry(why).or_default() += 1,
            Sort::Stays(error) => self.stays(reached, &found.pod.name, error),
            Sort::GoesOn(record) => self.unfinished(reached, Some(&found.pod), &record).await,
            Sort::Asks => match self.plan(reached, &found.pod).await {
                Ok((plan, means)) => {
                    *self.bound.entry(plan.target_node.clone()).or_default() += 1;
                    let how = How::Begins(Box::new(plan));
                    self.begins
                        .push((self.named(reached, &found.pod.name, how), means));
                }
                Err(error) => self.stays(reached, &found.pod.name, error),
            },
        }
    }

    async fn unfinished(&mut self, reached: &Reached, pod: Option<&PodView>, record: &Record) {
        let name = &record.spec.source_pod;
        // Without the right to look at locks, going on tells.
        if let Ok(Some(holder)) = reached.journal.holder(name).await {
            let error = Error::refused(format!("migration {} is under way", record.name))
                .code(&explain::UNDER_WAY)
                .because(holder.who)
                .hint("wait for it to end, or see what it does: ms2m status");
            return self.stays(reached, name, error);
        }
        let settings = match self.settle(reached, pod, Some(record)) {
            Ok(settings) => settings,
            Err(error) => return self.stays(reached, name, error),
        };
        let means = Means {
            reached: reached.clone(),
            settings,
            request: None,
            shares: shares(
                &reached.namespace,
                pod,
                &record.spec.message_queue_config.queue_name,
            ),
        };
        let how = How::GoesOn(Box::new(record.clone()));
        self.goes_on.push((self.named(reached, name, how), means));
    }

    async fn plan(&self, reached: &Reached, pod: &PodView) -> Result<(Plan, Means), Error> {
        let settings = self.settle(reached, Some(pod), None)?;
        let wanted = Wanted {
            pod: &pod.name,
            to: self.given.args.to.as_deref(),
            name: None,
        };
        let mut request = settings.request(wanted, &reached.namespace);
        // Planning tells nothing and is not stopped.
        let engine = reached.engine(&settings, Arc::new(Silent), CancellationToken::new())?;
        let plan = engine.plan_beside(&request, &self.bound).await?;
        // What was shown is what is done.
        request.spec.target_node = Some(plan.target_node.clone());
        let shares = shares(&reached.namespace, Some(pod), &plan.queue);
        let means = Means {
            reached: reached.clone(),
            settings,
            request: Some(request),
            shares,
        };
        Ok((plan, means))
    }

    fn settle(
        &self,
        reached: &Reached,
        pod: Option<&PodView>,
        record: Option<&Record>,
    ) -> Result<Settings, Error> {
        let mut layers = Layers::new(self.given.matches, self.given.config);
        layers.context.clone_from(&reached.context);
        if let Some(pod) = pod {
            layers.annotations.clone_from(&pod.annotations);
        }
        layers.record = record.map(recorded);
        let settings =
            Settings::resolve(&self.given.settings, self.given.typed.clone(), &mut layers)?;
        settings.ok_or_else(|| layers.incomplete())
    }

    fn stays(&mut self, reached: &Reached, pod: &str, error: Error) {
        self.survey.stays.push(Stay {
            label: self.label(reached, pod),
            namespace: reached.namespace.clone(),
            pod: pod.to_owned(),
            error,
        });
    }

    fn named(&self, reached: &Reached, pod: &str, how: How) -> Move {
        Move {
            label: self.label(reached, pod),
            namespace: reached.namespace.clone(),
            pod: pod.to_owned(),
            how,
        }
    }

    fn label(&self, reached: &Reached, pod: &str) -> String {
        if self.given.args.all_namespaces {
            format!("{}/{pod}", reached.namespace)
        } else {
            pod.to_owned()
        }
    }
}

/// Two pods that have one of these in common do not move at the same time.
fn shares(namespace: &str, pod: Option<&PodView>, queue: &str) -> Vec<String> {
    let owner = pod.and_then(|pod| pod.owner.as_ref());
    let owner = owner.map(|owner| format!("{} {namespace}/{}", owner.kind, owner.name));
    owner
        .into_iter()
        .chain([format!("queue {queue}")])
        .collect()
}
