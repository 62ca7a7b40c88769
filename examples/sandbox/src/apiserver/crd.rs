//! CustomResourceDefinitions: from a definition to served resources and back.

use std::sync::Arc;

use serde_json::{Value, json};

use super::errors::{ApiError, ApiResult, FieldError};
use super::meta;
use super::resource::{Custom, ResourceDef};
use super::schema::{NoReferences, cel::Rules, compile};
use super::server::Server;
use super::store::WriteError;
use super::table::columns::CustomColumn;

/// Where definitions are kept.
pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Holds a definition until its resources are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What a write of a definition entails: its resources are served at once, and its status says
/// so. Other objects come back as they are.
pub(crate) fn after_write(
    server: &Arc<Server>,
    def: &ResourceDef,
    stored: Arc<Value>,
) -> Arc<Value> {
    if !def.is(CRDS) || meta::is_deleting(&stored) {
        return stored;
    }
    let (group, plural) = (
        text(&stored, "/spec/group"),
        text(&stored, "/spec/names/plural"),
    );
    server
        .registry
        .replace_custom(&group, &plural, versions(&stored));
    let mut current = stored;
    loop {
        let mut new = (*current).clone();
        new["status"] = status(&current);
        match server.store.replace(&def.key, &current, new) {
            Ok(written) => return written,
            Err(WriteError::Stale) => match server.store.get(&def.key, "", meta::name(&current)) {
                Some(newer) => current = newer,
                None => return current,
            },
            Err(_) => return current,
        }
    }
}

/// What the end of a definition entails.
pub(crate) fn after_delete(server: &Arc<Server>, def: &ResourceDef, last: &Value) {
    if def.is(CRDS) {
        server.registry.replace_custom(
            &text(last, "/spec/group"),
            &text(last, "/spec/names/plural"),
            Vec::new(),
        );
    }
}

fn text(object: &Value, pointer: &str) -> String {
    meta::text(object, pointer).unwrap_or_default().to_owned()
}

fn status(definition: &Value) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        let since = meta::list(definition, "/status/conditions")
            .iter()
            .find(|c| meta::text(c, "/type") == Some(kind))
            .and_then(|c| meta::text(c, "/lastTransitionTime"))
            .map_or_else(meta::now, str::to_owned);
        json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since})
    };
    let mut stored: Vec<Value> = meta::list(definition, "/status/storedVersions").to_vec();
    for version in meta::list(definition, "/spec/versions") {
        if version.get("storage") == Some(&json!(true))
            && let Some(name) = version.get("name")
            && !stored.contains(name)
        {
            stored.push(name.clone());
        }
    }
    json!({
        "acceptedNames": definition.pointer("/spec/names").cloned().unwrap_or(Value::Null),
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": stored,
    })
}

fn strings(object: &Value, pointer: &str) -> Vec<String> {
    meta::list(object, pointer)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The resources of a definition, one for each served version.
fn versions(definition: &Value) -> Vec<ResourceDef> {
    let group = text(definition, "/spec/group");
    let kind = text(definition, "/spec/names/kind");
    let namespaced = meta::text(definition, "/spec/scope") == Some("Namespaced");
    meta::list(definition, "/spec/versions")
        .iter()
        .filter(|version| version.get("served") == Some(&json!(true)))
        .map(|version| {
            let name = text(version, "/name");
            let mut def = ResourceDef::new(
                &group,
                &name,
                &text(definition, "/spec/names/plural"),
                &kind,
                namespaced,
            );
            def.singular = text(definition, "/spec/names/singular");
            def.list_kind = text(definition, "/spec/names/listKind");
            def.short_names = strings(definition, "/spec/names/shortNames");
            def.categories = strings(definition, "/spec/names/categories");
            for subresource in ["status", "scale"] {
                if version
                    .pointer(&format!("/subresources/{subresource}"))
                    .is_some_and(Value::is_object)
                {
                    def.subresources.push(subresource.to_owned());
                }
            }
            def.custom = Some(custom(&group, &name, &kind, version));
            def
        })
        .collect()
}

fn custom(group: &str, version: &str, kind: &str, spec: &Value) -> Custom {
    let mut open_api = spec
        .pointer("/schema/openAPIV3Schema")
        .cloned()
        .unwrap_or_else(|| json!({"type": "object"}));
    // Outside the schema stand the type and the metadata; inside, only limits on the name could.
    if let Some(properties) = open_api
        .get_mut("properties")
        .and_then(Value::as_object_mut)
    {
        for field in ["apiVersion", "kind"] {
            properties.remove(field);
        }
    }
    let mut compiled = compile(&open_api, &mut NoReferences);
    compiled.properties.remove("metadata");
    compiled.properties.insert("metadata".into(), object_meta());
    let path = |pointer: &str| text(spec, &format!("/subresources/scale/{pointer}"));
    let scale = spec
        .pointer("/subresources/scale")
        .filter(|s| s.is_object())
        .map(|_| {
            [
                path("specReplicasPath"),
                path("statusReplicasPath"),
                path("labelSelectorPath"),
            ]
        });
    Custom {
        schema: Arc::new(compiled),
        rules: Arc::new(Rules::compile(&open_api, group, version, kind)),
        columns: meta::list(spec, "/additionalPrinterColumns")
            .iter()
            .map(CustomColumn::read)
            .collect(),
        selectable: meta::list(spec, "/selectableFields")
            .iter()
            .map(|field| text(field, "/jsonPath"))
            .collect(),
        scale,
        open_api,
    }
}

/// The metadata that every object has, from the built-in types, so that it prunes and merges
/// alike everywhere.
fn object_meta() -> Arc<super::schema::Schema> {
    use std::sync::OnceLock;
    static META: OnceLock<Arc<super::schema::Schema>> = OnceLock::new();
    META.get_or_init(|| {
        super::schema::builtin::compile(|generator| {
            generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>()
        })
    })
    .clone()
}

/// Fills in what a definition leaves out.
pub(crate) fn default(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind");
    let spec = meta::object_at(definition, "spec");
    meta::default_field(spec, "conversion", json!({"strategy": "None"}));
    if let Some(Value::Object(names)) = spec.get_mut("names") {
        meta::default_field(names, "singular", kind.to_lowercase());
        meta::default_field(names, "listKind", format!("{kind}List"));
    }
}

/// Every fault of a definition.
pub(crate) fn validate(definition: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["group", "scope", "names/plural", "names/kind"] {
        if text(definition, &format!("/spec/{field}")).is_empty() {
            errors.push(FieldError::required(
                format!("spec.{}", field.replace('/', ".")),
                "",
            ));
        }
    }
    let expected = format!(
        "{}.{}",
        text(definition, "/spec/names/plural"),
        text(definition, "/spec/group")
    );
    if meta::name(definition) != expected {
        errors.push(FieldError::invalid(
            "metadata.name",
            meta::name(definition),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = meta::list(definition, "/spec/versions");
    let storing = versions
        .iter()
        .filter(|v| v.get("storage") == Some(&json!(true)))
        .count();
    if storing != 1 {
        errors.push(FieldError::invalid(
            "spec.versions",
            versions.to_vec(),
            "must have exactly one version marked as storage version",
        ));
    }
    for (at, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
        let Some(schema) = version
            .pointer("/schema/openAPIV3Schema")
            .filter(|s| s.is_object())
        else {
            errors.push(FieldError::required(path, "schemas are required"));
            continue;
        };
        if meta::text(schema, "/type") != Some("object") {
            errors.push(FieldError::invalid(
                format!("{path}.type"),
                text(schema, "/type"),
                "must be object at the root",
            ));
        }
        check_structure(schema, &path, &mut errors);
        for words in Rules::compile(schema, "", "", "").errors() {
            errors.push(FieldError::invalid(
                format!("{path}.x-kubernetes-validations"),
                "rule",
                words,
            ));
        }
    }
    errors
}

/// A structural schema has a type at every node that is not free.
fn check_structure(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
    let typed = schema.get("type").is_some_and(Value::is_string);
    if !typed
        && !flag("x-kubernetes-int-or-string")
        && !flag("x-kubernetes-preserve-unknown-fields")
    {
        errors.push(FieldError::required(
            format!("{path}.type"),
            "must not be empty for specified object fields",
        ));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && regex::Regex::new(pattern).is_err()
    {
        errors.push(FieldError::invalid(
            format!("{path}.pattern"),
            pattern,
            "must be a valid regular expression",
        ));
    }
    for (name, child) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        check_structure(child, &format!("{path}.properties[{name}]"), errors);
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        check_structure(items, &format!("{path}.items"), errors);
    }
    if let Some(additional) = schema.get("additionalProperties").filter(|a| a.is_object()) {
        check_structure(additional, &format!("{path}.additionalProperties"), errors);
    }
}

/// Refuses writes to a resource whose definition is going.
pub(crate) fn accepts(server: &Server, def: &ResourceDef) -> ApiResult<()> {
    if def.custom.is_some()
        && server
            .store
            .get(CRDS, "", &def.key)
            .is_some_and(|definition| meta::is_deleting(&definition))
    {
        return Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "create not allowed while custom resource definition is terminating",
        ));
    }
    Ok(())
}
