//! What a request asks for, read from its method, path and query as the real server's
//! `RequestInfo` is. Not here: whether it is allowed, and answering it.

use std::collections::BTreeMap;

use http::{Method, Uri};

use super::errors::{ApiError, ApiResult};

/// Subresources that connect to something else and stream.
const CONNECTING: &[&str] = &["proxy", "exec", "attach", "portforward"];

/// The attributes that authorization, faults and the request log go by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// An RBAC verb: get, list, watch, create, update, patch, delete, deletecollection; or for
    /// a path that is no resource the method in lower case.
    pub(crate) verb: String,
    pub(crate) is_resource: bool,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What follows the subresource (the path behind a proxy), with its leading slash.
    pub(crate) rest: String,
    pub(crate) path: String,
}

impl RequestInfo {
    pub(crate) fn parse(method: &Method, uri: &Uri, query: &Query) -> Self {
        let path = uri.path();
        let mut info = Self {
            verb: method.as_str().to_lowercase(),
            path: path.to_owned(),
            ..Self::default()
        };
        let mut parts = path.trim_matches('/').split('/');
        let resourceful = match parts.next() {
            Some("api") => {
                info.version = parts.next().unwrap_or_default().to_owned();
                true
            }
            Some("apis") => {
                info.group = parts.next().unwrap_or_default().to_owned();
                info.version = parts.next().unwrap_or_default().to_owned();
                true
            }
            _ => false,
        };
        let parts: Vec<&str> = parts.collect();
        if !resourceful || parts.is_empty() {
            return info;
        }
        info.is_resource = true;
        info.take_resource(&parts);
        info.verb = info.resource_verb(method, query);
        info
    }

    fn take_resource(&mut self, parts: &[&str]) {
        let mut rest = parts;
        // `namespaces/x` is the namespace itself; `namespaces/x/status` its subresource.
        if let ["namespaces", namespace, tail @ ..] = parts {
            self.namespace = Some(decode(namespace));
            if !matches!(tail.first(), None | Some(&("status" | "finalize"))) {
                rest = tail;
            }
        }
        self.resource = rest.first().copied().unwrap_or_default().to_owned();
        self.name = rest.get(1).map(|name| decode(name)).unwrap_or_default();
        self.subresource = rest.get(2).copied().unwrap_or_default().to_owned();
        if !self.subresource.is_empty() {
            // The rest is forwarded as it came, a trailing slash included.
            let marker = format!("/{}/{}", rest[1], rest[2]);
            let at = self
                .path
                .find(&marker)
                .map_or(self.path.len(), |at| at + marker.len());
            self.rest = self.path[at..].to_owned();
        }
    }

    fn resource_verb(&self, method: &Method, query: &Query) -> String {
        let verb = match *method {
            Method::GET | Method::HEAD if !self.name.is_empty() => "get",
            Method::GET | Method::HEAD if query.flag("watch") => "watch",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if self.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => return method.as_str().to_lowercase(),
        };
        verb.to_owned()
    }

    /// Whether it connects to a node or pod.
    pub(crate) fn connects(&self) -> bool {
        CONNECTING.contains(&self.subresource.as_str())
    }

    /// Whether it is a connection into a pod, or the attempt at one.
    pub(crate) fn enters_a_pod(&self) -> bool {
        self.resource == "pods"
            && matches!(self.subresource.as_str(), "exec" | "attach" | "portforward")
    }

    /// `pods/status`, or `pods`.
    pub(crate) fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

fn decode(part: &str) -> String {
    // A path segment as a query value would keep its plus signs as spaces, so they are escaped.
    let pair = format!("x={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The query's parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| {
            matches!(
                value.as_str(),
                "" | "1" | "t" | "T" | "true" | "True" | "TRUE"
            )
        })
    }

    /// A whole number, if it is there.
    ///
    /// # Errors
    /// 400 when it is there and no number.
    pub(crate) fn number(&self, name: &str) -> ApiResult<Option<i64>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            ApiError::bad_request(format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        })?;
        Ok(Some(number))
    }

    /// `resourceVersion` as a number; nothing if it is not given.
    ///
    /// # Errors
    /// 400 for what is no version.
    pub(crate) fn version(&self) -> ApiResult<Option<u64>> {
        let Some(text) = self.get("resourceVersion") else {
            return Ok(None);
        };
        let version = text.parse().map_err(|_| {
            ApiError::bad_request(format!("invalid resource version {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"))
        })?;
        Ok(Some(version))
    }

    /// Whether `dryRun=All` is asked for.
    ///
    /// # Errors
    /// 422-like refusal (as 400) of any other value.
    pub(crate) fn dry_run(&self) -> ApiResult<bool> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, uri: &str) -> RequestInfo {
        let uri: Uri = uri.parse().expect("a URI");
        RequestInfo::parse(&method, &uri, &Query::parse(&uri))
    }

    #[test]
    fn resources_names_and_subresources() {
        let info = parse(Method::GET, "/api/v1/namespaces/n/pods/p/log?follow=true");
        assert_eq!(
            (
                info.verb.as_str(),
                info.resource_path().as_str(),
                info.name.as_str()
            ),
            ("get", "pods/log", "p")
        );
        assert_eq!(info.namespace.as_deref(), Some("n"));
        let info = parse(Method::GET, "/apis/apps/v1/deployments?watch=true");
        assert_eq!(
            (info.verb.as_str(), info.group.as_str(), info.namespace),
            ("watch", "apps", None)
        );
        let info = parse(Method::DELETE, "/api/v1/namespaces/n");
        assert_eq!(
            (
                info.verb.as_str(),
                info.resource.as_str(),
                info.name.as_str()
            ),
            ("delete", "namespaces", "n")
        );
        let info = parse(Method::PUT, "/api/v1/namespaces/n/finalize");
        assert_eq!(
            (info.resource_path().as_str(), info.name.as_str()),
            ("namespaces/finalize", "n")
        );
        let info = parse(Method::GET, "/healthz");
        assert!(!info.is_resource);
        assert_eq!(info.verb, "get");
    }

    #[test]
    fn a_proxy_path_is_kept_as_it_came() {
        let info = parse(
            Method::POST,
            "/api/v1/nodes/node-a/proxy/checkpoint/ns/pod/c%20d/",
        );
        assert_eq!(
            (info.verb.as_str(), info.resource_path().as_str()),
            ("create", "nodes/proxy")
        );
        assert_eq!(info.rest, "/checkpoint/ns/pod/c%20d/");
        let info = parse(Method::GET, "/api/v1/namespaces/n/pods/w:8080/proxy");
        assert_eq!((info.name.as_str(), info.rest.as_str()), ("w:8080", ""));
    }
}
