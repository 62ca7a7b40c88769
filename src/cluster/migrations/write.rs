//! The few things that people do to a migration that somebody else carries out.

use std::sync::atomic::{AtomicBool, Ordering};

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use super::super::error::{is_already_exists, port_error};
use super::{Driver, Entry, Migrations, Place, config_map_name};
use crate::api::{FINALIZER, Phase, StatefulMigration};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// Who writes what people ask for; the status has a manager of its own.
const FIELD_MANAGER: &str = "ms2m-cli";

impl Migrations {
    /// Makes a resource in its own namespace, or here where it names none. With `dry_run` the API
    /// server checks it and keeps nothing.
    ///
    /// # Errors
    /// [`crate::migration::error::PortError::NotFound`] where the CRD is not installed, and where
    /// there is no such namespace; [`crate::migration::error::PortError::Conflict`] when there is
    /// one of that name.
    pub async fn create(&self, wanted: &StatefulMigration, dry_run: bool) -> PortResult<Entry> {
        let namespace = wanted.namespace().or_else(|| self.namespace.clone());
        let api: Api<StatefulMigration> =
            Api::namespaced(self.client.clone(), &namespace.unwrap_or_default());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            dry_run,
        };
        let what = format!("make StatefulMigration {}", wanted.name_any());
        // One without a name would be made twice if the answer to the first were lost.
        if wanted.metadata.name.is_none() {
            let made = api.create(&params, wanted).await;
            return made
                .map(Entry::of_resource)
                .map_err(|error| port_error(&what, &error));
        }
        let again = AtomicBool::new(false);
        let made = self
            .retry
            .run(&what, || async {
                let before = again.swap(true, Ordering::Relaxed);
                match api.create(&params, wanted).await {
                    // The answer to the first attempt was lost.
                    Err(error) if before && is_already_exists(&error) => {
                        let found = api.get(&wanted.name_any()).await?;
                        // One that has ended was there before: this one has not been made.
                        let phase = found.status.as_ref().and_then(|status| status.phase);
                        let ended = phase.is_some_and(Phase::is_final);
                        if found.spec == wanted.spec && !ended {
                            Ok(found)
                        } else {
                            Err(error)
                        }
                    }
                    other => other,
                }
            })
            .await?;
        Ok(Entry::of_resource(made))
    }

    /// Sets the abort of a resource, and gives it as it is then.
    ///
    /// # Errors
    /// [`crate::migration::error::PortError::NotFound`] when it is gone.
    pub async fn set_abort(&self, name: &str) -> PortResult<Entry> {
        let what = format!("ask to abort migration {name}");
        let patch = Patch::Merge(json!({"spec": {"abort": true}}));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.resources();
        let patched = self
            .retry
            .run(&what, || api.patch(name, &params, &patch))
            .await?;
        Ok(Entry::of_resource(patched))
    }

    /// Takes the controller's finalizer off one that the command line has ended: a controller leaves it
    /// alone, and nobody else would.
    async fn let_go(&self, name: &str) -> PortResult<()> {
        const ATTEMPTS: u32 = 3;
        let api = self.resources();
        let what = format!("take the finalizer off migration {name}");
        for _ in 0..ATTEMPTS {
            let found = self.retry.run(&what, || api.get_metadata(name)).await?;
            let others: Vec<&String> = found
                .finalizers()
                .iter()
                .filter(|it| *it != FINALIZER)
                .collect();
            if others.len() == found.finalizers().len() {
                return Ok(());
            }
            let metadata = json!({
                "finalizers": (!others.is_empty()).then_some(others),
                "resourceVersion": found.resource_version(),
            });
            let patch = Patch::Merge(json!({"metadata": metadata}));
            let written = api
                .patch_metadata(name, &PatchParams::default(), &patch)
                .await;
            match written.map_err(|error| port_error(&what, &error)) {
                Err(PortError::Conflict(_)) => {}
                other => return other.map(drop),
            }
        }
        Err(PortError::Busy(
            "others write to it all the time".to_owned(),
        ))
    }

    /// Deletes the object that `entry` is kept in, and no other one of its name.
    ///
    /// # Errors
    /// [`crate::migration::error::PortError::NotFound`] when it is gone,
    /// [`crate::migration::error::PortError::Conflict`] when another one has its name.
    pub async fn delete(&self, entry: &Entry) -> PortResult<()> {
        let name = &entry.record.name;
        let what = format!("delete migration {name}");
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(entry.uid.clone()),
            resource_version: None,
        });
        match entry.place {
            Place::Resource => {
                if entry.driver == Driver::Cli && !entry.record.is_unfinished() {
                    self.let_go(name).await?;
                }
                let api = self.resources();
                let gone = self.retry.run(&what, || api.delete(name, &params)).await;
                gone.map(drop)
            }
            Place::ConfigMap => {
                let (api, name) = (self.config_maps(), config_map_name(name));
                let gone = self.retry.run(&what, || api.delete(&name, &params)).await;
                gone.map(drop)
            }
        }
    }
}
