//! Records as ConfigMaps, for clusters without the CRD.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::super::adapter::PAGE;
use super::super::error::is_already_exists;
use super::super::naming::{labels, role, shortened};
use super::{FIELD_MANAGER, KubeJournal};
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
                    Ok(_) => Ok(true),
                    Err(error) if is_already_exists(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        if made {
            return Ok(());
        }
        let name = wanted.name_any();
        let found = self
            .retry
            .run(&what, || self.config_maps.get(&name))
            .await?;
        // The answer to an earlier attempt may have been lost on the way.
        if found.data == wanted.data {
            return Ok(());
        }
        Err(PortError::Conflict(format!(
            "there is a migration {} already",
            record.name
        )))
    }

    pub(super) async fn save_config_map(&self, record: &Record) -> PortResult<()> {
        let what = format!("remember how far migration {} has come", record.name);
        let patch = Patch::Merge(json!({"data": {KEY: text(record)?}}));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = object_name(&record.name);
        self.retry
            .run(&what, || self.config_maps.patch(&name, &params, &patch))
            .await?;
        Ok(())
    }

    pub(super) async fn read_config_map(&self, migration: &str) -> PortResult<Option<Record>> {
        let what = format!("read migration {migration}");
        let name = object_name(migration);
        let found = self
            .retry
            .run(&what, || self.config_maps.get_opt(&name))
            .await?;
        found
            .as_ref()
            .map(record)
            .transpose()
            .map_err(|why| PortError::Invalid(format!("ConfigMap {name} is no migration: {why}")))
    }

    pub(super) async fn list_config_maps(&self) -> PortResult<Vec<Record>> {
        let selector = format!("{ROLE_LABEL}={}", role::JOURNAL);
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut records = Vec::new();
        loop {
            let page = self
                .retry
                .run("list remembered migrations", || {
                    self.config_maps.list(&params)
                })
                .await?;
            for found in &page {
                match record(found) {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        tracing::warn!(config_map = found.name_any(), %error, "not a migration");
                    }
                }
            }
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(records),
            }
        }
    }
}

fn object_name(migration: &str) -> String {
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

fn record(found: &ConfigMap) -> Result<Record, String> {
    let data = found.data.as_ref();
    let text = data
        .and_then(|data| data.get(KEY))
        .ok_or_else(|| format!("it has no {KEY}"))?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}
