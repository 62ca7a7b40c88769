//! Records as `StatefulMigration` resources.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::super::error::is_already_exists;
use super::super::pages;
use super::fence::{Kept, Refused};
use super::{FIELD_MANAGER, KubeJournal, Place};
use crate::api::{DRIVEN_BY_CLI, DRIVEN_BY_LABEL, StatefulMigration, StatefulMigrationStatus};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;
use crate::migration::record::Record;

impl KubeJournal {
    pub(super) async fn create_resource(&self, record: &Record) -> PortResult<()> {
        let wanted = resource(record);
        let what = format!("make StatefulMigration {}", record.name);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let made = self
            .retry
            .run(&what, || async {
                match self.migrations.create(&params, &wanted).await {
                    Ok(made) => Ok(Some(made)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        let made = match made {
            Some(made) => made,
            None => {
                let found = self
                    .retry
                    .run(&what, || self.migrations.get(&record.name))
                    .await?;
                if !is_just_made(&found, record) {
                    return Err(PortError::Conflict(format!(
                        "there is a migration {} already",
                        record.name
                    )));
                }
                found
            }
        };
        self.keep_resource(&made);
        if record.status == StatefulMigrationStatus::default() {
            return Ok(());
        }
        // The status is a subresource, which a create ignores.
        self.save_resource(record).await
    }

    pub(super) async fn save_resource(&self, record: &Record) -> PortResult<()> {
        let what = format!("remember how far migration {} has come", record.name);
        let wanted = text(&record.status);
        // By apply, so that a field which is not set any more goes away.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        loop {
            let known = self.fence.known(&record.name);
            let patch = Patch::Apply(status_patch(record, known)?);
            let answer = self
                .retry
                .run(&what, || {
                    self.migrations.patch_status(&record.name, &params, &patch)
                })
                .await;
            match answer {
                Ok(saved) => {
                    self.keep_resource(&saved);
                    return Ok(());
                }
                Err(PortError::Conflict(_)) => {
                    let found = self
                        .retry
                        .run(&what, || self.migrations.get(&record.name))
                        .await?;
                    match self.fence.refused(&record.name, &wanted, kept(&found))? {
                        Refused::Written => return Ok(()),
                        Refused::Again => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The record of a resource that a watch has shown. What is written next is refused if the
    /// resource has changed since.
    #[must_use]
    pub fn found(&self, found: &StatefulMigration) -> Record {
        self.keep_resource(found);
        self.record(found.clone())
    }

    fn keep_resource(&self, found: &StatefulMigration) {
        self.fence.keep(&found.name_any(), kept(found));
    }

    pub(super) async fn read_resource(&self, migration: &str) -> PortResult<Option<Record>> {
        let what = format!("read migration {migration}");
        let found = self
            .retry
            .run(&what, || self.migrations.get_opt(migration))
            .await?;
        Ok(found.map(|it| {
            self.keep_resource(&it);
            self.record(it)
        }))
    }

    pub(super) async fn list_resources(&self) -> PortResult<Vec<Record>> {
        let (what, params) = ("list migrations", ListParams::default());
        let found = pages::all(&self.retry, &self.migrations, params, what).await?;
        let found = found.into_iter().map(|it| {
            self.fence.found(&it.name_any(), kept(&it));
            self.record(it)
        });
        Ok(found.collect())
    }

    fn record(&self, found: StatefulMigration) -> Record {
        let created = found.creation_timestamp().map(|it| it.0);
        let mut status = found.status.clone().unwrap_or_default();
        status.observed_generation = found.metadata.generation;
        Record {
            name: found.name_any(),
            namespace: found.namespace().unwrap_or_else(|| self.namespace.clone()),
            created: created.unwrap_or(Timestamp::UNIX_EPOCH),
            spec: found.spec,
            status,
        }
    }
}

fn resource(record: &Record) -> StatefulMigration {
    StatefulMigration {
        metadata: ObjectMeta {
            name: Some(record.name.clone()),
            // The controller leaves it alone: this process drives it.
            labels: Some([(DRIVEN_BY_LABEL.to_owned(), DRIVEN_BY_CLI.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: record.spec.clone(),
        status: None,
    }
}

/// Whether `found` is what an earlier attempt to make `record` left, whose answer was lost.
fn is_just_made(found: &StatefulMigration, record: &Record) -> bool {
    found.spec == record.spec
        && found.status.is_none()
        && found.labels().get(DRIVEN_BY_LABEL).map(String::as_str) == Some(DRIVEN_BY_CLI)
}

fn status_patch(record: &Record, known: Option<Kept>) -> PortResult<Value> {
    let status = serde_json::to_value(&record.status)
        .map_err(|error| PortError::Invalid(error.to_string()))?;
    let mut patch = json!({
        "apiVersion": "migration.ms2m.io/v1alpha1",
        "kind": "StatefulMigration",
        "metadata": {"name": record.name},
        "status": status,
    });
    if let Some(known) = known {
        patch["metadata"]["resourceVersion"] = known.version.into();
        patch["status"]["observedGeneration"] = known.generation.into();
    }
    Ok(patch)
}

fn kept(found: &StatefulMigration) -> Kept {
    Kept {
        place: Place::Resource,
        version: found.resource_version(),
        generation: found.meta().generation,
        text: found.status.as_ref().map(text).unwrap_or_default(),
        spec: found.spec.without_abort(),
    }
}

/// A status as text, the same for the same status: its conditions are a map to Kubernetes, in no
/// order.
fn text(status: &StatefulMigrationStatus) -> String {
    let mut status = status.clone();
    // Written by the journal itself.
    status.observed_generation = None;
    status
        .conditions
        .sort_by(|one, other| one.type_.cmp(&other.type_));
    serde_json::to_string(&status).unwrap_or_default()
}
