//! The API server's errors and the `Status` objects they become.
//!
//! Wording follows `k8s.io/apimachinery/pkg/api/errors` and `.../util/validation/field`, since
//! clients and people match on it. Not here: deciding when something is an error.

use std::fmt;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::resource::ResourceDef;

/// What a request ends with when it does not succeed; becomes a `Status` object.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
}

/// The result of everything in this module tree that may be refused.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    fn named(mut self, def: &ResourceDef, name: &str) -> Self {
        let mut details = Map::new();
        if !name.is_empty() {
            details.insert("name".into(), name.into());
        }
        if !def.group.is_empty() {
            details.insert("group".into(), def.group.clone().into());
        }
        details.insert("kind".into(), def.plural.clone().into());
        self.details = Some(Value::Object(details));
        self
    }

    pub(crate) fn not_found(def: &ResourceDef, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", def.group_resource()),
        )
        .named(def, name)
    }

    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = Some(json!({}));
        error
    }

    pub(crate) fn already_exists(def: &ResourceDef, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", def.group_resource()),
        )
        .named(def, name)
    }

    pub(crate) fn conflict(def: &ResourceDef, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            def.group_resource()
        );
        Self::new(409, "Conflict", message).named(def, name)
    }

    pub(crate) fn stale(def: &ResourceDef, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(def, name, why)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn forbidden(def: &ResourceDef, name: &str, why: impl fmt::Display) -> Self {
        let subject = if name.is_empty() {
            def.group_resource()
        } else {
            format!("{} {name:?}", def.group_resource())
        };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}")).named(def, name)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn method_not_allowed() -> Self {
        let mut error = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        error.details = Some(json!({}));
        error
    }

    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        let mut error = Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        );
        error.details = Some(json!({"causes": [{"message": message.to_string()}]}));
        error
    }

    /// 422 for an object whose fields are wrong; `errors` is not empty.
    pub(crate) fn invalid(def: &ResourceDef, name: &str, errors: &[FieldError]) -> Self {
        let words: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let all = match words.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let subject = if def.group.is_empty() {
            def.kind.clone()
        } else {
            format!("{}.{}", def.kind, def.group)
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{subject} {name:?} is invalid: {all}"),
        );
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.kind.reason(), "message": e.body(), "field": e.field}))
            .collect();
        let mut details = json!({"name": name, "kind": def.kind, "causes": causes});
        if !def.group.is_empty() {
            details["group"] = def.group.clone().into();
        }
        error.details = Some(details);
        error
    }

    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = json_response(self.code, &self.status());
        // A server under load says nothing else; whoever says more says when, too.
        let seconds = match &self.details {
            None if self.code == 429 => Some(1),
            details => details
                .as_ref()
                .and_then(|details| details["retryAfterSeconds"].as_i64()),
        };
        if let Some(seconds) = seconds {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// A JSON answer with that code.
pub(crate) fn json_response(code: u16, body: &Value) -> Response<Body> {
    bytes_response(code, "application/json", body.to_string().into())
}

/// An answer with that code, content type and body.
pub(crate) fn bytes_response(
    code: u16,
    content_type: &'static str,
    body: bytes::Bytes,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// What kind of fault a field has; the names of `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldFault {
    Required,
    Invalid,
    TypeInvalid,
    NotSupported,
    Forbidden,
    Duplicate,
    NotFound,
    TooLong,
    TooMany,
}

impl FieldFault {
    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }
}

/// One wrong field, worded as `field.Error` words it.
#[derive(Debug, Clone)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) kind: FieldFault,
    pub(crate) value: Value,
    pub(crate) detail: String,
}

impl FieldError {
    pub(crate) fn new(
        field: impl Into<String>,
        kind: FieldFault,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            kind,
            value: value.into(),
            detail: detail.into(),
        }
    }

    pub(crate) fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldFault::Required, Value::Null, detail)
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(field, FieldFault::Invalid, value, detail)
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldFault::Forbidden, Value::Null, detail)
    }

    /// `supported` in the order given, quoted.
    pub(crate) fn not_supported(
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Self::new(
            field,
            FieldFault::NotSupported,
            value,
            format!("supported values: {}", list.join(", ")),
        )
    }

    fn body(&self) -> String {
        let words = self.kind.words();
        let bare = matches!(
            self.kind,
            FieldFault::Required | FieldFault::Forbidden | FieldFault::TooLong
        );
        let mut out = if bare {
            words.to_owned()
        } else {
            format!("{words}: {}", self.value)
        };
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::resource::ResourceDef;

    #[test]
    fn invalid_objects_are_worded_as_the_real_server_words_them() {
        let def = ResourceDef::for_tests(
            "migration.ms2m.io",
            "v1alpha1",
            "statefulmigrations",
            "StatefulMigration",
        );
        let error = ApiError::invalid(&def, "x", &[FieldError::required("spec.sourcePod", "")]);
        assert_eq!(
            error.message,
            "StatefulMigration.migration.ms2m.io \"x\" is invalid: spec.sourcePod: Required value"
        );
        assert_eq!(error.code, 422);
        let two = [
            FieldError::invalid("spec.a", -1, "must be positive"),
            FieldError::not_supported("spec.b", "z", &["x", "y"]),
        ];
        assert_eq!(
            ApiError::invalid(&def, "x", &two).message,
            "StatefulMigration.migration.ms2m.io \"x\" is invalid: [spec.a: Invalid value: -1: must be positive, \
             spec.b: Unsupported value: \"z\": supported values: \"x\", \"y\"]"
        );
    }

    #[test]
    fn a_status_has_code_reason_and_details() {
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        let status = ApiError::not_found(&def, "a").status();
        assert_eq!(status["message"], "pods \"a\" not found");
        assert_eq!(status["details"], json!({"name": "a", "kind": "pods"}));
        assert_eq!(status["code"], 404);
    }
}
