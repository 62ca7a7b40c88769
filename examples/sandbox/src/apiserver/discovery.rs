//! What is served: `/version`, `/api`, `/apis` and the resource lists, in their plain form.
//! A client that asks for the aggregated form gets this one and goes on with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::errors::{ApiError, ApiResult};
use super::resource::{ResourceDef, Storage, group_version};
use super::server::Server;

/// The version that the sandbox behaves as.
const MINOR: &str = "36";
const VERSION: &str = "v1.36.2";

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// `/version`.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// `/api`, `/apis` and everything below them that is no resource.
///
/// # Errors
/// 404 for a group or version that is not served.
pub(crate) fn discover(server: &Server, path: &str) -> ApiResult<Value> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api"] => Ok(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server.addr.to_string()}],
        })),
        ["apis"] => {
            let groups: Vec<Value> = groups(server)
                .iter()
                .map(|(name, versions)| group(name, versions))
                .collect();
            Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", version] => resources(server, "", version),
        ["apis", name] => {
            let groups = groups(server);
            let versions = groups.get(*name).ok_or_else(ApiError::no_such_path)?;
            let mut document = group(name, versions);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            Ok(document)
        }
        ["apis", group, version] => resources(server, group, version),
        [""] => Ok(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]}),
        ),
        _ => Err(ApiError::no_such_path()),
    }
}

/// The named groups and their versions, the preferred one first.
pub(crate) fn groups(server: &Server) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for def in server
        .registry
        .all()
        .into_iter()
        .filter(|def| !def.group.is_empty())
    {
        let versions = groups.entry(def.group.clone()).or_default();
        if !versions.contains(&def.version) {
            versions.push(def.version.clone());
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// GA before beta before alpha, and the higher number first, as Kubernetes orders versions.
fn priority(version: &str) -> (u8, u32, u32) {
    let numbers = |text: &str| -> Option<(u32, u8, u32)> {
        let rest = text.strip_prefix('v')?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let major = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        if tail.is_empty() {
            return Some((major, 3, 0));
        }
        let (stage, minor) = if let Some(minor) = tail.strip_prefix("beta") {
            (2, minor)
        } else {
            (1, tail.strip_prefix("alpha")?)
        };
        Some((major, stage, minor.parse().ok()?))
    };
    numbers(version).map_or((0, 0, 0), |(major, stage, minor)| (stage, major, minor))
}

fn group(name: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({"groupVersion": group_version(name, version), "version": version});
    json!({
        "name": name,
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(version),
    })
}

fn resources(server: &Server, group: &str, version: &str) -> ApiResult<Value> {
    let defs: Vec<Arc<ResourceDef>> = server
        .registry
        .all()
        .into_iter()
        .filter(|def| def.group == group && def.version == version)
        .collect();
    if defs.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let mut list = Vec::new();
    for def in &defs {
        list.push(resource(def));
        list.extend(
            def.subresources
                .iter()
                .map(|subresource| subresource_entry(def, subresource)),
        );
    }
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": list,
    }))
}

fn resource(def: &ResourceDef) -> Value {
    let verbs: &[&str] = match def.storage {
        Storage::Virtual => &["create"],
        Storage::Kept | Storage::EventView => ALL_VERBS,
    };
    let mut entry = json!({
        "name": def.plural, "singularName": def.singular, "namespaced": def.namespaced, "kind": def.kind, "verbs": verbs,
    });
    if !def.short_names.is_empty() {
        entry["shortNames"] = json!(def.short_names);
    }
    if !def.categories.is_empty() {
        entry["categories"] = json!(def.categories);
    }
    if def.storage != Storage::Virtual {
        // Stable for a resource, as the real hash is; clients only compare it.
        entry["storageVersionHash"] = format!(
            "{:x}",
            def.key
                .bytes()
                .fold(5381_u64, |h, b| h.wrapping_mul(33) ^ u64::from(b))
        )
        .into();
    }
    entry
}

fn subresource_entry(def: &ResourceDef, subresource: &str) -> Value {
    let (kind, group, version, verbs): (&str, &str, &str, &[&str]) = match subresource {
        "scale" => ("Scale", "autoscaling", "v1", &["get", "patch", "update"]),
        "eviction" => ("Eviction", "policy", "v1", &["create"]),
        "binding" => ("Binding", "", "", &["create"]),
        "token" => ("TokenRequest", "authentication.k8s.io", "v1", &["create"]),
        "log" => ("Pod", "", "", &["get"]),
        "finalize" => ("Namespace", "", "", &["update"]),
        "exec" => ("PodExecOptions", "", "", &["create", "get"]),
        "attach" => ("PodAttachOptions", "", "", &["create", "get"]),
        "portforward" => ("PodPortForwardOptions", "", "", &["create", "get"]),
        "proxy" if def.is("nodes") => (
            "NodeProxyOptions",
            "",
            "",
            &["create", "delete", "get", "patch", "update"],
        ),
        "proxy" => (
            "PodProxyOptions",
            "",
            "",
            &["create", "delete", "get", "patch", "update"],
        ),
        _ => (def.kind.as_str(), "", "", &["get", "patch", "update"]),
    };
    let mut entry = json!({
        "name": format!("{}/{subresource}", def.plural), "singularName": "", "namespaced": def.namespaced,
        "kind": kind, "verbs": verbs,
    });
    if !group.is_empty() {
        entry["group"] = group.into();
        entry["version"] = version.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_does() {
        let mut versions = ["v1alpha1", "v2", "v1", "v1beta2", "v1beta10", "odd"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            ["v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "odd"]
        );
    }
}
