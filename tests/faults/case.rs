//! One case: an application under load, `ms2m` at work on it, and faults that hit nobody else.

use std::path::PathBuf;
use std::time::Duration;

use ms2m_worker::audit::Source;
use ms2m_worker::worker::Report;
use serde_json::{Value, json};

use crate::place::Place;
use crate::support::app::Producers;
use crate::support::cli::{Followed, Outcome};
use crate::support::{App, Options, Owner, eventually};
use crate::verdict::Listing;

/// How often `ms2m` is started again until a migration has ended.
const ATTEMPTS: u32 = 8;

/// How a migration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The target serves.
    Completed,
    /// The source serves.
    RolledBack,
}

/// What the processes of a case said: told where the case fails, whichever end it expected.
#[derive(Debug, Default)]
struct Said(String);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// An application under load, in a namespace of its own.
pub(crate) struct Case {
    pub(crate) place: &'static Place,
    pub(crate) app: App,
    pub(crate) before: Listing,
    pub(crate) producers: Option<Producers>,
    rate: f64,
    /// Those who publish straight to the queue.
    pub(crate) past_the_gate: Option<Producers>,
    /// Further arguments of each `ms2m migrate`.
    pub(crate) arguments: Vec<String>,
    /// The last process was killed with nothing left to do but to give back its lock, which
    /// nobody takes away.
    pub(crate) lock_may_stay: bool,
    /// An archive may stay on the source node: nobody has learned its name, or nobody is allowed
    /// to run the Job that would delete it. ms2m says so where it can.
    pub(crate) archive_may_stay: bool,
    /// Whether the source may be out of reach when a roll-back is through.
    pub(crate) source_may_be_lost: bool,
    /// `ms2m` has told that messages may have been applied out of order.
    pub(crate) order_in_doubt: bool,
    /// When the latest migration that has ended was recorded.
    settled: Option<String>,
    said: Said,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

impl Case {
    /// Starts the application in the shared sandbox, and producers at 40 messages a second.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(Place::shared().await, name, &Options::default(), 40.0).await
    }

    /// Starts it as told.
    pub(crate) async fn start_with(
        place: &'static Place,
        name: &str,
        options: &Options,
        rate: f64,
    ) -> Self {
        let mut app = App::named(&place.world, name, options);
        app.declare(options.exchange_type).await;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace}});
        place.api.post("/api/v1/namespaces", &namespace).await;
        let kind = match options.owner {
            Owner::Nobody => "/api/v1/namespaces/{}/pods",
            Owner::StatefulSet => "/apis/apps/v1/namespaces/{}/statefulsets",
            Owner::ReplicaSet => "/apis/apps/v1/namespaces/{}/replicasets",
        };
        let path = kind.replace("{}", &app.namespace);
        place.api.post(&path, &app.manifest(options)).await;
        if options.owner == Owner::ReplicaSet {
            app.pod = only_pod(place, &app.namespace).await;
            app.target = format!("{}-shadow", app.pod);
        }
        let directory = tempfile::tempdir().expect("a directory");
        let case = Self {
            before: Listing::default(),
            producers: Some(app.produce(rate, None)),
            rate,
            past_the_gate: None,
            arguments: Vec::new(),
            lock_may_stay: false,
            settled: None,
            said: Said::default(),
            archive_may_stay: false,
            source_may_be_lost: false,
            order_in_doubt: false,
            kubeconfig: kubeconfig_of(place, &app.namespace, directory.path()),
            _directory: directory,
            place,
            app,
        };
        eventually("the worker consumes its queue and is ready", async || {
            let report = case.report(&case.app.pod).await?;
            let ready = case
                .pod(&case.app.pod)
                .await
                .is_some_and(|pod| is_ready(&pod));
            (report.consuming && report.state.count > 0 && ready).then_some(())
        })
        .await;
        Self {
            before: Listing::of(&case).await,
            ..case
        }
    }

    /// Starts one whose pod belongs to somebody.
    pub(crate) async fn owned(name: &str, kind: Kind) -> Self {
        Self::owned_at(Place::shared().await, name, kind).await
    }

    /// The same in a place.
    pub(crate) async fn owned_at(place: &'static Place, name: &str, kind: Kind) -> Self {
        let options = Options {
            owner: kind.owner(),
            ..Options::default()
        };
        let name = format!("{}-{name}", kind.name());
        let case = Self::start_with(place, &name, &options, 40.0).await;
        case.with(kind.arguments())
    }

    /// The same with further arguments of each `ms2m migrate`.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// A pod.
    pub(crate) async fn pod(&self, name: &str) -> Option<Value> {
        let path = format!("/api/v1/namespaces/{}/pods/{name}", self.app.namespace);
        self.place.api.get(&path).await
    }

    /// Where a worker's state is had from: pods of the sandbox have addresses on this machine.
    pub(crate) async fn source(&self, pod: &str) -> Option<Source> {
        let pod = self.pod(pod).await?;
        let address = pod["status"]["podIP"].as_str()?;
        Some(Source::Url(format!("http://{address}:8080/state")))
    }

    /// What a worker shows of itself, if it answers.
    pub(crate) async fn report(&self, pod: &str) -> Option<Report> {
        self.source(pod).await?.fetch().await.ok()
    }

    /// The case's own repository in the registry.
    pub(crate) fn repository(&self) -> String {
        format!(
            "{}/{}",
            self.place.world.places.registry, self.app.namespace
        )
    }

    /// Starts `ms2m migrate` as the case's own user.
    pub(crate) fn migrate(&self) -> Followed {
        let mut arguments = self.app.migrate_arguments();
        let repository = arguments.iter().position(|it| it == "--repository");
        arguments[repository.expect("it is given") + 1] = self.repository();
        arguments.extend(["--progress".to_owned(), "lines".to_owned()]);
        arguments.extend(self.arguments.iter().cloned());
        self.ms2m(&arguments)
    }

    /// Starts `ms2m` as the case's own user.
    pub(crate) fn ms2m(&self, arguments: &[String]) -> Followed {
        let mut environment = self.app.environment();
        environment.push(("KUBECONFIG", self.kubeconfig.display().to_string()));
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        crate::support::cli::start(&self.place.world, &arguments, &environment).follow()
    }

    /// The phase that the record of the latest migration shows; `None` while there is none that
    /// is newer than those that have ended before.
    pub(crate) async fn phase(&self) -> Option<String> {
        let (created, phase) = self.latest().await?;
        let newer = self.settled.as_ref().is_none_or(|last| created > *last);
        newer.then_some(phase)
    }

    /// When the latest migration was recorded, and the phase that the record shows.
    async fn latest(&self) -> Option<(String, String)> {
        let records = self.records().await;
        let latest = records.iter().filter_map(|record| {
            let phase = record["status"]["phase"].as_str()?.to_owned();
            Some((record["created"].as_str()?.to_owned(), phase))
        });
        latest.max()
    }

    /// The records of all migrations of this case.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/configmaps", self.app.namespace);
        let list = self.place.api.get(&path).await.unwrap_or_default();
        let items = list["items"].as_array().into_iter().flatten();
        items
            .filter_map(|item| serde_json::from_str(item["data"]["record.json"].as_str()?).ok())
            .collect()
    }

    /// Starts `ms2m migrate` again, as a person would, until the migration has ended.
    pub(crate) async fn settle(&mut self, first: Outcome) -> End {
        let end = self.await_end(first).await;
        self.settled = self.latest().await.map(|(created, _)| created);
        end
    }

    async fn await_end(&mut self, first: Outcome) -> End {
        let mut outcome = first;
        for _ in 0..ATTEMPTS {
            let (of, code) = (&self.app.namespace, outcome.code);
            self.said.0 += &format!("{of} ended with {code:?}:\n{}\n", outcome.stderr);
            if outcome.code.is_none() {
                // Killed after its last write: nothing but the lock is left.
                let end = match self.phase().await.as_deref() {
                    Some("Completed") => Some(End::Completed),
                    Some("Failed") => Some(End::RolledBack),
                    _ => None,
                };
                if let Some(end) = end {
                    self.lock_may_stay = true;
                    return end;
                }
            }
            match outcome.code {
                Some(0) => return End::Completed,
                Some(4 | 130) => return End::RolledBack,
                Some(9) if self.source_may_be_lost => return End::RolledBack,
                // With a doubt about its messages, which the audit looks at.
                Some(11) => {
                    self.order_in_doubt = outcome.stderr.contains("out of order");
                    return match self.phase().await.as_deref() {
                        Some("Completed") => End::Completed,
                        _ => End::RolledBack,
                    };
                }
                // Killed, held by a process that was killed, unfinished, stuck, without its lock.
                None | Some(3 | 5..=7) => {}
                Some(_) => panic!("no way to end: {outcome:?}"),
            }
            // Refused in passing: another process is at it, the broker is just being restarted, or
            // the application has not connected again yet.
            let passing = ["under way", "cannot reach the broker", "has no consumer"];
            let refused = outcome.code == Some(3);
            if refused && !passing.iter().any(|words| outcome.stderr.contains(words)) {
                panic!("refused: {outcome:?}");
            }
            outcome = self.migrate().outcome().await;
        }
        panic!("it does not come to an end: {outcome:?}");
    }

    /// Runs it to the end of the migration.
    pub(crate) async fn run(&mut self) -> End {
        let outcome = self.migrate().outcome().await;
        self.settle(outcome).await
    }

    /// Orders a fault of the API server, for requests of this case's user alone. `path` is a
    /// regular expression, `action` as the sandbox documents it.
    pub(crate) async fn fault(&self, order: FaultOrder<'_>) -> Ordered {
        let fault = json!({
            "match": {"verb": order.verb, "path": order.path, "user": self.app.namespace},
            "skip": order.skip,
            "times": order.times,
            "after": order.after,
            "action": order.action,
        });
        let answer = self.place.api.post("/sandbox/faults", &fault).await;
        Ordered(answer["id"].as_u64().expect("a fault has a number"))
    }

    /// Holds the requests of a kind back, or with `after` the answers to them, for so many milliseconds each:
    /// time to kill whoever makes them.
    pub(crate) async fn hold_back(&self, verb: &str, path: &str, after: bool, ms: u64) -> Ordered {
        let order = FaultOrder {
            verb,
            path,
            skip: 0,
            times: 100,
            after,
            action: json!({ "delayMs": ms }),
        };
        self.fault(order).await
    }

    /// Sets publishers to work that publish to the default exchange.
    pub(crate) fn publish_past_the_gate(&mut self, rate: f64) {
        self.past_the_gate = Some(self.app.produce_past_the_gate(rate));
    }

    /// Publishes so many messages at once, from a publisher of its own, ahead of what comes.
    pub(crate) async fn backlog(&mut self, count: u64) {
        let rate = self.rate;
        let producers = self.producers.take().expect("they are at work");
        let record = producers.stop().await;
        let record = self.app.publish_after(count, record).await;
        self.producers = Some(self.app.produce(rate, Some(record)));
    }

    /// Takes a fault back; `false` when it has done all that was ordered.
    pub(crate) async fn cancel(&self, fault: Ordered) -> bool {
        self.place
            .api
            .delete(&format!("/sandbox/faults/{}", fault.0))
            .await
    }

    /// The requests of this case's user: verb, resource and path.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        let path = format!("/sandbox/requests?user={}", self.app.namespace);
        let log = self.place.api.get(&path).await.expect("there is a log");
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        log["log"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| Request {
                verb: text(entry, "verb"),
                resource: text(entry, "resource"),
                path: text(entry, "path"),
            })
            .collect()
    }

    /// Orders a fault of a kubelet for pods of this case.
    pub(crate) async fn kubelet_fault(&self, on: &str, error: &str, times: u32) {
        let fault = json!({"on": on, "error": error, "times": times});
        self.order_of_kubelet(fault).await;
    }

    /// Has the restore take so many seconds longer.
    pub(crate) async fn restores_late_by(&self, seconds: u64) {
        let fault = json!({"on": "restore", "delayMs": seconds * 1000, "times": 1});
        self.order_of_kubelet(fault).await;
    }

    async fn order_of_kubelet(&self, mut fault: Value) {
        fault["pod"] = json!(format!("^{}/", self.app.namespace));
        self.place.world.order("/kubelet", fault).await;
    }

    /// After a completed migration: the target is the next one's source, and goes back.
    pub(crate) async fn turn_round(&mut self) {
        std::mem::swap(&mut self.app.pod, &mut self.app.target);
        std::mem::swap(&mut self.app.from, &mut self.app.to);
        self.lock_may_stay = false;
        self.before = Listing::of(self).await;
    }

    /// Leaves nothing at work, so that the cases that follow have the machine for themselves.
    pub(crate) async fn clear(self) {
        let path = format!("/api/v1/namespaces/{}", self.app.namespace);
        self.place.api.delete(&path).await;
        self.app.clear_broker().await;
    }
}

/// Whose pod moves, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bare,
    /// A StatefulSet's, which goes before its target comes.
    Sequential,
    /// A StatefulSet's, as a shadow that takes its identity over.
    Takeover,
    ReplicaSet,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Sequential => "sequential",
            Self::Takeover => "takeover",
            Self::ReplicaSet => "replica-set",
        }
    }

    fn owner(self) -> Owner {
        match self {
            Self::Bare => Owner::Nobody,
            Self::Sequential | Self::Takeover => Owner::StatefulSet,
            Self::ReplicaSet => Owner::ReplicaSet,
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Takeover => &["--strategy", "shadow-pod"],
            _ => &[],
        }
    }
}

/// What a fault is for, and what it does.
pub(crate) struct FaultOrder<'a> {
    pub(crate) verb: &'a str,
    pub(crate) path: &'a str,
    /// So many such requests are let through first.
    pub(crate) skip: usize,
    pub(crate) times: u32,
    /// Whether it comes after the work, and hits the answer.
    pub(crate) after: bool,
    pub(crate) action: Value,
}

/// The number of a fault.
pub(crate) struct Ordered(u64);

/// A request of ms2m.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) path: String,
}

/// A kubeconfig for a user of that name.
fn kubeconfig_of(place: &Place, user: &str, directory: &std::path::Path) -> PathBuf {
    let text = std::fs::read_to_string(&place.world.places.kubeconfig).expect("a kubeconfig");
    let mut config: Value = serde_yaml::from_str(&text).expect("it is YAML");
    config["users"][0]["user"] = json!({"token": format!("user/{user}")});
    let path = directory.join("kubeconfig");
    std::fs::write(&path, config.to_string()).expect("it is written");
    path
}

/// The name that a ReplicaSet has given its pod.
async fn only_pod(place: &Place, namespace: &str) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    eventually("the ReplicaSet makes its pod", async || {
        let list = place.api.get(&path).await?;
        let name = list["items"][0]["metadata"]["name"].as_str()?;
        Some(name.to_owned())
    })
    .await
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// How long a case rests between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
