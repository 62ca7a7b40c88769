//! Records what becomes of a namespace's pods and EndpointSlices, by watches that go on after
//! they were cut, until a test has done what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::recording::{Change, PodNow, Recording, SliceNow, What};
use super::{DEADLINE, World};

/// The pause before the API server is asked again after it refused.
const RETRY: Duration = Duration::from_millis(100);

/// A recording that goes on.
pub(crate) struct Recorder {
    namespace: String,
    began: Timestamp,
    initial: Vec<What>,
    tape: Arc<Mutex<Tape>>,
    pods: Watched<Pod>,
    slices: Watched<EndpointSlice>,
}

#[derive(Default)]
struct Tape {
    changes: Vec<Change>,
    gaps: usize,
}

/// What can be recorded.
trait Recorded:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    fn now(&self) -> What;
    fn gone(uid: &str, name: &str) -> What;
}

impl Recorder {
    /// Begins: whatever happens from the return of this on is recorded.
    pub(crate) async fn start(world: &World, namespace: &str) -> Self {
        let client = client(world).await;
        let tape = Arc::<Mutex<Tape>>::default();
        let (pods, mut initial) = Watched::start(&client, namespace, &tape).await;
        let (slices, more) = Watched::start(&client, namespace, &tape).await;
        initial.extend(more);
        Self {
            namespace: namespace.to_owned(),
            began: Timestamp::now(),
            initial,
            tape,
            pods,
            slices,
        }
    }

    /// Ends: whatever happened before this was called is in the recording.
    pub(crate) async fn stop(self) -> Recording {
        self.pods.catch_up().await;
        self.slices.catch_up().await;
        let mut tape = self.tape.lock().expect("no holder panics");
        let mut changes = std::mem::take(&mut tape.changes);
        changes.sort_by_key(|change| change.version);
        Recording {
            namespace: self.namespace,
            began: self.began,
            ended: Timestamp::now(),
            initial: self.initial,
            changes,
            gaps: tape.gaps,
        }
    }
}

async fn client(world: &World) -> Client {
    // Whoever comes second finds it done.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(&world.places.kubeconfig);
    let kubeconfig = kubeconfig.expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.expect("it can be used");
    let agent = http::HeaderValue::from_static("recorder");
    config.headers.push((http::header::USER_AGENT, agent));
    Client::try_from(config).expect("a client")
}

/// The objects that are there, by uid: their names and versions.
type Known = BTreeMap<String, (String, u64)>;

/// One watch, and how far it is.
struct Watched<K> {
    api: Api<K>,
    known: watch::Receiver<Known>,
    task: JoinHandle<()>,
}

impl<K: Recorded> Watched<K> {
    async fn start(client: &Client, namespace: &str, tape: &Arc<Mutex<Tape>>) -> (Self, Vec<What>) {
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let (version, items) = list(&api).await;
        let known = items
            .iter()
            .map(|item| (uid(item), (item.name_any(), number(item))))
            .collect();
        let (sender, receiver) = watch::channel(known);
        let follower = Follower {
            api: api.clone(),
            version,
            known: sender,
            tape: Arc::clone(tape),
        };
        let watched = Self {
            api,
            known: receiver,
            task: tokio::spawn(follower.run()),
        };
        (watched, items.iter().map(K::now).collect())
    }

    /// Waits until everything that is so now has been recorded.
    async fn catch_up(&self) {
        let (version, items) = list(&self.api).await;
        let version = version.parse().unwrap_or(0);
        let there: BTreeMap<_, _> = items.iter().map(|item| (uid(item), number(item))).collect();
        let reached = |known: &Known| {
            let seen = |uid: &String, version: u64| {
                known.get(uid).is_some_and(|(_, known)| *known >= version)
            };
            // One that went meanwhile, or came, says nothing against it.
            let gone = |known: u64| known > version;
            there.iter().all(|(uid, version)| seen(uid, *version))
                && known
                    .iter()
                    .all(|(uid, (_, known))| there.contains_key(uid) || gone(*known))
        };
        let mut known = self.known.clone();
        let waited = tokio::time::timeout(DEADLINE, known.wait_for(reached)).await;
        assert!(
            waited.is_ok_and(|seen| seen.is_ok()),
            "the recorder does not catch up with the {}s of the namespace",
            K::kind(&())
        );
    }
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes down what a watch tells.
struct Follower<K> {
    api: Api<K>,
    version: String,
    known: watch::Sender<Known>,
    tape: Arc<Mutex<Tape>>,
}

impl<K: Recorded> Follower<K> {
    async fn run(mut self) {
        loop {
            if !self.follow().await {
                self.fill_gap().await;
            }
        }
    }

    /// Follows until the watch ends. False if what comes next is forgotten.
    async fn follow(&mut self) -> bool {
        let parameters = WatchParams::default();
        let events = match self.api.watch(&parameters, &self.version).await {
            Ok(events) => events,
            Err(kube::Error::Api(answer)) if answer.code == 410 => return false,
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                return true;
            }
        };
        let mut events = std::pin::pin!(events);
        while let Some(Ok(event)) = events.next().await {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.version = object.resource_version().unwrap_or_default();
                    self.put(&object);
                }
                WatchEvent::Deleted(object) => {
                    self.version = object.resource_version().unwrap_or_default();
                    self.remove(&uid(&object), &object.name_any(), number(&object));
                }
                WatchEvent::Bookmark(mark) => self.version = mark.metadata.resource_version,
                WatchEvent::Error(status) => return status.code != 410,
            }
        }
        true
    }

    /// History is forgotten: what is to be seen of it is how things are now.
    async fn fill_gap(&mut self) {
        let (version, items) = list(&self.api).await;
        self.tape.lock().expect("no holder panics").gaps += 1;
        let there: BTreeSet<_> = items.iter().map(uid).collect();
        let known = self.known.borrow().clone();
        for (uid, (name, _)) in known.iter().filter(|(uid, _)| !there.contains(*uid)) {
            self.remove(uid, name, version.parse().unwrap_or(0));
        }
        for item in &items {
            if known
                .get(&uid(item))
                .is_none_or(|(_, seen)| *seen < number(item))
            {
                self.put(item);
            }
        }
        self.version = version;
    }

    fn put(&self, object: &K) {
        self.write(number(object), object.now());
        let entry = (object.name_any(), number(object));
        self.known
            .send_modify(|known| drop(known.insert(uid(object), entry)));
    }

    fn remove(&self, uid: &str, name: &str, version: u64) {
        self.write(version, K::gone(uid, name));
        self.known.send_modify(|known| drop(known.remove(uid)));
    }

    fn write(&self, version: u64, what: What) {
        let at = Timestamp::now();
        let mut tape = self.tape.lock().expect("no holder panics");
        tape.changes.push(Change { version, at, what });
    }
}

/// Version and items of a list, however often it is refused.
async fn list<K: Recorded>(api: &Api<K>) -> (String, Vec<K>) {
    let until = tokio::time::Instant::now() + DEADLINE;
    loop {
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                return (
                    list.metadata.resource_version.unwrap_or_default(),
                    list.items,
                );
            }
            Err(error) => assert!(
                tokio::time::Instant::now() < until,
                "the {}s of the namespace cannot be listed: {error}",
                K::kind(&())
            ),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn uid<K: Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

fn number<K: Resource>(object: &K) -> u64 {
    let version = object.meta().resource_version.as_deref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

impl Recorded for Pod {
    fn now(&self) -> What {
        let status = self.status.clone().unwrap_or_default();
        let main = status.container_statuses.into_iter().flatten();
        let containers = main.chain(status.init_container_statuses.into_iter().flatten());
        let mut conditions = status.conditions.into_iter().flatten();
        let owners = self.owner_references().iter();
        let owner = owners
            .into_iter()
            .find(|owner| owner.controller == Some(true));
        What::Pod(PodNow {
            uid: uid(self),
            name: self.name_any(),
            node: self
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.clone())
                .unwrap_or_default(),
            labels: self.labels().clone(),
            owner: owner.map(|owner| format!("{}/{}", owner.kind, owner.name)),
            phase: status.phase.unwrap_or_default(),
            ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
            terminating: self.metadata.deletion_timestamp.is_some(),
            restarts: containers.map(|container| container.restart_count).sum(),
        })
    }

    fn gone(uid: &str, _: &str) -> What {
        What::PodGone(uid.to_owned())
    }
}

impl Recorded for EndpointSlice {
    fn now(&self) -> What {
        let endpoints = self.endpoints.iter().flatten();
        // An endpoint that does not say so is ready.
        let ready = endpoints.filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .is_none_or(|conditions| conditions.ready != Some(false))
        });
        let uids = ready.filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone());
        let service = self.labels().get("kubernetes.io/service-name");
        What::Slice(SliceNow {
            name: self.name_any(),
            service: service.cloned().unwrap_or_default(),
            ready: uids.collect(),
        })
    }

    fn gone(_: &str, name: &str) -> What {
        What::SliceGone(name.to_owned())
    }
}
