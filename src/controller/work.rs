//! Carries one migration out: everything that the engine needs, and what comes of it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use kube::{Client, ResourceExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::crew::{Crew, Key};
use super::metrics::Metrics;
use super::news::{Mail, News};
use super::note::{self, Waits};
use super::object;
use super::secrets::Secrets;
use crate::api::{StatefulMigration, conditions};
use crate::broker::{self, AmqpBroker};
use crate::clock::SystemClock;
use crate::cluster::{KubeCluster, KubeJournal, Leadership};
use crate::migration::carry::refuse;
use crate::migration::engine::{Engine, Ports};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::limits::Limits;
use crate::migration::ports::Registry;
use crate::migration::record::Record;
use crate::registry::OciRegistry;

/// What all migrations of a controller share.
pub(super) struct Context {
    pub(super) cluster: KubeCluster,
    pub(super) leadership: Arc<Leadership>,
    pub(super) crew: Arc<Crew>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) mail: Mail,
    pub(super) clock: Arc<SystemClock>,
    /// Cancelled when this controller ends: all migrations are left as they stand.
    pub(super) leave: CancellationToken,
    /// Takes notes of why migrations wait, which are written a few at a time.
    pub(super) notes: UnboundedSender<Waits>,
    /// Registry clients without credentials, by whether they speak plain HTTP.
    pub(super) registries: Mutex<HashMap<bool, Arc<OciRegistry>>>,
}

impl Context {
    pub(super) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// A journal for one migration: what it knows of records is forgotten with it.
    pub(super) fn journal(&self, namespace: &str) -> KubeJournal {
        let cluster = self.cluster.in_namespace(namespace);
        cluster.journal().of_leader(Arc::clone(&self.leadership))
    }

    async fn registry(&self, record: &Record) -> Result<Arc<OciRegistry>, Error> {
        let transfer = record.spec.transfer.clone().unwrap_or_default();
        let plain_http = transfer.plain_http.unwrap_or_default();
        let make = || {
            OciRegistry::new(plain_http).map_err(|error| {
                Error::refused("failed to set up the registry's client").because(error)
            })
        };
        if let Some(secret) = transfer.credentials_secret {
            let secrets = Secrets::new(self.client(), &record.namespace);
            let text = secrets.docker_config(&secret).await?;
            return Ok(Arc::new(make()?.with_pull_secret(text)));
        }
        let mut shared = self
            .registries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = shared.get(&plain_http) {
            return Ok(Arc::clone(registry));
        }
        let registry = Arc::new(make()?);
        shared.insert(plain_http, Arc::clone(&registry));
        Ok(registry)
    }

    async fn ports(&self, record: &Record, news: &News) -> Result<Ports, Error> {
        let queue = &record.spec.message_queue_config;
        let url = Secrets::new(self.client(), &record.namespace)
            .broker(queue)
            .await?;
        if queue.credentials.is_none() && url.has_credentials() {
            news.warn(
                "spec.messageQueueConfig.brokerUrl has a password in it, for everybody to read who may read this \
                 resource: put it into a Secret, and name that in spec.messageQueueConfig.credentials",
            );
        }
        let management = queue
            .management_url
            .as_deref()
            .map(url::Url::parse)
            .transpose();
        let management = management.map_err(|error| {
            Error::refused("spec.messageQueueConfig.managementUrl cannot be used").because(error)
        })?;
        let registry: Arc<dyn Registry> = self.registry(record).await?;
        // One for each migration: it remembers pods and Jobs.
        let cluster = Arc::new(self.cluster.fresh(&record.namespace));
        Ok(Ports {
            restore: cluster.clone(),
            cluster,
            broker: Arc::new(AmqpBroker::new(&broker::Options { url, management })),
            registry,
            journal: Arc::new(self.journal(&record.namespace)),
            clock: self.clock.clone(),
        })
    }
}

/// Carries out what was found, until it has ended or has to be tried again.
pub(super) async fn work(
    context: Arc<Context>,
    key: Key,
    found: Arc<StatefulMigration>,
    stop: CancellationToken,
) {
    let carried = AssertUnwindSafe(Box::pin(carry_out(&context, &key, &found, stop)));
    // A mistake in one migration is no reason to keep its place for ever. Nothing of what it had in
    // hand is used again: the next attempt begins with what is written.
    let look_again = match carried.catch_unwind().await {
        Err(_) => {
            context.metrics.error();
            tracing::error!("a mistake in ms2m: this migration has panicked; it is tried again");
            true
        }
        // It is at rest until the watch has shown its last write: by what was seen before, it would be
        // carried out, or refused, once more.
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            after(&context, &found, &error).await;
            // Also at one that has ended: its last write may not have come off.
            error.kind != ErrorKind::Left
        }
    };
    context.crew.ended(&key, look_again);
}

/// Says that a failure is tried again, if it is.
async fn after(context: &Context, found: &StatefulMigration, error: &Error) {
    let begun = found
        .status
        .as_ref()
        .is_some_and(|it| it.source_pod_uid.is_some());
    let again = match error.kind {
        ErrorKind::Unfinished | ErrorKind::Stuck | ErrorKind::LockLost => true,
        ErrorKind::Left => false,
        _ => error.passing,
    };
    if again {
        context.metrics.error();
        tracing::warn!(%error, kind = ?error.kind, "it is tried again");
    }
    if again && !begun && error.passing {
        let reason = conditions::reasons::RETRYING;
        note::waits(context, found, reason, &error.to_string()).await;
    }
}

async fn carry_out(
    context: &Context,
    key: &Key,
    found: &StatefulMigration,
    stop: CancellationToken,
) -> Result<(), Error> {
    let unwritten = |error: crate::migration::error::PortError| {
        // Whatever the reason, it is tried again, and has to be said.
        Error::refused("the finalizer could not be written")
            .because(error)
            .in_passing(true)
    };
    object::hold(&context.client(), key, found)
        .await
        .map_err(unwritten)?;
    let journal = context.journal(&key.0);
    let record = journal.found(found);
    let news = News::of(key, found, &context.mail, &context.metrics, &context.crew);
    let prepared = match Limits::of(&record.spec) {
        Ok(limits) => context
            .ports(&record, &news)
            .await
            .map(|ports| (ports, limits)),
        Err(error) => Err(error),
    };
    let (ports, limits) = match prepared {
        Ok(prepared) => prepared,
        Err(error) if error.passing => return Err(error),
        Err(error) if record.is_begun() => {
            // Half-way it cannot be refused: somebody has to put back what it needs.
            news.warn(&format!("it cannot be gone on with: {error}"));
            return Err(error.in_passing(true));
        }
        Err(error) => {
            refuse(&journal, &news, &*context.clock, record, &error).await?;
            return Ok(());
        }
    };
    let engine =
        Engine::new(ports, Arc::new(news), limits, stop).as_one_of_many(context.leave.clone());
    let name = found.name_any();
    tracing::debug!(name, "the engine begins");
    Box::pin(engine.carry_out(&record)).await.map(drop)
}
