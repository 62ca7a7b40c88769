//! OpenAPI documents: an empty v2 one, which switches client-side validation off (the server
//! validates), and v3 by group version, enough for `kubectl apply` and `kubectl explain`.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use serde_json::{Map, Value, json};

use super::errors::{ApiError, ApiResult, bytes_response, json_response};
use super::resource::{ResourceDef, Storage, group_version};
use super::schema::builtin;
use super::server::Server;

/// Clients ask for it with an `@` before the version, which is no legal content type to answer with.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v2`. No definitions: an empty message is a valid `openapi.v2.Document`.
pub(crate) fn v2(headers: &HeaderMap) -> Response<Body> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if accept.contains("proto-openapi") {
        return bytes_response(200, PROTOBUF, Bytes::new());
    }
    json_response(
        200,
        &json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": super::discovery::version()["gitVersion"]},
            "paths": {}, "definitions": {},
        }),
    )
}

/// `/openapi/v3`: where the documents are.
pub(crate) fn v3_index(server: &Server) -> Value {
    let mut paths = Map::new();
    let version = server.store.version();
    let mut add = |path: String| {
        // The hash changes when anything may have changed; clients cache by it.
        let url = format!("/openapi/v3/{path}?hash={version:X}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api/v1".to_owned());
    for (group, versions) in super::discovery::groups(server) {
        for version in versions {
            add(format!("apis/{group}/{version}"));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/<group>/<version>`.
///
/// # Errors
/// 404 for what is not served.
pub(crate) fn v3(server: &Server, of: &str) -> ApiResult<Value> {
    let (group, version) = match of.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return Err(ApiError::no_such_path()),
    };
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for def in server
        .registry
        .all()
        .iter()
        .filter(|def| def.group == group && def.version == version)
    {
        if def.storage == Storage::Virtual {
            continue;
        }
        let name = add_schema(def, &mut schemas);
        add_paths(def, &name, &mut paths);
    }
    if paths.is_empty() {
        return Err(ApiError::no_such_path());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": group_version(&group, &version)},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn kind_of(def: &ResourceDef) -> Value {
    json!([{"group": def.group, "version": def.version, "kind": def.kind}])
}

/// Puts the resource's schema (and for a built-in one all that it refers to) in; returns its name.
fn add_schema(def: &ResourceDef, schemas: &mut Map<String, Value>) -> String {
    if let Some(custom) = &def.custom {
        let reversed: Vec<&str> = def.group.split('.').rev().collect();
        let name = format!("{}.{}.{}", reversed.join("."), def.version, def.kind);
        let mut schema = custom.open_api.clone();
        let properties = super::meta::object_at(&mut schema, "properties");
        let described = |text: &str| json!({"type": "string", "description": text});
        properties.insert(
            "apiVersion".into(),
            described(
                "APIVersion defines the versioned schema of this representation of an object.",
            ),
        );
        properties.insert(
            "kind".into(),
            described(
                "Kind is a string value representing the REST resource this object represents.",
            ),
        );
        properties.insert(
            "metadata".into(),
            json!({"type": "object", "description": "Standard object's metadata."}),
        );
        schema["x-kubernetes-group-version-kind"] = kind_of(def);
        schemas.insert(name.clone(), schema);
        return name;
    }
    let Some(source) = def.source else {
        return String::new();
    };
    let (name, definitions) = builtin::definitions(source);
    for (name, schema) in definitions {
        schemas.entry(name).or_insert(schema);
    }
    if let Some(schema) = schemas.get_mut(&name) {
        schema["x-kubernetes-group-version-kind"] = kind_of(def);
    }
    name
}

/// The operations that kubectl looks for: `PATCH` with `fieldValidation` says that the server
/// validates. Strategic merge patch is left out, so that kubectl takes the merge keys from its
/// own types, of which it has all that are built in.
fn add_paths(def: &ResourceDef, name: &str, paths: &mut Map<String, Value>) {
    let root = if def.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}/{}", def.group, def.version)
    };
    let scope = if def.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let schema = json!({"$ref": format!("#/components/schemas/{name}")});
    let content = |kinds: &[&str]| -> Value {
        kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({"schema": schema})))
            .collect::<Map<_, _>>()
            .into()
    };
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let writing: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
        .iter()
        .map(|n| parameter(n))
        .collect();
    let operation = |action: &str, body: Option<&[&str]>| {
        let mut operation = json!({
            "responses": {"200": {"description": "OK", "content": content(&["application/json"])}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": def.group, "version": def.version, "kind": def.kind},
        });
        if let Some(kinds) = body {
            operation["requestBody"] = json!({"content": content(kinds)});
            operation["parameters"] = json!(writing);
        }
        operation
    };
    let json_body: &[&str] = &["application/json", "application/yaml"];
    paths.insert(
        format!("{root}{scope}/{}", def.plural),
        json!({"get": operation("list", None), "post": operation("post", Some(json_body))}),
    );
    paths.insert(
        format!("{root}{scope}/{}/{{name}}", def.plural),
        json!({
            "get": operation("get", None),
            "put": operation("put", Some(json_body)),
            "patch": operation("patch", Some(&["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"])),
            "delete": operation("delete", None),
        }),
    );
}
