//! `PATCH`: which kind of patch it is, and applying it to what is there.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::{Call, create, decode, update};
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::patch::managed::{self, Operation};
use crate::apiserver::patch::{apply, json as json_patch, merge, strategic};
use crate::apiserver::{meta, resource::Storage};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Answers a patch of an object or its status.
pub(crate) fn patch(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let format = decode::content_type(&call.headers);
    if call.def.custom.is_some() && format == STRATEGIC {
        return Err(ApiError::unsupported_media_type(&[JSON, MERGE, APPLY]));
    }
    if call.query.flag("force") && format != APPLY {
        let message =
            " \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
        return Err(ApiError::new(
            422,
            "Invalid",
            format!("PatchOptions.meta.k8s.io{message}"),
        ));
    }
    match format.as_str() {
        JSON | MERGE | STRATEGIC => modify(call, &format, &decode::json(body)?),
        APPLY => apply_patch(call, decode::yaml(body)?),
        _ => Err(ApiError::unsupported_media_type(&[
            JSON, MERGE, STRATEGIC, APPLY,
        ])),
    }
}

fn modify(call: &Call, format: &str, patch: &Value) -> ApiResult<Response<Body>> {
    let mut warnings = Vec::new();
    let updated = update::change(
        call,
        |old| {
            let old = call.outward(old);
            let mut new = match format {
                JSON => json_patch::apply(&old, patch)?,
                MERGE => merge::apply(&old, patch)?,
                _ => strategic::apply(call.def.schema().as_deref(), &old, patch)?,
            };
            decode::check_type(call, &mut new)?;
            warnings = decode::fit(call, &mut new)?;
            if meta::name(&new) != call.info.name {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({}) does not match the name on the URL ({})",
                    meta::name(&new),
                    call.info.name
                )));
            }
            // A patch that names no version of its own is tried again on whatever is there.
            if patch.pointer("/metadata/resourceVersion").is_none() && format != JSON {
                meta::metadata(&mut new).remove("resourceVersion");
            }
            if format == JSON && meta::resource_version(&new) == meta::resource_version(&old) {
                meta::metadata(&mut new).remove("resourceVersion");
            }
            if call.def.storage == Storage::EventView {
                new = crate::apiserver::events::to_core(&new);
            }
            Ok(new)
        },
        |old, new| {
            managed::track_update(call, Some(old), new, Operation::Update);
            Ok(())
        },
    )?;
    Ok(call.answer(200, &updated, &warnings))
}

fn apply_patch(call: &Call, mut applied: Value) -> ApiResult<Response<Body>> {
    if call.query.get("fieldManager").is_none() {
        let mut error = ApiError::new(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        );
        error.details = Some(
            json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [
                {"reason": "FieldValueRequired", "message": "Required value: is required for apply patch", "field": "fieldManager"},
            ]}),
        );
        return Err(error);
    }
    if meta::text(&applied, "/apiVersion").is_none() || meta::text(&applied, "/kind").is_none() {
        return Err(ApiError::bad_request(
            "invalid object type: apiVersion and kind must be set",
        ));
    }
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null() && m != &json!([]))
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    decode::check_type(call, &mut applied)?;
    let warnings = decode::fit(call, &mut applied)?;
    if meta::name(&applied).is_empty() {
        meta::metadata(&mut applied).insert("name".into(), call.info.name.clone().into());
    }
    if meta::name(&applied) != call.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            meta::name(&applied),
            call.info.name
        )));
    }
    if call.existing().is_err() {
        return apply_new(call, &applied, &warnings);
    }
    let mut outcome = apply::Outcome::default();
    let outcome = std::cell::RefCell::new(&mut outcome);
    let updated = update::change(
        call,
        |old| {
            let mut result = apply::apply(call, old, &applied)?;
            let new = std::mem::take(&mut result.object);
            **outcome.borrow_mut() = result;
            Ok(new)
        },
        |old, new| {
            apply::record(call, old, new, &outcome.borrow());
            Ok(())
        },
    )?;
    Ok(call.answer(200, &updated, &warnings))
}

/// Applying what is not there creates it; the status endpoint creates nothing.
fn apply_new(call: &Call, applied: &Value, warnings: &[String]) -> ApiResult<Response<Body>> {
    if !call.info.subresource.is_empty() || !meta::uid(applied).is_empty() {
        return Err(ApiError::not_found(&call.def, &call.info.name));
    }
    let outcome = apply::of_new(call, applied);
    let created = create::create_object(call, applied.clone(), |object| {
        apply::record(call, &json!({}), object, &outcome);
        Ok(())
    })?;
    Ok(call.answer(201, &created, warnings))
}
