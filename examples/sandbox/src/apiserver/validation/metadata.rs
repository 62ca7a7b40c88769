//! Names, labels and owner references.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use crate::apiserver::errors::FieldError;
use crate::apiserver::meta;
use crate::apiserver::resource::ResourceDef;

const LABEL_WORDS: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_WORDS: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_WORDS: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY_WORDS: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn matches(cell: &'static OnceLock<Option<Regex>>, pattern: &str, text: &str) -> bool {
    cell.get_or_init(|| Regex::new(pattern).ok())
        .as_ref()
        .is_some_and(|regex| regex.is_match(text))
}

fn is_label_name(text: &str) -> bool {
    static CELL: OnceLock<Option<Regex>> = OnceLock::new();
    text.len() <= 63 && matches(&CELL, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", text)
}

fn is_subdomain(text: &str) -> bool {
    static CELL: OnceLock<Option<Regex>> = OnceLock::new();
    text.len() <= 253
        && matches(
            &CELL,
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            text,
        )
}

fn is_label_value(text: &str) -> bool {
    static CELL: OnceLock<Option<Regex>> = OnceLock::new();
    text.len() <= 63 && matches(&CELL, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", text)
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// The fault of a DNS label, if it is none.
pub(crate) fn label_fault(path: &str, text: &str) -> Option<FieldError> {
    if text.len() > 63 {
        return Some(FieldError::invalid(
            path,
            text,
            "must be no more than 63 characters",
        ));
    }
    (!is_label_name(text)).then(|| FieldError::invalid(path, text, LABEL_WORDS))
}

/// Every fault of a new object's metadata.
pub(crate) fn validate(def: &ResourceDef, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = meta::name(object);
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        errors.extend(name_fault(def, name));
    }
    check_maps(object, &mut errors);
    errors
}

/// Every fault of the metadata of an object that changes.
pub(crate) fn validate_update(_def: &ResourceDef, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_maps(new, &mut errors);
    // Nothing new may hold up what is already going.
    if meta::is_deleting(old) {
        let before: Vec<&str> = meta::finalizers(old).collect();
        let added: Vec<&str> = meta::finalizers(new)
            .filter(|f| !before.contains(f))
            .collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")),
            ));
        }
    }
    errors
}

fn name_fault(def: &ResourceDef, name: &str) -> Option<FieldError> {
    if def.group == "rbac.authorization.k8s.io" {
        let bad = name == "." || name == ".." || name.contains(['/', '%']);
        return bad
            .then(|| FieldError::invalid("metadata.name", name, "may not contain '/' or '%'"));
    }
    if matches!(&*def.key, "namespaces" | "services") {
        return label_fault("metadata.name", name);
    }
    if name.len() > 253 {
        return Some(FieldError::invalid(
            "metadata.name",
            name,
            "must be no more than 253 characters",
        ));
    }
    (!is_subdomain(name)).then(|| FieldError::invalid("metadata.name", name, SUBDOMAIN_WORDS))
}

fn check_maps(object: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in meta::string_map(object, "/metadata/labels") {
        if !is_qualified_name(&key) {
            errors.push(FieldError::invalid(
                "metadata.labels",
                key.clone(),
                KEY_WORDS,
            ));
        }
        if value.len() > 63 {
            errors.push(FieldError::invalid(
                "metadata.labels",
                value,
                "must be no more than 63 characters",
            ));
        } else if !is_label_value(&value) {
            errors.push(FieldError::invalid("metadata.labels", value, VALUE_WORDS));
        }
    }
    for key in meta::string_map(object, "/metadata/annotations").into_keys() {
        if !is_qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key, KEY_WORDS));
        }
    }
    check_controllers(object, errors);
    for (at, owner) in meta::list(object, "/metadata/ownerReferences")
        .iter()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if meta::text(owner, &format!("/{field}")).is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                errors.push(FieldError::invalid(
                    path,
                    "",
                    format!(
                        "{} must not be empty",
                        if field == "apiVersion" {
                            "version"
                        } else {
                            field
                        }
                    ),
                ));
            }
        }
    }
}

/// An object has one controller at most: whoever comes second is refused.
fn check_controllers(object: &Value, errors: &mut Vec<FieldError>) {
    let owners = meta::list(object, "/metadata/ownerReferences");
    let controllers = owners
        .iter()
        .filter(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let names: Vec<_> = controllers
        .map(|owner| {
            let text = |field: &str| meta::text(owner, field).unwrap_or_default();
            format!("{}/{}", text("/kind"), text("/name"))
        })
        .collect();
    if let [first, second, ..] = names.as_slice() {
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            owners.to_vec(),
            format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(object: &Value) -> Vec<String> {
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        validate(&def, object)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn nobody_has_two_controllers() {
        let owner = |uid: &str| json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": uid, "uid": uid, "controller": true});
        let of =
            |owners: Value| faults(&json!({"metadata": {"name": "a", "ownerReferences": owners}}));
        assert!(of(json!([owner("u")])).is_empty());
        let two = of(json!([owner("u"), owner("v")]));
        assert!(
            two[0].ends_with("in references for StatefulSet/u and StatefulSet/v"),
            "{two:?}"
        );
    }

    #[test]
    fn names_and_labels() {
        assert!(faults(&json!({"metadata": {"name": "a.b-c", "labels": {"x.y/z": "V_1", "e": ""}, "annotations": {"A/b": "any"}}})).is_empty());
        assert_eq!(
            faults(&json!({"metadata": {}})),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert!(
            faults(&json!({"metadata": {"name": "A_b"}}))[0].starts_with(
                "metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain"
            )
        );
        assert_eq!(
            faults(&json!({"metadata": {"name": "a", "labels": {"-": "x y"}}})).len(),
            2
        );
    }
}
