//! Looks, plans, takes the lock, and drives a migration to one of its ends.
//!
//! What happens inside a phase is in `steps`; this file knows only the way from request
//! to result, and back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::{Error, ErrorKind, PortError};
use super::estimate::{Earlier, Load, estimate};
use super::event::{Event, EventKind, Reporter};
use super::limits::Limits;
use super::look;
use super::plan::{self, AtBroker, InCluster, Plan, Request, World};
use super::ports::{
    Broker, Clock, Cluster, Journal, Lock, MissingPermission, PortResult, Registry, Restore,
};
use super::record::Record;
use super::steps::{Run, Signals};
use super::summary::Summary;
use crate::explain;

/// Everything outside.
#[derive(Clone)]
pub struct Ports {
    /// The Kubernetes API.
    pub cluster: Arc<dyn Cluster>,
    /// Makes a running pod from a checkpoint.
    pub restore: Arc<dyn Restore>,
    /// The AMQP broker.
    pub broker: Arc<dyn Broker>,
    /// The OCI registry.
    pub registry: Arc<dyn Registry>,
    /// Where migrations are remembered.
    pub journal: Arc<dyn Journal>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Drives one migration.
pub struct Engine {
    pub(super) ports: Ports,
    pub(super) reporter: Arc<dyn Reporter>,
    limits: Limits,
    pub(super) stop: CancellationToken,
    leave: CancellationToken,
    checks_rights: bool,
}

impl Engine {
    /// An engine that tells `reporter` what it does and rolls back when `stop` is cancelled
    /// before the commit point.
    pub fn new(
        ports: Ports,
        reporter: Arc<dyn Reporter>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        Self {
            ports,
            reporter,
            limits,
            stop,
            leave: CancellationToken::new(),
            checks_rights: true,
        }
    }

    /// The same for a process that carries out many and lives long: when `leave` is cancelled a
    /// migration is left as it stands, at the next moment at which nothing is under way, and its
    /// rights are not asked for each time.
    #[must_use]
    pub fn as_one_of_many(mut self, leave: CancellationToken) -> Self {
        self.leave = leave;
        self.checks_rights = false;
        self
    }

    /// Looks at the world and makes the plan; changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with the reason and the remedy.
    pub async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        self.plan_beside(request, &BTreeMap::new()).await
    }

    /// The same beside other plans: `bound` is how many pods are to go to each node already, which
    /// counts where no target node is named.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn plan_beside(
        &self,
        request: &Request,
        bound: &BTreeMap<String, u64>,
    ) -> Result<Plan, Error> {
        let records = self.is_free(request).await?;
        let mut world = self.look(request).await?;
        for (node, more) in bound {
            *world.cluster.around.crowd.entry(node.clone()).or_default() += more;
        }
        let mut plan = plan::plan(request, &world)?;
        // From what was looked at anyway.
        let load = Load {
            waiting: world.broker.queue.map_or(0, |queue| queue.ready),
            earlier: Earlier::among(&records, &plan.source_pod),
            ..Load::default()
        };
        plan.estimate = estimate(&plan, &load, &self.limits).figures();
        Ok(plan)
    }

    /// The unfinished migration of the same pod, if there is one: [`Engine::migrate`] goes on with
    /// it instead of beginning another.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when the journal cannot be read.
    pub async fn unfinished(&self, request: &Request) -> Result<Option<Record>, Error> {
        let mut records = self.records().await?.into_iter();
        Ok(records.find(|record| is_left(record, request)))
    }

    /// Sees that the pod is in no migration, and that no migration has had the name. Answers all that
    /// are remembered.
    async fn is_free(&self, request: &Request) -> Result<Vec<Record>, Error> {
        let records = self.records().await?;
        if let Some(record) = records.iter().find(|record| is_left(record, request)) {
            return Err(under_way(record, "it has not ended"));
        }
        if let Some(record) = records.iter().find(|record| is_target(record, request)) {
            let pod = &request.spec.source_pod;
            return Err(under_way(
                record,
                &format!("it has not ended, and pod {pod} is its target"),
            )
            .hint(format!("finish it first: {}", record.resume_command())));
        }
        if records.iter().any(|record| record.name == request.name) {
            return Err(name_taken(&request.name));
        }
        Ok(records)
    }

    async fn records(&self) -> Result<Vec<Record>, Error> {
        let records = self.ports.journal.list().await;
        records.map_err(|error| unreadable("the journal", &error))
    }

    /// Moves the pod. An unfinished migration of the same pod is gone on with instead, if no
    /// other process works on it.
    ///
    /// # Errors
    /// Any kind; what was undone and what is left is in the error.
    pub async fn migrate(&self, request: &Request) -> Result<Summary, Error> {
        if let Some(record) = self.unfinished(request).await? {
            return self.resume(&record).await;
        }
        let plan = self.plan_afresh(request).await?;
        self.migrate_as_planned(request, &plan).await
    }

    /// Moves the pod by a plan that was made before and, perhaps, confirmed.
    ///
    /// # Errors
    /// As [`Engine::migrate`]; [`ErrorKind::Refused`] when the pod is not the one that was planned
    /// for, or somebody else has begun meanwhile.
    pub async fn migrate_as_planned(
        &self,
        request: &Request,
        plan: &Plan,
    ) -> Result<Summary, Error> {
        let lock = self
            .lock(&plan.source_pod)
            .await
            .map_err(|error| match error {
                PortError::Conflict(holder) => Error::refused(format!(
                    "a migration of pod {} is already under way",
                    plan.source_pod
                ))
                .code(&explain::UNDER_WAY)
                .because(holder)
                .hint("wait for it to end, or see what it does: ms2m status"),
                other => unreadable("the lock of the pod", &other),
            })?;
        match self.begin(request, plan).await {
            Ok(record) => self.run(record, lock, false).await,
            Err(error) => {
                // The lock would expire by itself; giving it back saves the next attempt the wait.
                let _ = lock.release().await;
                Err(error)
            }
        }
    }

    /// With the lock in hand: sees that nobody was faster since the plan was made, and remembers
    /// the migration.
    async fn begin(&self, request: &Request, plan: &Plan) -> Result<Record, Error> {
        let of_cluster = |error: PortError| unreadable("the cluster", &error);
        let (_, pod) = tokio::try_join!(self.is_free(request), async {
            let pod = self.ports.cluster.pod(&plan.source_pod).await;
            pod.map_err(of_cluster)
        })?;
        if pod.is_none_or(|pod| pod.uid != plan.source_uid || pod.terminating) {
            return Err(Error::refused(format!(
                "pod {} has changed since the plan was made",
                plan.source_pod
            ))
            .code(&explain::POD_CHANGED)
            .hint("run it again to get a plan of the pod as it is now"));
        }
        let record = Run::new_record(request, plan, self.ports.clock.now());
        match self.ports.journal.create(&record).await {
            Ok(()) => Ok(record),
            Err(PortError::Conflict(_)) => Err(name_taken(&request.name)),
            Err(error) => Err(unreadable("the journal", &error)),
        }
    }

    pub(super) async fn lock(&self, pod: &str) -> PortResult<Arc<dyn Lock>> {
        Ok(Arc::from(self.ports.journal.lock(pod).await?))
    }

    /// Drives `record` to one of its ends, and gives the lock back.
    pub(super) async fn run(
        &self,
        record: Record,
        lock: Arc<dyn Lock>,
        resumed: bool,
    ) -> Result<Summary, Error> {
        let name = record.name.clone();
        let mut run = Run::new(
            self.ports.clone(),
            Arc::clone(&self.reporter),
            self.limits.clone(),
            Signals {
                stop: self.stop.clone(),
                leave: self.leave.clone(),
            },
            Arc::clone(&lock),
            record,
        );
        let result = tokio::select! {
            result = run.drive(resumed) => result,
            never = self.heed_abort(&name, &*lock) => match never {},
        };
        // Whatever the result, this process is done with the pod. A lock that cannot be given
        // back expires.
        let _ = lock.release().await;
        result
    }

    pub(super) fn report(&self, event: Event) {
        self.reporter.report(event);
    }

    /// Stops the run when another process asks for that. Whether it can still be rolled back is
    /// the run's to know.
    async fn heed_abort(&self, migration: &str, lock: &dyn Lock) -> Infallible {
        lock.abort_requested(migration).await;
        self.report(Event {
            time: self.ports.clock.now(),
            migration: migration.to_owned(),
            kind: EventKind::Warning {
                message: "somebody has asked to abort this migration".to_owned(),
            },
        });
        self.stop.cancel();
        std::future::pending().await
    }

    pub(super) async fn plan_afresh(&self, request: &Request) -> Result<Plan, Error> {
        let world = self.look(request).await?;
        plan::plan(request, &world)
    }

    /// Rights that the caller lacks, as far as they are to be asked for.
    async fn lacking(&self, owner: Option<&str>) -> PortResult<Vec<MissingPermission>> {
        if !self.checks_rights {
            return Ok(Vec::new());
        }
        self.ports.cluster.missing_permissions(owner).await
    }

    async fn look(&self, request: &Request) -> Result<World, Error> {
        let cluster = &*self.ports.cluster;
        let of_cluster = |error: PortError| look::of_cluster(&error);
        let missing = self.lacking(None).await.map_err(of_cluster)?;
        if !missing.is_empty() {
            // Reading on would only end in a less helpful refusal.
            return Ok(World::lacking(missing));
        }
        let mut seen = look::cluster(cluster, request).await?;
        if let Some(owner) = seen.pod.as_ref().and_then(|pod| pod.owner.as_ref()) {
            let missing = self.lacking(Some(&owner.kind)).await;
            let missing = missing.map_err(of_cluster)?;
            if !missing.is_empty() {
                return Ok(World::lacking(missing));
            }
        }
        look::around(cluster, request, &mut seen).await?;
        Ok(World {
            missing,
            cluster: seen,
            broker: look::broker(&*self.ports.broker, request).await?,
        })
    }

    /// Looks at everything that a plan is made from, whatever stands against it, and answers what
    /// could be seen: for a check.
    pub async fn survey(&self, request: &Request) -> Survey {
        let cluster = async {
            let cluster = &*self.ports.cluster;
            let mut seen = look::cluster(cluster, request).await?;
            look::around(cluster, request, &mut seen).await?;
            Ok::<_, Error>(seen)
        };
        let (free, cluster, broker) = tokio::join!(
            self.is_free(request),
            cluster,
            look::broker(&*self.ports.broker, request)
        );
        Survey {
            free: free.map(drop),
            cluster,
            broker,
        }
    }
}

/// The refusal for a broker that does not answer.
#[must_use]
pub fn no_broker(error: &PortError) -> Error {
    look::of_broker(error)
}

/// What could be seen for a check, or why it could not.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Whether the pod is in no migration.
    pub free: Result<(), Error>,
    /// The cluster.
    pub cluster: Result<InCluster, Error>,
    /// The broker.
    pub broker: Result<AtBroker, Error>,
}

/// Whether `record` is a migration of the same pod that was begun and has not ended.
fn is_left(record: &Record, request: &Request) -> bool {
    record.is_unfinished() && record.is_begun() && record.spec.source_pod == request.spec.source_pod
}

/// Whether the pod is the target, or the shadow, of a migration that has not ended: one at a time.
fn is_target(record: &Record, request: &Request) -> bool {
    let pod = Some(&request.spec.source_pod);
    let status = &record.status;
    let shadow = status.takeover.as_ref().map(|it| &it.shadow_pod);
    record.is_unfinished()
        && record.is_begun()
        && (status.target_pod.as_ref() == pod || shadow == pod)
}

fn name_taken(name: &str) -> Error {
    Error::refused(format!("there is a migration {name} already"))
        .code(&explain::NAME_TAKEN)
        .hint("give another name with --name, or none")
}

pub(super) fn unreadable(what: &str, error: &PortError) -> Error {
    let kind = match error {
        PortError::Denied(_) => "was refused access to",
        _ => "cannot reach",
    };
    Error::refused(format!("ms2m {kind} {what}"))
        .because(error)
        .in_passing(error.is_transient())
}

/// The refusal for a pod whose migration `record` somebody works on.
pub(super) fn under_way(record: &Record, holder: &str) -> Error {
    let phase = record.status.phase.unwrap_or_default();
    Error::new(
        ErrorKind::Refused,
        format!(
            "migration {} of pod {} is already under way, in phase {phase}",
            record.name, record.spec.source_pod
        ),
    )
    .code(&explain::UNDER_WAY)
    .because(holder)
    .in_passing(true)
    .hint(format!(
        "wait for it to end, or see what it does: ms2m status {}",
        record.name
    ))
}
