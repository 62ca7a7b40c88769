//! One migration as it is kept, with the metadata around its record.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

use super::config_map;
use crate::api::{DRIVEN_BY_LABEL, StatefulMigration};
use crate::migration::record::Record;

/// Where a migration is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a `StatefulMigration`.
    Resource,
    /// In a ConfigMap.
    ConfigMap,
}

/// Who carries a migration out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A command line that somebody runs.
    Cli,
    /// The controller in the cluster.
    Controller,
}

/// One migration.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What is remembered of it.
    pub record: Record,
    /// Where it is kept.
    pub place: Place,
    /// Who carries it out.
    pub driver: Driver,
    /// Uid of the object that it is kept in.
    pub uid: String,
    /// Labels of that object.
    pub labels: BTreeMap<String, String>,
    /// Annotations of that object. They may hold what its user left there, passwords included.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl Borrow<Record> for Entry {
    fn borrow(&self) -> &Record {
        &self.record
    }
}

impl Entry {
    /// A resource as it was read.
    #[must_use]
    pub fn of_resource(found: StatefulMigration) -> Self {
        let created = found.creation_timestamp().map(|it| it.0);
        let by_another = found.labels().contains_key(DRIVEN_BY_LABEL);
        Self {
            place: Place::Resource,
            driver: if by_another {
                Driver::Cli
            } else {
                Driver::Controller
            },
            uid: found.uid().unwrap_or_default(),
            labels: found.labels().clone(),
            annotations: found.annotations().clone(),
            deleting: found.metadata.deletion_timestamp.is_some(),
            record: Record {
                name: found.name_any(),
                namespace: found.namespace().unwrap_or_default(),
                created: created.unwrap_or(Timestamp::UNIX_EPOCH),
                spec: found.spec,
                status: found.status.unwrap_or_default(),
            },
        }
    }

    /// A ConfigMap as it was read; none when it is no record.
    pub(super) fn of_config_map(found: ConfigMap) -> Option<Self> {
        match config_map::record(&found) {
            Ok(record) => Some(Self {
                place: Place::ConfigMap,
                driver: Driver::Cli,
                uid: found.uid().unwrap_or_default(),
                labels: found.labels().clone(),
                annotations: found.annotations().clone(),
                deleting: found.metadata.deletion_timestamp.is_some(),
                record,
            }),
            Err(error) => {
                tracing::warn!(config_map = found.name_any(), %error, "not a migration");
                None
            }
        }
    }

    /// What entries are listed by.
    #[must_use]
    pub fn order(&self) -> (Timestamp, &str, &str) {
        let record = &self.record;
        (record.created, &record.namespace, &record.name)
    }
}
