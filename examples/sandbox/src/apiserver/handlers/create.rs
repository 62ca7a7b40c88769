//! Creating an object: identity, defaults, admission, validation, and what follows a creation.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::{Call, decode};
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::patch::managed::{self, Operation};
use crate::apiserver::resource::Storage;
use crate::apiserver::server::Server;
use crate::apiserver::store::WriteError;
use crate::apiserver::{admission, crd, defaults, events, meta, validation};

/// `POST` to a collection.
pub(crate) fn create(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let mut object = decode::body(&call.headers, body)?;
    decode::check_type(call, &mut object)?;
    let warnings = decode::fit(call, &mut object)?;
    let created = create_object(call, object, |object| {
        managed::track_update(call, None, object, Operation::Update);
        Ok(())
    })?;
    Ok(call.answer(201, &created, &warnings))
}

/// Everything from a decoded object to a stored one. `manage` writes its managedFields once the
/// object is otherwise complete.
pub(crate) fn create_object(
    call: &Call,
    mut object: Value,
    manage: impl FnOnce(&mut Value) -> ApiResult<()>,
) -> ApiResult<Arc<Value>> {
    let def = &call.def;
    if !meta::resource_version(&object).is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if def.storage == Storage::EventView {
        object = events::to_core(&object);
    }
    name_it(&mut object);
    let name = meta::name(&object).to_owned();
    admission::namespace_accepts(call)?;
    if def.namespaced
        && call
            .server
            .store
            .get(&def.key, call.namespace(), &name)
            .is_some()
    {
        return Err(ApiError::already_exists(def, &name));
    }
    new_metadata(def, &mut object);
    defaults::on_create(def, &mut object);
    admission::on_create(call, &mut object)?;
    let errors = validation::on_create(def, &object);
    if !errors.is_empty() {
        return Err(ApiError::invalid(def, &name, &errors));
    }
    manage(&mut object)?;
    if call.query.dry_run()? {
        return Ok(Arc::new(object));
    }
    let created = call
        .server
        .store
        .create(&def.key, object)
        .map_err(|error| match error {
            WriteError::Exists => ApiError::already_exists(def, &name),
            WriteError::Stale | WriteError::NotFound => {
                ApiError::internal("a new object cannot be stale")
            }
        })?;
    let created = crd::after_write(&call.server, def, created);
    if def.is("namespaces") {
        furnish_namespace(&call.server, &name);
    }
    Ok(created)
}

fn name_it(object: &mut Value) {
    if !meta::name(object).is_empty() {
        return;
    }
    let Some(prefix) = meta::text(object, "/metadata/generateName")
        .filter(|p| !p.is_empty())
        .map(str::to_owned)
    else {
        return;
    };
    // The real server cuts the prefix so that the name fits into 63 letters.
    let prefix: String = prefix.chars().take(58).collect();
    let name = format!("{prefix}{}", meta::random_suffix(5));
    meta::metadata(object).insert("name".into(), name.into());
}

fn new_metadata(def: &crate::apiserver::resource::ResourceDef, object: &mut Value) {
    let metadata = meta::metadata(object);
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "generation",
    ] {
        metadata.remove(field);
    }
    if !def.namespaced {
        metadata.remove("namespace");
    }
    metadata.insert("uid".into(), meta::new_uid().into());
    metadata.insert("creationTimestamp".into(), meta::now().into());
    if defaults::has_generation(def) {
        metadata.insert("generation".into(), 1.into());
    }
}

/// What the controllers of a real cluster put into every new namespace, at once here so that a
/// pod may be created right after it.
pub(crate) fn furnish_namespace(server: &Server, namespace: &str) {
    let stamp = || json!({"namespace": namespace, "uid": meta::new_uid(), "creationTimestamp": meta::now()});
    let mut account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": stamp()});
    account["metadata"]["name"] = "default".into();
    let mut root = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": stamp(),
        "data": {"ca.crt": server.tls.authority},
    });
    root["metadata"]["name"] = "kube-root-ca.crt".into();
    root["metadata"]["annotations"] = json!({
        "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
    });
    // Who was faster is right: the objects are the same.
    let _ = server.store.create(&"serviceaccounts".into(), account);
    let _ = server.store.create(&"configmaps".into(), root);
}
