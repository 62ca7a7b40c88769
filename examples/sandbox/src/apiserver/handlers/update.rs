//! Changing an object that exists: the loop around a change, what a change may not touch, and
//! the removal of an object whose last finalizer goes. Patches and subresources use it too.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::{Call, create, decode};
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::patch::managed::{self, Operation};
use crate::apiserver::resource::{ResourceDef, Storage};
use crate::apiserver::store::WriteError;
use crate::apiserver::{crd, defaults, events, meta, validation};

/// `PUT` of a whole object, or of its status.
pub(crate) fn put(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let mut object = decode::body(&call.headers, body)?;
    decode::check_type(call, &mut object)?;
    let warnings = decode::fit(call, &mut object)?;
    if meta::name(&object) != call.info.name {
        if !meta::name(&object).is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                meta::name(&object),
                call.info.name
            )));
        }
        meta::metadata(&mut object).insert("name".into(), call.info.name.clone().into());
    }
    if call.def.storage == Storage::EventView {
        object = events::to_core(&object);
    }
    if call.existing().is_err()
        && create_on_update(&call.def)
        && meta::resource_version(&object).is_empty()
    {
        let created = create::create_object(call, object, |object| {
            managed::track_update(call, None, object, Operation::Update);
            Ok(())
        })?;
        return Ok(call.answer(201, &created, &warnings));
    }
    let updated = change(
        call,
        |_| Ok(object.clone()),
        |old, new| {
            managed::track_update(call, Some(old), new, Operation::Update);
            Ok(())
        },
    )?;
    Ok(call.answer(200, &updated, &warnings))
}

/// The few built-in types that a `PUT` creates.
fn create_on_update(def: &ResourceDef) -> bool {
    matches!(
        &*def.key,
        "leases.coordination.k8s.io" | "events" | "limitranges" | "endpoints" | "services"
    ) || def.group == "rbac.authorization.k8s.io"
}

/// Reads the object, makes the new one with `build`, checks and stores it; again if somebody
/// else was faster and the new object names no version. `manage` writes managedFields, given
/// the old object and the new one.
pub(crate) fn change(
    call: &Call,
    mut build: impl FnMut(&Value) -> ApiResult<Value>,
    mut manage: impl FnMut(&Value, &mut Value) -> ApiResult<()>,
) -> ApiResult<Arc<Value>> {
    loop {
        let old = call.existing()?;
        let new = build(&old)?;
        let pinned = !meta::resource_version(&new).is_empty();
        if pinned && meta::resource_version(&new) != meta::resource_version(&old) {
            return Err(ApiError::stale(&call.def, &call.info.name));
        }
        let new = settle(call, &old, new, &mut manage)?;
        if call.query.dry_run()? {
            return Ok(Arc::new(new));
        }
        match store(call, &old, new) {
            Ok(stored) => return Ok(crd::after_write(&call.server, &call.def, stored)),
            Err(WriteError::Stale) if !pinned => {}
            Err(WriteError::NotFound) => {
                return Err(ApiError::not_found(&call.def, &call.info.name));
            }
            Err(_) => return Err(ApiError::stale(&call.def, &call.info.name)),
        }
    }
}

fn store(call: &Call, old: &Arc<Value>, new: Value) -> Result<Arc<Value>, WriteError> {
    if is_finished(&new) {
        let last = call.server.store.remove(&call.def.key, old, new)?;
        crd::after_delete(&call.server, &call.def, &last);
        return Ok(last);
    }
    call.server.store.replace(&call.def.key, old, new)
}

/// Whether nothing holds a deleted object any more.
pub(crate) fn is_finished(object: &Value) -> bool {
    let graceful = meta::int(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
    let has_contents = meta::text(object, "/kind") == Some("Namespace")
        && !meta::list(object, "/spec/finalizers").is_empty();
    meta::is_deleting(object)
        && graceful == 0
        && meta::finalizers(object).next().is_none()
        && !has_contents
}

/// Takes from the old object what this request cannot change, then defaults and validates.
fn settle(
    call: &Call,
    old: &Value,
    mut new: Value,
    manage: &mut impl FnMut(&Value, &mut Value) -> ApiResult<()>,
) -> ApiResult<Value> {
    let def = &call.def;
    let uid = meta::uid(&new);
    if !uid.is_empty() && uid != meta::uid(old) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(old)
        );
        return Err(ApiError::conflict(def, &call.info.name, &why));
    }
    keep_system_metadata(old, &mut new);
    keep_the_other_part(call, old, &mut new);
    defaults::on_update(def, old, &mut new);
    bump_generation(def, &call.info.subresource, old, &mut new);
    let errors = validation::on_update(def, old, &new, &call.info.subresource);
    if !errors.is_empty() {
        return Err(ApiError::invalid(def, &call.info.name, &errors));
    }
    manage(old, &mut new)?;
    let version = meta::resource_version(old).to_owned();
    meta::metadata(&mut new).insert("resourceVersion".into(), version.into());
    Ok(new)
}

fn keep_system_metadata(old: &Value, new: &mut Value) {
    let metadata = meta::metadata(new);
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        match old.pointer(&format!("/metadata/{field}")) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
}

/// The main endpoint leaves the status alone, the status endpoint everything else.
fn keep_the_other_part(call: &Call, old: &Value, new: &mut Value) {
    let (def, subresource) = (&call.def, call.info.subresource.as_str());
    let map = meta::as_object(new);
    let keep = |map: &mut serde_json::Map<String, Value>, field: &str| match old.get(field) {
        Some(value) => {
            map.insert(field.to_owned(), value.clone());
        }
        None => {
            map.remove(field);
        }
    };
    match subresource {
        "status" => {
            let fields: Vec<String> = old
                .as_object()
                .into_iter()
                .flat_map(|o| o.keys())
                .chain(map.keys())
                .filter(|field| !matches!(field.as_str(), "status" | "metadata"))
                .cloned()
                .collect();
            fields.iter().for_each(|field| keep(map, field));
            if def.custom.is_some() {
                let managed = map
                    .get("metadata")
                    .and_then(|m| m.get("managedFields"))
                    .cloned();
                keep(map, "metadata");
                if let Some(managed) = managed {
                    meta::metadata(new).insert("managedFields".into(), managed);
                }
            } else if let Some(owners) = old.pointer("/metadata/ownerReferences") {
                meta::metadata(new).insert("ownerReferences".into(), owners.clone());
            } else {
                meta::metadata(new).remove("ownerReferences");
            }
        }
        // A binding sets the node and the condition that says so.
        "binding" => {}
        // Only the finalize endpoint changes a namespace's spec.
        "" if def.is("namespaces") => ["spec", "status"].iter().for_each(|field| keep(map, field)),
        _ if def.has_subresource("status") => keep(map, "status"),
        _ => {}
    }
}

/// A change of anything but metadata and status is a new generation.
fn bump_generation(def: &ResourceDef, subresource: &str, old: &Value, new: &mut Value) {
    if !defaults::has_generation(def) || subresource == "binding" {
        return;
    }
    let keeps_status = def.custom.is_some() && !def.has_subresource("status");
    let counts = |field: &str| field != "metadata" && (keeps_status || field != "status");
    let differs = |one: &Value, other: &Value| {
        let mut fields = one.as_object().into_iter().flatten();
        fields.any(|(field, value)| counts(field) && other.get(field) != Some(value))
    };
    if differs(old, new) || differs(new, old) {
        let generation = meta::int(old, "/metadata/generation").unwrap_or(0) + 1;
        meta::metadata(new).insert("generation".into(), generation.into());
    }
}
