//! Objects that wait for their contents: a namespace for everything in it, a
//! CustomResourceDefinition for its resources.

use std::sync::Arc;

use serde_json::{Value, json};

use super::crd::{CLEANUP, CRDS};
use super::gc;
use super::handlers::delete::{self, DeleteOptions};
use super::meta;
use super::resource::{ResourceDef, Storage};
use super::server::Server;
use super::store::ChangeKind;

/// Clears up for as long as it is polled.
pub(crate) async fn run(server: Arc<Server>) {
    let mut changes = server.store.tap();
    while let Some(tapped) = changes.recv().await {
        let object = &tapped.change.object;
        match &*tapped.key {
            "namespaces" if meta::is_deleting(object) => end_namespace(&server, meta::name(object)),
            CRDS if meta::is_deleting(object) => end_definition(&server, meta::name(object)),
            key if tapped.change.kind == ChangeKind::Deleted => {
                let namespace = meta::namespace(object);
                if server
                    .store
                    .get("namespaces", "", namespace)
                    .is_some_and(|ns| meta::is_deleting(&ns))
                {
                    end_namespace(&server, namespace);
                }
                if server
                    .store
                    .get(CRDS, "", key)
                    .is_some_and(|definition| meta::is_deleting(&definition))
                {
                    end_definition(&server, key);
                }
            }
            _ => {}
        }
    }
}

/// Deletes all in a namespace, and lets go of the namespace once nothing is left.
fn end_namespace(server: &Arc<Server>, namespace: &str) {
    if server
        .store
        .get("namespaces", "", namespace)
        .is_none_or(|object| meta::list(&object, "/spec/finalizers").is_empty())
    {
        return;
    }
    let mut left = false;
    for def in server
        .registry
        .all()
        .iter()
        .filter(|def| def.namespaced && def.storage == Storage::Kept)
    {
        left |= delete_all(server, def, Some(namespace));
    }
    if !left {
        gc::edit(server, "namespaces".into(), "", namespace, |object| {
            object["spec"]["finalizers"] = json!([])
        });
    }
}

/// The same for a definition and its resources.
fn end_definition(server: &Arc<Server>, name: &str) {
    let left = server
        .registry
        .by_key(name)
        .is_some_and(|def| delete_all(server, &def, None));
    if !left {
        gc::edit(server, CRDS.into(), "", name, |object| {
            gc::drop_finalizer(object, CLEANUP)
        });
    }
}

/// Deletes every object there and says whether any is still there.
fn delete_all(server: &Arc<Server>, def: &ResourceDef, namespace: Option<&str>) -> bool {
    for object in server
        .store
        .list(&def.key, namespace)
        .objects
        .iter()
        .filter(|object| !is_going(object))
    {
        let options = DeleteOptions::default();
        if let Err(error) = delete::delete_object(
            server,
            def,
            meta::namespace(object),
            meta::name(object),
            &options,
        ) {
            tracing::debug!(%error, "cannot clear up");
        }
    }
    !server.store.list(&def.key, namespace).objects.is_empty()
}

fn is_going(object: &Value) -> bool {
    meta::is_deleting(object)
}
