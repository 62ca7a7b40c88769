//! The port `Journal`: a `StatefulMigration` where its CRD is installed and may be used, else a
//! ConfigMap; and the lock on a pod, a Lease.

mod abort;
pub(super) mod config_map;
mod fence;
mod held;
mod holder;
mod leader;
mod lease;
mod resource;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use tokio::sync::OnceCell;

use self::fence::Fence;
pub use self::leader::Leadership;
use self::leader::LedLock;
use self::lease::Leases;
use super::retry::Retry;
use crate::api::StatefulMigration;
use crate::migration::error::PortError;
use crate::migration::ports::{Holder, Journal, Lock, PortResult};
use crate::migration::record::Record;

/// Who writes the status, whichever front drives the migration: so that one can go on with what the
/// other has written.
pub(super) const FIELD_MANAGER: &str = "ms2m";

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Resource,
    ConfigMap,
}

/// Migrations remembered in one namespace.
pub struct KubeJournal {
    namespace: String,
    migrations: Api<StatefulMigration>,
    config_maps: Api<ConfigMap>,
    leases: Leases,
    retry: Arc<Retry>,
    /// Whether the CRD is installed and may be used; asked once.
    has_resource: OnceCell<bool>,
    /// How each record that was read or made here stands.
    fence: Fence,
    /// A controller's leadership.
    leadership: Option<Arc<Leadership>>,
}

impl KubeJournal {
    pub(super) fn new(client: Client, namespace: &str, retry: Arc<Retry>) -> Self {
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        Self {
            namespace: namespace.to_owned(),
            migrations: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client, namespace),
            leases: Leases::new(leases, Arc::clone(&retry)),
            retry,
            has_resource: OnceCell::new(),
            fence: Fence::default(),
            leadership: None,
        }
    }

    /// The same for the controller that leads: all records are resources.
    #[must_use]
    pub fn of_leader(mut self, leadership: Arc<Leadership>) -> Self {
        self.has_resource = OnceCell::new_with(Some(true));
        self.leases.silent = leadership.former();
        self.leadership = Some(leadership);
        self
    }

    /// Waits until this process leads, by the lease `name` in this namespace.
    ///
    /// # Errors
    /// Leases may not be used here.
    pub async fn lead(&self, name: &str) -> PortResult<Leadership> {
        Leadership::gain(&self.leases, name).await
    }

    async fn has_resource(&self) -> PortResult<bool> {
        let answer = self
            .has_resource
            .get_or_try_init(|| async {
                match self.list_resources().await {
                    Ok(_) => Ok(true),
                    Err(PortError::NotFound(_) | PortError::Denied(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(*answer)
    }

    /// Where the record of that name is kept.
    async fn place(&self, name: &str) -> PortResult<Place> {
        match self.fence.known(name) {
            Some(kept) => Ok(kept.place),
            None if self.has_resource().await? => Ok(Place::Resource),
            None => Ok(Place::ConfigMap),
        }
    }
}

#[async_trait]
impl Journal for KubeJournal {
    async fn create(&self, record: &Record) -> PortResult<()> {
        if self.has_resource().await? {
            match self.create_resource(record).await {
                // Reading was allowed, writing is not.
                Err(PortError::Denied(words)) => {
                    tracing::debug!(words, "the resource cannot be used, a ConfigMap is");
                }
                other => return other,
            }
        }
        self.create_config_map(record).await
    }

    async fn save(&self, record: &Record) -> PortResult<()> {
        match self.place(&record.name).await? {
            Place::Resource => self.save_resource(record).await,
            Place::ConfigMap => self.save_config_map(record).await,
        }
    }

    async fn list(&self) -> PortResult<Vec<Record>> {
        let mut records = match self.list_resources().await {
            Ok(records) => {
                let _ = self.has_resource.set(true);
                records
            }
            Err(PortError::NotFound(_) | PortError::Denied(_)) => {
                let _ = self.has_resource.set(false);
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let others = match self.list_config_maps().await {
            // Whoever may use the resource need not be allowed the other.
            Err(PortError::Denied(_)) if self.has_resource.get() == Some(&true) => Vec::new(),
            other => other?,
        };
        records.extend(others);
        records.sort_by_key(|record| record.created);
        Ok(records)
    }

    async fn read(&self, name: &str) -> PortResult<Option<Record>> {
        match self.place(name).await? {
            Place::Resource => self.read_resource(name).await,
            Place::ConfigMap => self.read_config_map(name).await,
        }
    }

    async fn holder(&self, pod: &str) -> PortResult<Option<Holder>> {
        self.leases.holder(pod).await
    }

    async fn request_abort(&self, pod: &str, migration: &str) -> PortResult<Option<Holder>> {
        self.leases.request_abort(pod, migration).await
    }

    async fn lock(&self, pod: &str) -> PortResult<Box<dyn Lock>> {
        let lock = Box::new(self.leases.lock(pod).await?);
        Ok(match &self.leadership {
            None => lock,
            Some(leadership) => Box::new(LedLock {
                pod: lock,
                leadership: Arc::clone(leadership),
            }),
        })
    }
}
