//! What the engine needs of the world, as traits. Adapters implement them; the engine knows no
//! client library.
//!
//! Every method that changes something is an idempotent 'ensure', save [`Cluster::checkpoint`]:
//! there one call is one checkpoint, and an adapter must never repeat it by itself.

mod receiver;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ms2m_transfer::Report;
use ms2m_transfer::event::Progress;

use super::error::PortError;
use super::record::Record;
use crate::api::{Compression, HandoffBinding};

pub use receiver::{DirectOrder, ReceiverOrder, ReceiverState};
pub use workload::{
    Adoption, BudgetView, Claim, ClaimView, LetGoOrder, OwnerState, OwnerView, ReplicaSetView,
    SetView, Surroundings, VolumeKind, VolumeView, kept_name,
};

/// What a port answers.
pub type PortResult<T> = Result<T, PortError>;

/// A pod, as far as a migration is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The node that it was scheduled to.
    pub node: Option<String>,
    /// `status.phase`: `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// Whether it has a deletion timestamp.
    pub terminating: bool,
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// Its containers in their order, without init containers.
    pub containers: Vec<ContainerView>,
    /// Names of its init containers, those left out that run on as sidecars.
    pub init_containers: Vec<String>,
    /// Its volumes of which the contents matter: claims and what lies on the node.
    pub volumes: Vec<VolumeView>,
    /// Whether it asks for ports of the node.
    pub host_ports: bool,
    /// The controlling owner, if it has one.
    pub owner: Option<OwnerView>,
    /// Whether it is a mirror of a static pod.
    pub mirror: bool,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// Name.
    pub name: String,
    /// The image as it stands in the spec.
    pub image: String,
    /// The image as the runtime reports it (`status.containerStatuses[].imageID`), empty if not
    /// known: usually `repository@sha256:…`.
    pub image_id: String,
    /// Whether it runs.
    pub running: bool,
    /// How long its liveness probe may fail before the kubelet kills it, if it has one.
    pub liveness: Option<Duration>,
}

/// A node, as far as a migration is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Name.
    pub name: String,
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `status.nodeInfo.containerRuntimeVersion`, as `cri-o://1.36.3`.
    pub runtime: String,
    /// `status.nodeInfo.architecture`, as `amd64`.
    pub architecture: String,
    /// `status.nodeInfo.kernelVersion`, as `6.12.48-amd64`.
    pub kernel: String,
    /// What its CPU can do, as far as labels tell (node-feature-discovery); empty if they do not.
    pub cpu_features: BTreeSet<String>,
}

/// A right that the caller lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPermission {
    /// As `create nodes/proxy`.
    pub what: String,
    /// The namespace that it is needed in; none for the whole cluster.
    pub namespace: Option<String>,
    /// What ms2m needs it for.
    pub purpose: &'static str,
}

/// How far a pod that only pulls an image has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePull {
    /// Not there yet.
    Pulling,
    /// The image is on the node.
    Present,
    /// The kubelet says it cannot be had.
    Failed(String),
    /// There is no such pod.
    Absent,
}

/// Which archive the transfer Job deals with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveToSend {
    /// The one with this path on the node.
    At(String),
    /// The next one of the pod's container: the Job is there before the checkpoint.
    Next,
}

/// How far a transfer Job is that waits for its archive.
#[derive(Debug, Clone, PartialEq)]
pub enum TransferReadiness {
    /// It takes the next archive.
    Ready,
    /// It has come to an end, or will come to nothing.
    Ended(TransferEnd),
}

/// What the transfer Job is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    /// Name of the Job.
    pub name: String,
    /// The migration that it belongs to.
    pub migration: String,
    /// The node with the archive.
    pub node: String,
    /// The archive on that node.
    pub archive: ArchiveToSend,
    /// Reference to push to, tag included.
    pub image: String,
    /// Image of the transfer binary.
    pub transfer_image: String,
    /// Pod that was checkpointed.
    pub pod: String,
    /// Container that was checkpointed.
    pub container: String,
    /// Compression of the layer.
    pub compression: Compression,
    /// Plain HTTP to the registry.
    pub plain_http: bool,
    /// The receiver that takes the registry's place.
    pub direct: Option<DirectOrder>,
    /// Secret with the registry's credentials.
    pub credentials_secret: Option<String>,
    /// Leave the archive on the node.
    pub keep_archive: bool,
    /// Delete the archive and push nothing.
    pub discard: bool,
    /// Limit of the whole Job.
    pub deadline: Duration,
}

/// The target pod to be made from the source pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOrder {
    /// The migration that it belongs to.
    pub migration: String,
    /// Name of the source pod.
    pub source_pod: String,
    /// Its uid.
    pub source_uid: String,
    /// Name of the target pod.
    pub target_pod: String,
    /// The node that it is to run on.
    pub node: String,
    /// The container that carries the state.
    pub container: String,
    /// The checkpoint image by digest.
    pub image: String,
    /// The image by digest that the container was made of, which the node must have at the restore.
    pub base_image: Option<String>,
    /// Secret with the registry's credentials.
    pub credentials_secret: Option<String>,
    /// The StatefulSet with which the manifest that it is made from was kept; else it is made from
    /// the source pod, which must be there.
    pub kept_with: Option<String>,
    /// Whether it has the source's labels from the start, where the source is gone by then.
    pub labelled: bool,
}

/// How far the restore has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreState {
    /// There is no such pod.
    Absent,
    /// Not running yet; the words say what it waits for.
    Starting(String),
    /// The restored container runs; `ready` is the pod's condition.
    Running {
        /// Uid of the target pod.
        uid: String,
        /// Whether the pod is ready.
        ready: bool,
    },
    /// It will not run: the runtime's own words. Terminal for a target, whose container must
    /// never be started twice.
    Failed(String),
}

/// The Kubernetes API, seen from one namespace.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The pod of that name.
    async fn pod(&self, name: &str) -> PortResult<Option<PodView>>;
    /// Names of the pods of the namespace, for suggestions.
    async fn pod_names(&self) -> PortResult<Vec<String>>;
    /// All nodes.
    async fn nodes(&self) -> PortResult<Vec<NodeView>>;
    /// One node.
    async fn node(&self, name: &str) -> PortResult<Option<NodeView>>;
    /// Which of the rights that a migration takes are missing; empty if none. With an owner's kind
    /// those that are needed on top for its pods.
    async fn missing_permissions(&self, owner: Option<&str>) -> PortResult<Vec<MissingPermission>>;
    /// What surrounds a pod that [`Cluster::pod`] has given. With `crowd`, how many pods of the
    /// namespace are on each node as well.
    async fn surroundings(&self, pod: &PodView, crowd: bool) -> PortResult<Surroundings>;
    /// Takes one checkpoint through the kubelet and answers the archive's path on the node.
    /// Exactly one request goes out, whatever happens.
    async fn checkpoint(
        &self,
        node: &str,
        pod: &str,
        container: &str,
        limit: Duration,
    ) -> PortResult<String>;
    /// Ensures a pod that makes `node` pull `image`, with the source pod's pull secrets.
    async fn ensure_image_pull(
        &self,
        migration: &str,
        name: &str,
        node: &str,
        image: &str,
        source_pod: &str,
    ) -> PortResult<()>;
    /// How far it has come. Returns at once.
    async fn image_pull(&self, name: &str) -> PortResult<ImagePull>;
    /// Ensures the receiver's pod and its Secret, and answers the address at which it listens. One that
    /// has ended is not made again.
    async fn ensure_receiver(&self, order: &ReceiverOrder) -> PortResult<IpAddr>;
    /// How far it has come. Returns at once.
    async fn receiver(&self, name: &str) -> PortResult<ReceiverState>;
    /// Asks for the end of pod and Secret, and does not wait for it.
    async fn release_receiver(&self, name: &str) -> PortResult<()>;
    /// Ensures that both are gone.
    async fn remove_receiver(&self, name: &str) -> PortResult<()>;
    /// Ensures the transfer Job.
    async fn ensure_transfer(&self, order: &TransferOrder) -> PortResult<()>;
    /// Waits until a Job that was made for the next archive waits for it.
    async fn transfer_ready(&self, name: &str) -> PortResult<TransferReadiness>;
    /// Follows the Job until it has ended, and says how. Progress is told as it comes; a Job or a
    /// pod that fails, cannot start or is lost ends the wait with [`TransferEnd::Lost`].
    async fn follow_transfer(
        &self,
        name: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> PortResult<TransferEnd>;
    /// Ensures that the Job and its pods are gone.
    async fn remove_transfer(&self, name: &str) -> PortResult<()>;
    /// Ensures that the pod is gone, waiting for it. With a uid, a pod of another uid is left
    /// alone. `grace` is the time its containers get to end. One on a node that is lost is not waited
    /// for; without any grace it is forgotten then, so that its name is free.
    async fn remove_pod(&self, name: &str, uid: Option<&str>, grace: Duration) -> PortResult<()>;
    /// What of a migration is still there, as `pod a` and `Job b`; its transfer Job goes by a name
    /// of its own.
    async fn belongings(&self, migration: &str, transfer: &str) -> PortResult<Vec<String>>;
    /// Keeps the manifests of a StatefulSet and of one of its pods in the cluster, unless another
    /// migration does: then the set is not ours to let go before that one has put it back.
    async fn claim_set(&self, order: &LetGoOrder) -> PortResult<Claim>;
    /// Ensures that a StatefulSet that is ours is gone and its pods are without an owner.
    async fn let_go(&self, order: &LetGoOrder) -> PortResult<()>;
    /// Ensures that the kept StatefulSet is there as it was, waits until it has adopted `pod`, and
    /// forgets what was kept. Where it is not ours there is nothing to do, unless it is nowhere: then
    /// it is [`PortError::NotFound`].
    async fn take_back(
        &self,
        migration: &str,
        set: &str,
        pod: Option<&str>,
    ) -> PortResult<Adoption>;
    /// Marks the pod as the first one that its ReplicaSet removes.
    async fn yield_place(&self, pod: &str, uid: &str) -> PortResult<()>;
    /// Takes that mark back, if it is there.
    async fn keep_place(&self, pod: &str, uid: &str) -> PortResult<()>;
    /// Gives the target the labels that it was made to take over at the commit.
    async fn hand_over_labels(&self, target_pod: &str) -> PortResult<()>;
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TransferEnd {
    /// The binary reported.
    Reported(Report),
    /// The Job ended without a report; the words say what is known.
    Lost(String),
}

/// Makes a running pod from a checkpoint. Both runtimes are moving this door, so the engine knows
/// it only by this trait.
#[async_trait]
pub trait Restore: Send + Sync {
    /// Ensures the target pod. [`PortError::Conflict`] when another pod has its name.
    async fn ensure_target(&self, order: &RestoreOrder) -> PortResult<()>;
    /// How far the target of that migration has come. Returns at once. Another pod of its name does
    /// not count.
    async fn target(&self, migration: &str, name: &str) -> PortResult<RestoreState>;
    /// Returns when the state of the target pod may have changed, or after `limit`.
    async fn target_changed(&self, name: &str, limit: Duration) -> PortResult<()>;
}

/// A queue as the broker shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueView {
    /// Messages ready for delivery.
    pub ready: u64,
    /// Messages delivered and not acknowledged, as it was at some moment within the last `lag`;
    /// `None` when the broker does not tell.
    pub unacknowledged: Option<u64>,
    /// How old `unacknowledged` may be; zero if it is exact. A queue that was seen with nothing
    /// ready and nothing unacknowledged for all of that time, and that nothing comes into, is
    /// empty: one of the looks has met the truth, and from then on it cannot have grown.
    pub lag: Duration,
    /// Consumers.
    pub consumers: u64,
}

/// A consumer of a queue, as far as the broker tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerView {
    /// Whether it acknowledges messages itself. One that does not is sent each message as applied
    /// already, so nothing can be known of what it has in hand.
    pub acknowledges: bool,
    /// How many unacknowledged messages it may have in hand; 0 is no limit.
    pub prefetch: u64,
    /// The address that its connection comes from, as the broker sees it: the pod's own only if
    /// nothing in between translates or forwards.
    pub peer_host: Option<String>,
    /// The port there.
    pub peer_port: Option<u16>,
    /// The broker's name for its connection, as `10.1.2.3:40112 -> 10.1.0.9:5672`.
    pub connection: Option<String>,
    /// The name that the client has given its connection.
    pub client_name: Option<String>,
}

/// What a deletion of a queue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is not there (any more).
    Gone,
    /// It has messages or consumers, and was left alone.
    InUse,
}

/// Either end of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A queue.
    Queue(String),
    /// An exchange.
    Exchange(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::Exchange(name) => write!(f, "exchange {name}"),
        }
    }
}

/// The AMQP broker.
#[async_trait]
pub trait Broker: Send + Sync {
    /// How many connections to it have been made so far: one more tells whoever looks that the broker
    /// was away, or may have been.
    fn connections(&self) -> u64;
    /// Broker product and version, and whether unacknowledged messages can be counted.
    async fn describe(&self) -> PortResult<BrokerView>;
    /// The queues of these names, in their order; `None` where there is none. One look costs a
    /// few milliseconds however many there are.
    async fn queues(&self, names: &[&str]) -> PortResult<Vec<Option<QueueView>>>;
    /// Who consumes the queue; `None` when the broker does not tell. A consumer that is gone is
    /// missing at once, but a new one shows up within 5 s only: a list that is shorter than
    /// [`QueueView::consumers`] is late, so look again.
    async fn consumers(&self, queue: &str) -> PortResult<Option<Vec<ConsumerView>>>;
    /// What makes the queue drop messages, or go, by itself, a line each as `max-length 100
    /// (policy all)`; `None` when the broker does not tell, as in the first 5 s of a queue. A policy matches by name, so one that
    /// is meant for the primary queue, or for all, may limit a replay queue, in which messages
    /// wait for much longer.
    async fn limits(&self, queue: &str) -> PortResult<Option<Vec<String>>>;
    /// Whether the exchange is there.
    async fn exchange_exists(&self, name: &str) -> PortResult<bool>;
    /// All bindings of the queue save the one to the default exchange, or `None` when the broker
    /// does not tell.
    async fn bindings(&self, queue: &str) -> PortResult<Option<Vec<HandoffBinding>>>;
    /// Ensures a durable queue without arguments.
    async fn ensure_queue(&self, name: &str) -> PortResult<()>;
    /// Ensures a durable fanout exchange; `alternate` takes what it cannot route.
    async fn ensure_fanout(&self, name: &str, alternate: Option<&str>) -> PortResult<()>;
    /// Ensures the binding.
    async fn bind(&self, binding: &HandoffBinding, to: &Destination) -> PortResult<()>;
    /// Ensures that the binding is gone.
    async fn unbind(&self, binding: &HandoffBinding, from: &Destination) -> PortResult<()>;
    /// Deletes the queue; with `only_if_idle`, only when it has neither messages nor consumers.
    async fn delete_queue(&self, name: &str, only_if_idle: bool) -> PortResult<Deletion>;
    /// Deletes the exchange.
    async fn delete_exchange(&self, name: &str) -> PortResult<()>;
    /// Throws away the messages that are ready in the queue.
    async fn purge_queue(&self, name: &str) -> PortResult<()>;
    /// Moves the ready messages of a queue to a fanout exchange, one after the other and with
    /// their properties and routing keys, until the queue is seen empty or `at_most` have been
    /// moved; answers how many: where it is fewer, the queue was empty. Each is taken from the
    /// one and put into the other in one transaction, so that a process that dies over it
    /// neither loses nor doubles one.
    async fn move_messages(&self, queue: &str, exchange: &str, at_most: u64) -> PortResult<u64>;
    /// Publishes `payload` to the queue through the default exchange: persistent,
    /// `application/json`, confirmed.
    async fn publish(&self, queue: &str, payload: &[u8]) -> PortResult<()>;
}

/// What is known of the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerView {
    /// As `RabbitMQ 3.10.8`.
    pub product: String,
    /// Why unacknowledged messages and bindings cannot be seen; `None` when they can.
    pub management: Option<String>,
}

/// An image in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView {
    /// Digest of its manifest.
    pub digest: String,
    /// Whether its manifest has the annotations by which both runtimes know a checkpoint.
    pub is_checkpoint: bool,
}

/// The OCI registry, seen from where ms2m runs.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The image, by tag or digest.
    async fn image(&self, image: &str) -> PortResult<Option<ImageView>>;
    /// Deletes the image. A registry that does not allow it answers [`PortError::Denied`].
    async fn delete(&self, image: &str) -> PortResult<()>;
}

/// Where migrations are remembered.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Remembers a new one. A name that is taken is [`PortError::Conflict`].
    async fn create(&self, record: &Record) -> PortResult<()>;
    /// Remembers how far it has come. [`PortError::Fenced`] when another process has written it
    /// since it was read or saved here.
    async fn save(&self, record: &Record) -> PortResult<()>;
    /// The one of that name.
    async fn read(&self, name: &str) -> PortResult<Option<Record>>;
    /// All that are remembered in the namespace, oldest first.
    async fn list(&self) -> PortResult<Vec<Record>>;
    /// Takes the lock on a pod: no two processes work on one pod's migration at a time. `Err` with
    /// [`PortError::Conflict`] names the holder. The lock is kept until it is released, or until
    /// its holder has been silent for its lease time.
    async fn lock(&self, pod: &str) -> PortResult<Box<dyn Lock>>;
    /// Who holds the lock on a pod; `None` when nobody does, or its holder is certainly dead.
    async fn holder(&self, pod: &str) -> PortResult<Option<Holder>>;
    /// Asks whoever holds the lock on a pod to abort a migration of it, and says who that is;
    /// `None` when nobody does, or its holder is certainly dead.
    async fn request_abort(&self, pod: &str, migration: &str) -> PortResult<Option<Holder>>;
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// As `process 12 on host-a`.
    pub who: String,
    /// Another one after each sign of life.
    pub sign: String,
}

/// A lock that is held. Dropping it without [`Lock::release`] leaves it to expire.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Whether it is certainly still held. To be asked right before each effect: a process that
    /// was suspended may have lost it without having been told.
    fn is_held(&self) -> bool;
    /// Resolves when the lock is lost: whoever held it must stop at once, without another effect.
    /// Looks at the clock whenever it is polled, so that work beside it in a biased `select` gets
    /// no turn after a suspension.
    async fn lost(&self);
    /// Resolves when somebody asks to abort `migration`.
    async fn abort_requested(&self, migration: &str);
    /// Gives it back.
    async fn release(&self) -> PortResult<()>;
}

/// Time, passed in.
#[async_trait]
pub trait Clock: Send + Sync {
    /// What the clock on the wall says.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment in this process; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, duration: Duration);
    /// A number in `0.0..1.0` for jitter and names.
    fn random(&self) -> f64;
}
