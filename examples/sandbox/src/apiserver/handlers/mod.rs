//! Answering requests for resources: which handler a verb and subresource go to, and what all
//! of them share. Not here: connections and authorization, which come before.

pub(crate) mod create;
pub(crate) mod decode;
pub(crate) mod delete;
mod eviction;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod subresource;
pub(crate) mod update;
pub(crate) mod watch;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::Value;

use super::auth::User;
use super::errors::{ApiError, ApiResult, json_response};
use super::events;
use super::request::{Query, RequestInfo};
use super::resource::{ResourceDef, Storage};
use super::server::Server;
use super::table::{self, Form};

/// One request for a resource, decoded and allowed.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) def: Arc<ResourceDef>,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) user: User,
    pub(crate) headers: HeaderMap,
}

impl Call {
    /// The namespace of the objects; empty for cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        if self.def.namespaced {
            self.info.namespace.as_deref().unwrap_or_default()
        } else {
            ""
        }
    }

    /// Who writes, for managedFields: the parameter, or the user agent up to its slash.
    pub(crate) fn manager(&self) -> String {
        if let Some(manager) = self.query.get("fieldManager") {
            return manager.to_owned();
        }
        let agent = self
            .headers
            .get(http::header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("unknown");
        agent.split('/').next().unwrap_or(agent).to_owned()
    }

    pub(crate) fn form(&self) -> Form {
        table::form(&self.headers)
    }

    /// The stored object, or 404.
    pub(crate) fn existing(&self) -> ApiResult<Arc<Value>> {
        self.server
            .store
            .get(&self.def.key, self.namespace(), &self.info.name)
            .ok_or_else(|| ApiError::not_found(&self.def, &self.info.name))
    }

    /// Answers with one object, in the form the client asked for.
    pub(crate) fn answer(&self, code: u16, object: &Value, warnings: &[String]) -> Response<Body> {
        let shown = match self.form() {
            Form::Whole => self.outward(object),
            Form::Metadata => table::partial(object),
            Form::Table => table::of(
                &self.def,
                &[Arc::new(object.clone())],
                &self.query,
                meta_version(object),
            ),
        };
        let mut response = json_response(code, &shown);
        for warning in warnings {
            let value = format!(
                "299 - \"{}\"",
                warning.replace('\\', "\\\\").replace('"', "\\\"")
            );
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append("Warning", value);
            }
        }
        response
    }

    /// The object in the version that the request is for.
    pub(crate) fn outward(&self, object: &Value) -> Value {
        outward(&self.def, object)
    }
}

fn meta_version(object: &Value) -> u64 {
    super::meta::resource_version(object)
        .parse()
        .unwrap_or_default()
}

/// A stored object as a resource shows it.
pub(crate) fn outward(def: &ResourceDef, object: &Value) -> Value {
    let mut shown = match def.storage {
        Storage::EventView => events::from_core(object),
        _ => object.clone(),
    };
    super::meta::set_type(&mut shown, &def.api_version(), &def.kind);
    shown
}

/// Answers a request whose body has been read.
///
/// # Errors
/// Whatever the request is refused with.
pub(crate) fn handle(call: Call, body: &Bytes) -> ApiResult<Response<Body>> {
    if call.def.namespaced
        && call.info.namespace.is_none()
        && !matches!(
            call.info.verb.as_str(),
            "list" | "watch" | "deletecollection"
        )
    {
        return Err(ApiError::bad_request(
            "an empty namespace may not be set during creation",
        ));
    }
    if call.def.storage == Storage::Virtual {
        return super::reviews::create(&call, body);
    }
    if !call.info.subresource.is_empty() {
        return subresource::handle(call, body);
    }
    match call.info.verb.as_str() {
        "get" => Ok(call.answer(200, call.existing()?.as_ref(), &[])),
        "list" => list::list(&call),
        "watch" => watch::watch(call),
        "create" if call.info.name.is_empty() => create::create(&call, body),
        "update" | "patch" | "delete" if call.info.name.is_empty() => {
            Err(ApiError::method_not_allowed())
        }
        "update" => update::put(&call, body),
        "patch" => patch::patch(&call, body),
        "delete" => delete::delete(&call, body),
        "deletecollection" => delete::delete_collection(&call, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}
