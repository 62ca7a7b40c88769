//! What the admission plugins of a real cluster do when an object is created: the namespace's
//! life cycle, service accounts, Pod Security, quotas of pods, priority classes, the default storage class and the
//! protection of volumes in use.

use serde_json::{Value, json};

use super::errors::{ApiError, ApiResult};
use super::handlers::Call;
use super::{crd, meta, pod_security, quota};

/// Where a pod finds its service account's token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Refuses objects in a namespace that does not exist or is going.
///
/// # Errors
/// 404 or 403.
pub(crate) fn namespace_accepts(call: &Call) -> ApiResult<()> {
    crd::accepts(&call.server, &call.def)?;
    if !call.def.namespaced {
        return Ok(());
    }
    let name = call.namespace();
    let Some(namespace) = call.server.store.get("namespaces", "", name) else {
        let mut error = ApiError::new(404, "NotFound", format!("namespaces {name:?} not found"));
        error.details = Some(json!({"name": name, "kind": "namespaces"}));
        return Err(error);
    };
    if meta::is_deleting(&namespace) {
        let mut error = ApiError::forbidden(
            &call.def,
            &call.info.name,
            format!(
                "unable to create new content in namespace {name} because it is being terminated"
            ),
        );
        if let Some(details) = &mut error.details {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating", "field": "metadata.namespace",
                "message": format!("namespace {name} is being terminated"),
            }]);
        }
        return Err(error);
    }
    Ok(())
}

/// Completes and checks a new object.
///
/// # Errors
/// 403 for a pod that its namespace does not admit.
pub(crate) fn on_create(call: &Call, object: &mut Value) -> ApiResult<()> {
    match &*call.def.key {
        "pods" => {
            service_account(call, object)?;
            priority(call, object)?;
            pod_security::check(call, object)?;
            quota::check(call, object)
        }
        "persistentvolumeclaims" => {
            default_class(call, object);
            protect(object, "kubernetes.io/pvc-protection");
            Ok(())
        }
        "persistentvolumes" => {
            protect(object, "kubernetes.io/pv-protection");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A claim that names no class gets the default one; one that names the empty class gets none.
fn default_class(call: &Call, claim: &mut Value) {
    const BETA: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";
    if meta::text(claim, "/spec/storageClassName").is_some() || meta::text(claim, BETA).is_some() {
        return;
    }
    const CLASSES: &str = "storageclasses.storage.k8s.io";
    const DEFAULT: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    let classes = call.server.store.list(CLASSES, None).objects;
    // Of several the newest.
    let default = classes
        .iter()
        .filter(|class| meta::text(class, DEFAULT) == Some("true"))
        .max_by_key(|class| meta::text(class, "/metadata/creationTimestamp"));
    if let Some(class) = default {
        let name = meta::name(class).into();
        meta::object_at(claim, "spec").insert("storageClassName".into(), name);
    }
}

/// What is in use does not go when it is deleted.
fn protect(object: &mut Value, finalizer: &str) {
    let finalizers = meta::metadata(object)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.iter().any(|one| one == finalizer)
    {
        finalizers.push(finalizer.into());
    }
}

fn service_account(call: &Call, pod: &mut Value) -> ApiResult<()> {
    // A mirror pod stands for what a kubelet runs by itself.
    if pod
        .pointer("/metadata/annotations/kubernetes.io~1config.mirror")
        .is_some()
    {
        return Ok(());
    }
    let name = meta::text(pod, "/spec/serviceAccountName")
        .unwrap_or("default")
        .to_owned();
    let Some(account) = call
        .server
        .store
        .get("serviceaccounts", call.namespace(), &name)
    else {
        return Err(ApiError::forbidden(
            &call.def,
            meta::name(pod),
            format!(
                "error looking up service account {}/{name}: serviceaccount {name:?} not found",
                call.namespace()
            ),
        ));
    };
    let spec = meta::object_at(pod, "spec");
    if spec
        .get("imagePullSecrets")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
        && let Some(secrets) = account
            .get("imagePullSecrets")
            .filter(|s| s.as_array().is_some_and(|s| !s.is_empty()))
    {
        spec.insert("imagePullSecrets".into(), secrets.clone());
    }
    let wish = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_bool);
    let mounts = wish(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wish(&account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if mounts {
        mount_token(pod);
    }
    Ok(())
}

/// Adds the projected token volume, and mounts it in every container that has nothing there.
fn mount_token(pod: &mut Value) {
    let spec = meta::object_at(pod, "spec");
    let existing = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|volume| meta::text(volume, "/name"))
        .find(|name| name.starts_with("kube-api-access-"))
        .map(str::to_owned);
    let volume = existing
        .clone()
        .unwrap_or_else(|| format!("kube-api-access-{}", meta::random_suffix(5)));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let taken = meta::list(container, "/volumeMounts")
                .iter()
                .any(|m| meta::text(m, "/mountPath") == Some(TOKEN_PATH));
            if taken {
                continue;
            }
            mounted = true;
            let mounts = meta::as_object(container)
                .entry("volumeMounts")
                .or_insert_with(|| json!([]));
            if let Value::Array(mounts) = mounts {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
            }
        }
    }
    if !mounted || existing.is_some() {
        return;
    }
    let projected = json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    if let Value::Array(volumes) = spec.entry("volumes").or_insert_with(|| json!([])) {
        volumes.push(projected);
    }
}

fn priority(call: &Call, pod: &mut Value) -> ApiResult<()> {
    let class = meta::text(pod, "/spec/priorityClassName")
        .unwrap_or_default()
        .to_owned();
    let value = if class.is_empty() {
        0
    } else {
        let found = call
            .server
            .store
            .get("priorityclasses.scheduling.k8s.io", "", &class)
            .ok_or_else(|| {
                ApiError::forbidden(
                    &call.def,
                    meta::name(pod),
                    format!("no PriorityClass with name {class} was found"),
                )
            })?;
        meta::int(&found, "/value").unwrap_or(0)
    };
    let spec = meta::object_at(pod, "spec");
    spec.insert("priority".into(), value.into());
    meta::default_field(spec, "preemptionPolicy", "PreemptLowerPriority");
    Ok(())
}
