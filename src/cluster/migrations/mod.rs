//! Migrations as people ask for them: all that are kept in a namespace, or in every one, whether as
//! `StatefulMigration` resources or as ConfigMaps, with what the journal does not need to know of
//! them. Reads hold no lock, and what is read here is never written back as a whole.

mod entry;
mod events;
mod follow;
mod logs;
mod write;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ListParams};
use std::sync::Arc;

pub use self::entry::{Driver, Entry, Place};
pub use self::events::Told;
pub use self::follow::{Change, Changes, Seen};
pub use self::logs::{Line, Source, Writers, Written};
use super::KubeCluster;
use super::journal::config_map;
use super::naming::role;
use super::pages;
use super::retry::Retry;
use crate::api::{ROLE_LABEL, StatefulMigration};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The labels of the controller's pods, as a selector.
pub const CONTROLLER_LABEL: &str =
    "app.kubernetes.io/name=ms2m,app.kubernetes.io/component=controller";

/// The migrations of one namespace, or of all.
#[derive(Clone)]
pub struct Migrations {
    client: Client,
    retry: Arc<Retry>,
    /// None: all of them.
    namespace: Option<String>,
}

impl KubeCluster {
    /// The migrations of the namespace, or of all.
    #[must_use]
    pub fn migrations(&self, everywhere: bool) -> Migrations {
        Migrations {
            client: self.inner.client.clone(),
            retry: Arc::clone(&self.inner.retry),
            namespace: (!everywhere).then(|| self.inner.namespace.clone()),
        }
    }
}

impl Migrations {
    fn resources(&self) -> Api<StatefulMigration> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Those whose labels `selector` selects, oldest first. Where the CRD is not installed, or may
    /// not be used, those in ConfigMaps alone; and the other way round.
    ///
    /// # Errors
    /// Neither can be listed.
    pub async fn list(&self, selector: Option<&str>) -> PortResult<Vec<Entry>> {
        let (resources, others) = tokio::join!(
            self.list_resources(selector),
            self.list_config_maps(selector)
        );
        let mut found = match (resources, others) {
            (Ok(mut found), Ok(others)) => {
                found.extend(others);
                found
            }
            (Ok(found), Err(PortError::Denied(_)))
            | (Err(PortError::NotFound(_) | PortError::Denied(_)), Ok(found)) => found,
            // Without the CRD the other one is what counts.
            (Err(PortError::NotFound(_)) | Ok(_), Err(error)) | (Err(error), _) => {
                return Err(error);
            }
        };
        found.sort_by(|one, other| one.order().cmp(&other.order()));
        Ok(found)
    }

    /// Who carries the migration of that name out.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn driver_of(&self, name: &str) -> PortResult<Driver> {
        let what = format!("see who carries out migration {name}");
        let api = self.resources();
        match self.retry.run(&what, || api.get_opt(name)).await {
            Ok(Some(found)) => Ok(Entry::of_resource(found).driver),
            // It is kept in a ConfigMap.
            Ok(None) | Err(PortError::NotFound(_) | PortError::Denied(_)) => Ok(Driver::Cli),
            Err(error) => Err(error),
        }
    }

    async fn list_resources(&self, selector: Option<&str>) -> PortResult<Vec<Entry>> {
        let mut params = ListParams::default();
        if let Some(selector) = selector {
            params = params.labels(selector);
        }
        let found = pages::all(&self.retry, &self.resources(), params, "list migrations").await?;
        Ok(found.into_iter().map(Entry::of_resource).collect())
    }

    async fn list_config_maps(&self, selector: Option<&str>) -> PortResult<Vec<Entry>> {
        let params = ListParams::default().labels(&journal_selector(selector));
        let what = "list remembered migrations";
        let found = pages::all(&self.retry, &self.config_maps(), params, what).await?;
        Ok(found.into_iter().filter_map(Entry::of_config_map).collect())
    }
}

/// Selects the ConfigMaps that are records.
fn journal_selector(selector: Option<&str>) -> String {
    let own = format!("{ROLE_LABEL}={}", role::JOURNAL);
    match selector {
        Some(selector) => format!("{own},{selector}"),
        None => own,
    }
}

/// Name of the ConfigMap that a record is kept in.
fn config_map_name(migration: &str) -> String {
    config_map::object_name(migration)
}
