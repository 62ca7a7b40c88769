//! What the controller writes to a resource besides its status: the finalizer, and the label of those
//! that have ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::crew::Key;
use crate::api::{ENDED_LABEL, FINALIZER, StatefulMigration};
use crate::cluster::port_error;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How often what somebody else has written meanwhile is read again.
const ATTEMPTS: u32 = 3;

/// Puts the finalizer on: from now on the resource does not go before it was rolled back or finished.
pub(super) async fn hold(client: &Client, key: &Key, found: &StatefulMigration) -> PortResult<()> {
    let mut seen = found.metadata.clone();
    for _ in 0..ATTEMPTS {
        let mut finalizers = seen.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|it| it == FINALIZER) {
            return Ok(());
        }
        finalizers.push(FINALIZER.to_owned());
        let metadata = json!({"finalizers": finalizers});
        match patch(client, key, &seen, metadata).await {
            // The note that it waits, as a rule.
            Err(PortError::Conflict(_)) => seen = read(client, key).await?,
            other => return other,
        }
    }
    Err(PortError::Busy(
        "others write to it all the time".to_owned(),
    ))
}

async fn read(client: &Client, (namespace, name): &Key) -> PortResult<ObjectMeta> {
    let migrations: Api<StatefulMigration> = Api::namespaced(client.clone(), namespace);
    let found = migrations.get_metadata(name).await;
    found
        .map(|found| found.metadata)
        .map_err(|error| port_error("read the finalizers", &error))
}

/// Takes the finalizer away. One that has ended gets the label that says so.
pub(super) async fn let_go(
    client: &Client,
    key: &Key,
    found: &StatefulMigration,
    ended: bool,
) -> PortResult<()> {
    let finalizers: Vec<&String> = found
        .finalizers()
        .iter()
        .filter(|it| *it != FINALIZER)
        .collect();
    let mut metadata = json!({"finalizers": (!finalizers.is_empty()).then_some(finalizers)});
    if ended {
        metadata["labels"] = json!({ENDED_LABEL: "true"});
    }
    match patch(client, key, &found.metadata, metadata).await {
        Err(PortError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// Patches what was seen and nothing newer: a list of finalizers is written as a whole.
async fn patch(
    client: &Client,
    (namespace, name): &Key,
    seen: &ObjectMeta,
    mut metadata: Value,
) -> PortResult<()> {
    metadata["resourceVersion"] = json!(seen.resource_version);
    let migrations: Api<StatefulMigration> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"metadata": metadata}));
    // The answer is not of interest: the watch shows it.
    migrations
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await
        .map(drop)
        .map_err(|error| port_error("write the finalizer", &error))
}
