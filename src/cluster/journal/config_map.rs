//! Records as ConfigMaps, for clusters without the CRD.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::super::error::is_already_exists;
use super::super::naming::{labels, role, shortened};
use super::super::pages;
use super::fence::{Kept, Refused};
use super::{FIELD_MANAGER, KubeJournal, Place};
use crate::api::ROLE_LABEL;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;
use crate::migration::record::Record;

/// The key of the record in the ConfigMap's data.
const KEY: &str = "record.json";

/// An object's name may have 253 characters.
const NAME: usize = 253;

impl KubeJournal {
    pub(super) async fn create_config_map(&self, record: &Record) -> PortResult<()> {
        let wanted = config_map(record)?;
        let what = format!("remember migration {}", record.name);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let made = self
            .retry
            .run(&what, || async {
                match self.config_maps.create(&params, &wanted).await {
                    Ok(made) => Ok(Some(made)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        if let Some(made) = made {
            self.keep_config_map(&record.name, &made);
            return Ok(());
        }
        let name = wanted.name_any();
        let found = self
            .retry
            .run(&what, || self.config_maps.get(&name))
            .await?;
        // The answer to an earlier attempt may have been lost on the way.
        if found.data == wanted.data {
            self.keep_config_map(&record.name, &found);
            return Ok(());
        }
        Err(PortError::Conflict(format!(
            "there is a migration {} already",
            record.name
        )))
    }

    pub(super) async fn save_config_map(&self, record: &Record) -> PortResult<()> {
        let what = format!("remember how far migration {} has come", record.name);
        let text = text(record)?;
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = object_name(&record.name);
        loop {
            let version = self.fence.known(&record.name).and_then(|it| it.version);
            let mut patch = json!({"data": {KEY: text}});
            if let Some(version) = version {
                patch["metadata"] = json!({"resourceVersion": version});
            }
            let patch = Patch::Merge(patch);
            let answer = self
                .retry
                .run(&what, || self.config_maps.patch(&name, &params, &patch))
                .await;
            match answer {
                Ok(saved) => {
                    self.keep_config_map(&record.name, &saved);
                    return Ok(());
                }
                Err(PortError::Conflict(_)) => {
                    let found = self
                        .retry
                        .run(&what, || self.config_maps.get(&name))
                        .await?;
                    match self.fence.refused(&record.name, &text, kept(&found))? {
                        Refused::Written => return Ok(()),
                        Refused::Again => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn keep_config_map(&self, migration: &str, found: &ConfigMap) {
        self.fence.keep(migration, kept(found));
    }

    pub(super) async fn read_config_map(&self, migration: &str) -> PortResult<Option<Record>> {
        let what = format!("read migration {migration}");
        let name = object_name(migration);
        let found = self
            .retry
            .run(&what, || self.config_maps.get_opt(&name))
            .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        self.keep_config_map(migration, &found);
        record(&found)
            .map(Some)
            .map_err(|why| PortError::Invalid(format!("ConfigMap {name} is no migration: {why}")))
    }

    pub(super) async fn list_config_maps(&self) -> PortResult<Vec<Record>> {
        let selector = format!("{ROLE_LABEL}={}", role::JOURNAL);
        let (what, params) = ("list remembered migrations", ListParams::default());
        let params = params.labels(&selector);
        let mut records = Vec::new();
        for found in pages::all(&self.retry, &self.config_maps, params, what).await? {
            match record(&found) {
                Ok(record) => {
                    self.fence.found(&record.name, kept(&found));
                    records.push(record);
                }
                Err(error) => {
                    tracing::warn!(config_map = found.name_any(), %error, "not a migration");
                }
            }
        }
        Ok(records)
    }
}

pub(in crate::cluster) fn object_name(migration: &str) -> String {
    shortened(&format!("ms2m-{migration}"), NAME)
}

fn text(record: &Record) -> PortResult<String> {
    serde_json::to_string_pretty(record).map_err(|error| PortError::Invalid(error.to_string()))
}

fn config_map(record: &Record) -> PortResult<ConfigMap> {
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(object_name(&record.name)),
            labels: Some(labels(&record.name, role::JOURNAL)),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text(record)?)])),
        ..ConfigMap::default()
    })
}

pub(in crate::cluster) fn record(found: &ConfigMap) -> Result<Record, String> {
    let data = found.data.as_ref();
    let text = data
        .and_then(|data| data.get(KEY))
        .ok_or_else(|| format!("it has no {KEY}"))?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn kept(found: &ConfigMap) -> Kept {
    let data = found.data.as_ref();
    Kept {
        place: Place::ConfigMap,
        version: found.resource_version(),
        generation: None,
        text: data.and_then(|it| it.get(KEY)).cloned().unwrap_or_default(),
        // A part of the text.
        spec: String::new(),
    }
}
