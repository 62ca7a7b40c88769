//! Deleting objects: preconditions, grace periods, finalizers and propagation.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Call, decode, update};
use crate::apiserver::errors::{ApiError, ApiResult, json_response};
use crate::apiserver::resource::ResourceDef;
use crate::apiserver::selectors::Selector;
use crate::apiserver::server::Server;
use crate::apiserver::store::WriteError;
use crate::apiserver::{crd, meta};

/// Waits until the object's dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Waits until the object's dependents have no owner any more.
pub(crate) const ORPHAN: &str = "orphan";

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    fn read(call: &Call, body: &Bytes) -> ApiResult<Self> {
        let body = decode::options(&call.headers, body)?;
        let text = |pointer: &str| meta::text(&body, pointer).map(str::to_owned);
        let mut propagation = text("/propagationPolicy")
            .or_else(|| call.query.get("propagationPolicy").map(str::to_owned));
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        if propagation.is_none() && (orphan == Some(true) || call.query.flag("orphanDependents")) {
            propagation = Some("Orphan".to_owned());
        }
        if let Some(policy) = propagation
            .as_deref()
            .filter(|p| !matches!(*p, "Background" | "Foreground" | "Orphan"))
        {
            return Err(ApiError::bad_request(format!(
                "propagationPolicy: Unsupported value: {policy:?}: supported values: \"Background\", \"Foreground\", \"Orphan\", \"nil\""
            )));
        }
        let dry_run = call.query.dry_run()? || !meta::list(&body, "/dryRun").is_empty();
        Ok(Self {
            grace_seconds: meta::int(&body, "/gracePeriodSeconds")
                .or(call.query.number("gracePeriodSeconds")?),
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            propagation,
            dry_run,
        })
    }
}

/// What became of the object.
pub(crate) enum Deleted {
    /// It is gone; this is its last state.
    Gone(Arc<Value>),
    /// It waits for its grace period or its finalizers.
    Waiting(Arc<Value>),
}

/// `DELETE` of one object.
pub(crate) fn delete(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let options = DeleteOptions::read(call, body)?;
    let deleted = delete_object(
        &call.server,
        &call.def,
        call.namespace(),
        &call.info.name,
        &options,
    )?;
    Ok(match deleted {
        Deleted::Waiting(object) => call.answer(200, &object, &[]),
        Deleted::Gone(object) if call.def.custom.is_none() && returns_object(&call.def) => {
            call.answer(200, &object, &[])
        }
        Deleted::Gone(object) => {
            let mut details = json!({"name": meta::name(&object), "kind": call.def.plural, "uid": meta::uid(&object)});
            if !call.def.group.is_empty() {
                details["group"] = call.def.group.clone().into();
            }
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            json_response(200, &status)
        }
    })
}

fn returns_object(def: &ResourceDef) -> bool {
    matches!(
        &*def.key,
        "pods"
            | "services"
            | "serviceaccounts"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "resourcequotas"
            | "podtemplates"
    )
}

/// `DELETE` of a collection: every object that the selectors match.
pub(crate) fn delete_collection(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let options = DeleteOptions::read(call, body)?;
    let selector = Selector::parse(
        &call.def,
        call.query.get("labelSelector"),
        call.query.get("fieldSelector"),
    )?;
    let namespace = call
        .info
        .namespace
        .as_deref()
        .filter(|_| call.def.namespaced);
    let snapshot = call.server.store.list(&call.def.key, namespace);
    let mut deleted = Vec::new();
    for object in snapshot
        .objects
        .iter()
        .filter(|object| selector.matches(object))
    {
        match delete_object(
            &call.server,
            &call.def,
            meta::namespace(object),
            meta::name(object),
            &options,
        ) {
            Ok(Deleted::Gone(last) | Deleted::Waiting(last)) => deleted.push(call.outward(&last)),
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let list = json!({
        "kind": call.def.list_kind, "apiVersion": call.def.api_version(),
        "metadata": {"resourceVersion": snapshot.version.to_string()}, "items": deleted,
    });
    Ok(json_response(200, &list))
}

/// Deletes one object as far as it can be deleted now.
///
/// # Errors
/// 404 without the object, 409 if a precondition does not hold.
pub(crate) fn delete_object(
    server: &Arc<Server>,
    def: &ResourceDef,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> ApiResult<Deleted> {
    loop {
        let old = server
            .store
            .get(&def.key, namespace, name)
            .ok_or_else(|| ApiError::not_found(def, name))?;
        check_preconditions(def, &old, options)?;
        let grace = grace_period(def, &old, options);
        let mut new = (*old).clone();
        mark(def, &mut new, grace, options);
        if options.dry_run {
            return Ok(Deleted::Waiting(Arc::new(new)));
        }
        let result = if update::is_finished(&new) {
            server.store.remove(&def.key, &old, new).map(Deleted::Gone)
        } else {
            server
                .store
                .replace(&def.key, &old, new)
                .map(Deleted::Waiting)
        };
        match result {
            Ok(deleted) => {
                if let Deleted::Gone(last) = &deleted {
                    crd::after_delete(server, def, last);
                }
                return Ok(deleted);
            }
            Err(WriteError::NotFound) => return Err(ApiError::not_found(def, name)),
            Err(WriteError::Stale | WriteError::Exists) => {}
        }
    }
}

fn check_preconditions(
    def: &ResourceDef,
    object: &Value,
    options: &DeleteOptions,
) -> ApiResult<()> {
    if let Some(uid) = options
        .uid
        .as_deref()
        .filter(|uid| *uid != meta::uid(object))
    {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(object)
        );
        return Err(ApiError::conflict(def, meta::name(object), &why));
    }
    if let Some(version) = options
        .resource_version
        .as_deref()
        .filter(|v| *v != meta::resource_version(object))
    {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
            meta::resource_version(object)
        );
        return Err(ApiError::conflict(def, meta::name(object), &why));
    }
    Ok(())
}

/// Seconds until the object goes; only pods have any.
fn grace_period(def: &ResourceDef, object: &Value, options: &DeleteOptions) -> i64 {
    if !def.is("pods") {
        return 0;
    }
    let finished = matches!(
        meta::text(object, "/status/phase"),
        Some("Failed" | "Succeeded")
    );
    let unscheduled = meta::text(object, "/spec/nodeName").is_none_or(str::is_empty);
    if finished || unscheduled {
        return 0;
    }
    let asked = options
        .grace_seconds
        .or_else(|| meta::int(object, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30);
    if asked < 0 { 1 } else { asked }
}

/// Puts the deletion into the object's metadata; a second deletion can only shorten the first.
fn mark(def: &ResourceDef, object: &mut Value, grace: i64, options: &DeleteOptions) {
    let already = meta::is_deleting(object);
    let pending = meta::int(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
    let shorten = !already || (grace < pending && (options.grace_seconds.is_some() || grace == 0));
    let policy = options.propagation.as_deref();
    let metadata = meta::metadata(object);
    if !already {
        let time = Timestamp::now() + SignedDuration::from_secs(grace);
        metadata.insert("deletionTimestamp".into(), meta::seconds(time).into());
    }
    if shorten {
        if already {
            let time = Timestamp::now() + SignedDuration::from_secs(grace);
            metadata.insert("deletionTimestamp".into(), meta::seconds(time).into());
        }
        metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        if super::super::defaults::has_generation(def) && !already {
            let generation = metadata
                .get("generation")
                .and_then(Value::as_i64)
                .unwrap_or(0)
                + 1;
            metadata.insert("generation".into(), generation.into());
        }
    }
    set_finalizers(metadata, policy);
    if def.is("namespaces") {
        object["status"]["phase"] = "Terminating".into();
    }
}

/// The policy asked for decides which of the collector's two finalizers is on.
fn set_finalizers(metadata: &mut serde_json::Map<String, Value>, policy: Option<&str>) {
    let Some(policy) = policy else { return };
    let mut finalizers: Vec<Value> = metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
    match policy {
        "Foreground" => finalizers.push(FOREGROUND.into()),
        "Orphan" => finalizers.push(ORPHAN.into()),
        _ => {}
    }
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
}
