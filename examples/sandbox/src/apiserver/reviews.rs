//! Resources that are questions: access reviews, rules reviews, token reviews.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::auth::{self, User};
use super::errors::{ApiError, ApiResult, json_response};
use super::handlers::{Call, decode};
use super::meta;
use super::rbac::{self, Attributes};

/// Answers a review.
///
/// # Errors
/// 405 for anything but creating one, 400 and 422 for one that cannot be read.
pub(crate) fn create(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    if call.info.verb != "create" {
        return Err(ApiError::method_not_allowed());
    }
    let mut review = decode::body(&call.headers, body)?;
    decode::check_type(call, &mut review)?;
    let spec = review.get("spec").cloned().unwrap_or(Value::Null);
    let status = match call.def.kind.as_str() {
        "SelfSubjectAccessReview" => access(call, &call.user, &spec)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access(call, &subject(&spec), &spec)?,
        "SelfSubjectRulesReview" => rules(call, &spec),
        "SelfSubjectReview" => json!({"userInfo": call.user.info()}),
        "TokenReview" => token(call, &spec),
        _ => return Err(ApiError::no_such_path()),
    };
    review["status"] = status;
    meta::default_field(
        meta::metadata(&mut review),
        "creationTimestamp",
        Value::Null,
    );
    Ok(json_response(201, &review))
}

fn subject(spec: &Value) -> User {
    let groups = meta::list(spec, "/groups")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    User {
        name: meta::text(spec, "/user").unwrap_or_default().to_owned(),
        groups,
        ..User::default()
    }
}

fn access(call: &Call, user: &User, spec: &Value) -> ApiResult<Value> {
    let text = |pointer: &str| meta::text(spec, pointer).unwrap_or_default().to_owned();
    let wanted = if spec.get("resourceAttributes").is_some_and(Value::is_object) {
        Attributes {
            verb: text("/resourceAttributes/verb"),
            group: text("/resourceAttributes/group"),
            resource: text("/resourceAttributes/resource"),
            subresource: text("/resourceAttributes/subresource"),
            name: text("/resourceAttributes/name"),
            namespace: text("/resourceAttributes/namespace"),
            path: None,
        }
    } else if spec
        .get("nonResourceAttributes")
        .is_some_and(Value::is_object)
    {
        Attributes {
            verb: text("/nonResourceAttributes/verb"),
            path: Some(text("/nonResourceAttributes/path")),
            ..Attributes::default()
        }
    } else {
        let message = format!(
            "{}.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            call.def.kind
        );
        return Err(ApiError::new(422, "Invalid", message));
    };
    Ok(match rbac::allows(&call.server.store, user, &wanted) {
        Some(reason) if reason.is_empty() => json!({"allowed": true}),
        Some(reason) => json!({"allowed": true, "reason": reason}),
        None => json!({"allowed": false}),
    })
}

fn rules(call: &Call, spec: &Value) -> Value {
    let namespace = meta::text(spec, "/namespace").unwrap_or_default();
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    if call.user.is_master() {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    for (_, rules) in rbac::rules_for(&call.server.store, &call.user, namespace) {
        for rule in rules {
            let to = if meta::list(&rule, "/nonResourceURLs").is_empty() {
                &mut resources
            } else {
                &mut paths
            };
            if !to.contains(&rule) {
                to.push(rule);
            }
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

fn token(call: &Call, spec: &Value) -> Value {
    let token = meta::text(spec, "/token").unwrap_or_default();
    match auth::user_of_token(&call.server.store, &call.server.admin_token, token) {
        Some(user) => {
            json!({"authenticated": true, "user": user.info(), "audiences": ["https://kubernetes.default.svc"]})
        }
        None => json!({"authenticated": false, "user": {}, "error": "token not found"}),
    }
}
