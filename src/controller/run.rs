//! A controller from its start to its end: it stands by, leads, and leaves everything so that another
//! can go on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use kube::Resource as _;
use kube::api::{Api, ListParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, watcher};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::health::{Health, Stage};
use super::metrics::Metrics;
use super::news::Mail;
use super::note;
use super::reconcile::reconcile;
use super::server;
use super::turn::Limits;
use super::work::Context;
use crate::api::{DRIVEN_BY_LABEL, ENDED_LABEL, StatefulMigration};
use crate::clock::SystemClock;
use crate::cluster::{KubeCluster, Leadership, port_error};
use crate::explain;
use crate::migration::error::{Error, ErrorKind, PortError};

/// How long migrations may take to come to a moment at which nothing is under way. A checkpoint call
/// is not cut short: its archive would have no name.
const LEAVE: Duration = Duration::from_secs(45);

/// How often it is looked whether all have left.
const LOOK: Duration = Duration::from_millis(20);

/// How many resources are looked at side by side.
const SIDE_BY_SIDE: u16 = 64;

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only namespace that it serves; all if `None`.
    pub namespace: Option<String>,
    /// How many migrations may be under way.
    pub limits: Limits,
    /// Where it listens for Prometheus and the kubelet.
    pub listen: SocketAddr,
    /// Namespace of the Lease by which one of several controllers leads.
    pub lease_namespace: String,
    /// Name of that Lease.
    pub lease: String,
    /// How it signs its Events: the name of its pod.
    pub instance: String,
}

/// Runs a controller until `stop`.
///
/// # Errors
/// [`ErrorKind::Refused`] when the resources cannot be watched or the address is taken;
/// [`ErrorKind::LockLost`] when another process leads suddenly.
pub async fn run(
    cluster: KubeCluster,
    options: Options,
    stop: CancellationToken,
) -> Result<(), Error> {
    let health = Health::new(Metrics::new());
    let address = server::serve(options.listen, Arc::clone(&health), stop.child_token()).await;
    let address = address.map_err(|error| {
        Error::refused(format!("{} cannot be listened at", options.listen))
            .because(error)
            .hint("name another address: --listen 127.0.0.1:0 takes any free port")
    })?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the controller listens");
    let migrations = migrations(&cluster, &options);
    until(&stop, can_be_listed(&migrations)).await.transpose()?;
    health.is_now(Stage::StandsBy);
    let journal = cluster.in_namespace(&options.lease_namespace).journal();
    let Some(leadership) = until(&stop, journal.lead(&options.lease)).await else {
        return Ok(());
    };
    let leadership = leadership.map_err(|error| unusable_lease(&options, &error))?;
    lead(
        cluster,
        migrations,
        &options,
        &health,
        Arc::new(leadership),
        &stop,
    )
    .await
}

/// What comes of `work`; `None` when `stop` comes first.
async fn until<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        result = work => Some(result),
    }
}

fn migrations(cluster: &KubeCluster, options: &Options) -> Api<StatefulMigration> {
    match &options.namespace {
        Some(namespace) => Api::namespaced(cluster.client(), namespace),
        None => Api::all(cluster.client()),
    }
}

/// Sees that the CRD is there and may be read, before anything is promised.
async fn can_be_listed(migrations: &Api<StatefulMigration>) -> Result<(), Error> {
    let params = ListParams::default().limit(1);
    loop {
        let error = match migrations.list_metadata(&params).await {
            Ok(_) => return Ok(()),
            Err(error) => port_error("list StatefulMigrations", &error),
        };
        if !error.is_transient() {
            let refusal = Error::refused("StatefulMigrations cannot be listed");
            return Err(match error {
                PortError::NotFound(_) => refusal
                    .because("their CustomResourceDefinition is not installed")
                    .code(&explain::CRD_MISSING)
                    .hint("install it: ms2m install, or ms2m crd | kubectl apply -f -"),
                other => refusal
                    .because(other)
                    .hint("the rights that it takes: ms2m install --export"),
            });
        }
        tracing::warn!(%error, "the API server cannot be reached yet");
        sleep(Duration::from_secs(1)).await;
    }
}

fn unusable_lease(options: &Options, error: &PortError) -> Error {
    Error::refused(format!(
        "lease {} in namespace {} cannot be used",
        options.lease, options.lease_namespace
    ))
    .because(error)
    .hint("name a namespace in which it may be: --lease-namespace")
}

/// What a resource is watched for: those that have ended, and those that a command line drives, are
/// not even sent.
fn watched() -> watcher::Config {
    watcher::Config::default().labels(&format!("!{ENDED_LABEL},!{DRIVEN_BY_LABEL}"))
}

/// Leads until `stop`, or until the leadership is lost.
async fn lead(
    cluster: KubeCluster,
    migrations: Api<StatefulMigration>,
    options: &Options,
    health: &Arc<Health>,
    leadership: Arc<Leadership>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    health.is_now(Stage::Syncs);
    let (wake, mut woken) = unbounded_channel::<ObjectRef<StatefulMigration>>();
    let crew = Arc::new(Crew::new(options.limits, wake));
    let leave = CancellationToken::new();
    let (notes, wait) = unbounded_channel();
    let context = Arc::new(Context {
        mail: Mail::start(cluster.client(), options.instance.clone()),
        cluster,
        leadership: Arc::clone(&leadership),
        crew: Arc::clone(&crew),
        metrics: Arc::clone(&health.metrics),
        clock: Arc::new(SystemClock::new()),
        leave: leave.clone(),
        notes,
        registries: Mutex::default(),
    });
    let (reader, writer) = reflector::store();
    health.leads(reader.clone(), Arc::clone(&crew));
    let changes = watcher(migrations, watched())
        .default_backoff()
        .modify(strip)
        .reflect(writer)
        .applied_objects();
    let synced = reader.clone();
    let ready = Arc::clone(health);
    // In one task with the controller, which waits for the same: the store wakes only who asked last.
    let seen_all = async move {
        if synced.wait_until_ready().await.is_ok() {
            ready.is_now(Stage::Leads);
        }
    };
    let notes = note::write(&context, wait);
    let wakes = futures_util::stream::poll_fn(move |context| woken.poll_recv(context));
    let looks = Controller::for_stream(changes, reader)
        .with_config(controller::Config::default().concurrency(SIDE_BY_SIDE))
        .reconcile_on(wakes)
        .run(
            reconcile,
            |_, never, _| match *never {},
            Arc::clone(&context),
        )
        .for_each(async |looked| {
            if let Err(error) = looked {
                tell(&context, &error);
            }
        });
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        () = leadership.lost() => Err(leadership_lost()),
        ((), ()) = async { tokio::join!(looks, seen_all) } => Err(watch_ended()),
        () = notes => Err(watch_ended()),
    };
    health.is_now(Stage::Ends);
    crew.close();
    leave.cancel();
    all_left(&crew).await;
    if ended.is_ok() {
        let released = leadership.release().await;
        tracing::info!(released = released.is_ok(), "another controller can lead");
    }
    ended
}

/// What nobody here reads of a resource takes no memory.
fn strip(found: &mut StatefulMigration) {
    found.meta_mut().managed_fields = None;
    found.meta_mut().annotations = None;
}

fn tell(context: &Context, error: &controller::Error<std::convert::Infallible, watcher::Error>) {
    match error {
        // Woken after it was gone.
        controller::Error::ObjectNotFound(gone) => {
            let namespace = gone.namespace.clone().unwrap_or_default();
            context.crew.forget(&(namespace, gone.name.clone()));
        }
        other => {
            context.metrics.error();
            tracing::warn!(error = %other, "the watch of the migrations is disturbed");
        }
    }
}

/// Waits until no migration is at work any more, or for as long as that may take.
async fn all_left(crew: &Crew) {
    let began = Instant::now();
    let left = timeout(LEAVE, async {
        while crew.counts().0 > 0 {
            sleep(LOOK).await;
        }
    });
    let left = left.await.is_ok();
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(left, seconds, "all migrations are left as they stand");
}

fn watch_ended() -> Error {
    Error::new(ErrorKind::LockLost, "the watch of the migrations has ended")
}

fn leadership_lost() -> Error {
    Error::new(ErrorKind::LockLost, "the leadership was lost, so this controller has stopped at once")
        .because("the API server could not be reached for longer than the lease lasts, or somebody removed the lease")
        .hint("start it again: it stands by until nobody leads")
}
