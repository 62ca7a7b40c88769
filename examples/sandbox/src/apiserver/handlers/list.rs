//! Listing a collection, whole or in chunks that all show the same version.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use serde_json::{Value, json};

use super::Call;
use crate::apiserver::errors::{ApiError, ApiResult, bytes_response, json_response};
use crate::apiserver::meta;
use crate::apiserver::resource::{ResourceDef, Storage};
use crate::apiserver::selectors::Selector;
use crate::apiserver::store::object_key;
use crate::apiserver::table::{self, Form};

/// Where a chunked list goes on.
struct Continue {
    version: u64,
    after: (String, String),
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(
            json!({"rv": self.version, "ns": self.after.0, "name": self.after.1}).to_string(),
        )
    }

    fn decode(token: &str) -> ApiResult<Self> {
        let read = || -> Option<Self> {
            let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            Some(Self {
                version: value.get("rv")?.as_u64()?,
                after: (
                    value.get("ns")?.as_str()?.to_owned(),
                    value.get("name")?.as_str()?.to_owned(),
                ),
            })
        };
        read()
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: illegal base64 data"))
    }
}

/// `GET` of a collection.
pub(crate) fn list(call: &Call) -> ApiResult<Response<Body>> {
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
    let limit = usize::try_from(call.query.number("limit")?.unwrap_or(0)).unwrap_or(0);
    let resume = call
        .query
        .get("continue")
        .map(Continue::decode)
        .transpose()?;
    let (version, mut objects) = match &resume {
        None => current(call, namespace)?,
        Some(resume) => (resume.version, as_of(call, namespace, resume.version)?),
    };
    if let Some(resume) = &resume {
        objects.retain(|object| object_key(object) > resume.after);
    }
    objects.retain(|object| selector.matches(object));
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if limit > 0 && objects.len() > limit {
        let remaining = objects.len() - limit;
        objects.truncate(limit);
        if let Some(last) = objects.last() {
            metadata["continue"] = Continue {
                version,
                after: object_key(last),
            }
            .encode()
            .into();
        }
        if selector.is_everything() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    match call.form() {
        Form::Table => {
            let mut table = table::of(&call.def, &objects, &call.query, version);
            table["metadata"] = metadata;
            return Ok(json_response(200, &table));
        }
        Form::Metadata => {
            let items: Vec<Value> = objects
                .iter()
                .map(|object| table::partial(object))
                .collect();
            return Ok(json_response(
                200,
                &json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items,
                }),
            ));
        }
        Form::Whole => {}
    }
    Ok(bytes_response(
        200,
        "application/json",
        encode(&call.def, &objects, &metadata)?.into(),
    ))
}

fn current(call: &Call, namespace: Option<&str>) -> ApiResult<(u64, Vec<Arc<Value>>)> {
    let asked = call.query.version()?;
    if let (Some(version), Some("Exact")) = (asked, call.query.get("resourceVersionMatch")) {
        return Ok((version, as_of(call, namespace, version)?));
    }
    let snapshot = call.server.store.list(&call.def.key, namespace);
    if let Some(version) = asked.filter(|version| *version > snapshot.version) {
        let message = format!(
            "Too large resource version: {version}, current: {}",
            snapshot.version
        );
        let mut error = ApiError::new(504, "Timeout", message);
        error.details = Some(json!({"retryAfterSeconds": 1, "causes": [
            {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"},
        ]}));
        return Err(error);
    }
    Ok((snapshot.version, snapshot.objects))
}

fn as_of(call: &Call, namespace: Option<&str>, version: u64) -> ApiResult<Vec<Arc<Value>>> {
    call.server.store.list_at(&call.def.key, namespace, version).map_err(|_| {
        ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        )
    })
}

/// A list's bytes. Items of built-in types go without version and kind, as the real server
/// writes them.
fn encode(def: &ResourceDef, objects: &[Arc<Value>], metadata: &Value) -> ApiResult<Vec<u8>> {
    let mut out = Vec::with_capacity(256 + objects.len() * 1024);
    let head =
        json!({"kind": def.list_kind, "apiVersion": def.api_version(), "metadata": metadata})
            .to_string();
    out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    out.extend_from_slice(b",\"items\":[");
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode_item(def, object, &mut out).map_err(ApiError::internal)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn encode_item(def: &ResourceDef, object: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
    use serde::Serializer;
    use serde::ser::SerializeMap;
    if def.custom.is_some() || def.storage == Storage::EventView {
        return serde_json::to_writer(out, &super::outward(def, object));
    }
    let mut serializer = serde_json::Serializer::new(out);
    let mut map = serializer.serialize_map(None)?;
    for (field, value) in object.as_object().into_iter().flatten() {
        if !matches!(field.as_str(), "apiVersion" | "kind") {
            map.serialize_entry(field, value)?;
        }
    }
    map.end()
}

/// The object a bookmark carries: its version and nothing else.
pub(crate) fn bookmark(def: &ResourceDef, version: u64, initial_end: bool) -> Value {
    let mut object =
        json!({"metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
    if initial_end {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    meta::set_type(&mut object, &def.api_version(), &def.kind);
    object
}
