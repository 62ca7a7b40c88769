//! Subresources: status, scale, binding, finalize, token. Evictions have a file of their own.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Call, decode, eviction, patch, update};
use crate::apiserver::errors::{ApiError, ApiResult, json_response};
use crate::apiserver::patch::managed::{self, Operation};
use crate::apiserver::patch::{json as json_patch, merge};
use crate::apiserver::{auth, meta};

/// Answers a request for a subresource.
pub(crate) fn handle(call: Call, body: &Bytes) -> ApiResult<Response<Body>> {
    if !call.def.has_subresource(&call.info.subresource) {
        return Err(ApiError::no_such_path());
    }
    match (call.info.subresource.as_str(), call.info.verb.as_str()) {
        ("status", "get") => Ok(call.answer(200, call.existing()?.as_ref(), &[])),
        ("status" | "finalize", "update") => update::put(&call, body),
        ("status", "patch") => patch::patch(&call, body),
        ("scale", "get") => Ok(json_response(
            200,
            &scale_of(&call, call.existing()?.as_ref()),
        )),
        ("scale", "update" | "patch") => scale(&call, body),
        ("binding", "create") => bind(&call, body),
        ("eviction", "create") => eviction::evict(&call, body),
        ("token", "create") => token(&call, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

pub(super) fn success(code: u16) -> Response<Body> {
    json_response(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}),
    )
}

/// JSON pointers of spec replicas, status replicas and, for a custom resource, the selector.
fn scale_paths(call: &Call) -> [String; 3] {
    match call
        .def
        .custom
        .as_ref()
        .and_then(|custom| custom.scale.clone())
    {
        Some(paths) => paths.map(|path| path.replace('.', "/")),
        None => ["/spec/replicas", "/status/replicas", ""].map(str::to_owned),
    }
}

fn scale_of(call: &Call, object: &Value) -> Value {
    let [wanted, actual, selector] = scale_paths(call);
    let selector = if call.def.custom.is_some() {
        meta::text(object, &selector).unwrap_or_default().to_owned()
    } else {
        let labels = object
            .pointer("/spec/selector/matchLabels")
            .or_else(|| object.pointer("/spec/selector"));
        let pairs = labels.and_then(Value::as_object).into_iter().flatten();
        pairs
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": meta::int(object, &wanted).unwrap_or(0)},
        "status": {"replicas": meta::int(object, &actual).unwrap_or(0), "selector": selector},
    })
}

fn scale(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let [path, ..] = scale_paths(call);
    let sent = decode::yaml(body)?;
    let updated = update::change(
        call,
        |old| {
            let before = scale_of(call, old);
            let after = match (
                call.info.verb.as_str(),
                decode::content_type(&call.headers).as_str(),
            ) {
                ("update", _) => sent.clone(),
                (_, "application/json-patch+json") => json_patch::apply(&before, &sent)?,
                _ => merge::apply(&before, &sent)?,
            };
            let version = meta::resource_version(&after);
            if !version.is_empty() && version != meta::resource_version(old) {
                return Err(ApiError::stale(&call.def, &call.info.name));
            }
            let replicas = meta::int(&after, "/spec/replicas").unwrap_or(0);
            if replicas < 0 {
                return Err(ApiError::new(
                    422,
                    "Invalid",
                    format!(
                        "Scale.autoscaling {:?} is invalid: spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0",
                        call.info.name
                    ),
                ));
            }
            let mut new = old.clone();
            set(&mut new, &path, replicas.into());
            meta::metadata(&mut new).remove("resourceVersion");
            Ok(new)
        },
        |old, new| {
            managed::track_update(call, Some(old), new, Operation::Update);
            Ok(())
        },
    )?;
    Ok(json_response(200, &scale_of(call, &updated)))
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        at = meta::as_object(at).entry(step).or_insert(Value::Null);
    }
    *at = value;
}

/// Puts a pod on a node.
fn bind(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let binding = decode::body(&call.headers, body)?;
    let node = meta::text(&binding, "/target/name")
        .unwrap_or_default()
        .to_owned();
    if node.is_empty() {
        return Err(ApiError::new(
            422,
            "Invalid",
            format!(
                "Binding {:?} is invalid: target.name: Required value",
                call.info.name
            ),
        ));
    }
    update::change(
        call,
        |old| {
            let refuse = |why: &str| {
                let message = format!(
                    "Operation cannot be fulfilled on pods/binding {:?}: {why}",
                    call.info.name
                );
                Err(ApiError::new(409, "Conflict", message))
            };
            if meta::is_deleting(old) {
                return refuse(&format!(
                    "pod {} is being deleted, cannot be assigned to a host",
                    call.info.name
                ));
            }
            if let Some(other) = meta::text(old, "/spec/nodeName").filter(|n| !n.is_empty()) {
                return refuse(&format!(
                    "pod {} is already assigned to node {other:?}",
                    call.info.name
                ));
            }
            let mut new = old.clone();
            meta::object_at(&mut new, "spec").insert("nodeName".into(), node.clone().into());
            for field in ["labels", "annotations"] {
                for (key, value) in meta::string_map(&binding, &format!("/metadata/{field}")) {
                    new["metadata"][field][key] = value.into();
                }
            }
            scheduled(&mut new);
            meta::metadata(&mut new).remove("resourceVersion");
            Ok(new)
        },
        |old, new| {
            managed::track_update(call, Some(old), new, Operation::Update);
            Ok(())
        },
    )?;
    Ok(success(201))
}

fn scheduled(pod: &mut Value) {
    let conditions = meta::object_at(pod, "status")
        .entry("conditions")
        .or_insert_with(|| json!([]));
    if let Value::Array(conditions) = conditions {
        conditions.retain(|c| meta::text(c, "/type") != Some("PodScheduled"));
        conditions.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": meta::now(),
        }));
    }
}

/// A token for a service account. The sandbox's tokens do not end; the time says when a real
/// one would.
fn token(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let account = call.existing()?;
    let mut request = decode::options(&call.headers, body)?;
    let seconds = meta::int(&request, "/spec/expirationSeconds").unwrap_or(3600);
    let ends = Timestamp::now() + SignedDuration::from_secs(seconds);
    meta::set_type(&mut request, "authentication.k8s.io/v1", "TokenRequest");
    meta::metadata(&mut request).insert("name".into(), meta::name(&account).into());
    meta::metadata(&mut request).insert("namespace".into(), meta::namespace(&account).into());
    let spec = meta::object_at(&mut request, "spec");
    meta::default_field(spec, "audiences", json!(["https://kubernetes.default.svc"]));
    spec.insert("expirationSeconds".into(), seconds.into());
    request["status"] = json!({
        "token": auth::service_account_token(meta::namespace(&account), meta::name(&account)),
        "expirationTimestamp": meta::seconds(ends),
    });
    Ok(json_response(201, &request))
}
