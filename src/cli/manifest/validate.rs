//! The rules of the CRD, checked without a cluster: its schema and its CEL rules, with the words of
//! the API server. Not here: what a migration finds out about the world.

use std::fmt;

use kube::core::cel::{ErrorKind, Validator};
use serde_json::{Map, Value};

use crate::api;
use crate::cli::settings::value;
use crate::migration::plan::closest;

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, as `spec.sourcePod`.
    pub path: String,
    /// What is wrong with it.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.words)
    }
}

/// What the API server looks at by itself, whatever the schema says.
const OWN: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Everything that is wrong with a manifest, in the order of its fields.
///
/// The API server checks no CEL rule before the schema holds; here those of the other fields are
/// checked all the same, so that one look shows all.
#[must_use]
pub fn faults(manifest: &Value) -> Vec<Fault> {
    let mut faults = Faults::default();
    faults.of_type(manifest);
    if !faults.0.is_empty() {
        return faults.0;
    }
    faults.of_name(&manifest["metadata"]);
    let schema = schema();
    // A create ignores the status.
    let mut manifest = manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("status");
    }
    faults.of_value(&schema, &manifest, "");
    faults.of_rules(&schema, &manifest);
    faults.0
}

fn schema() -> Value {
    let crd = serde_json::to_value(api::crd()).unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, path: &str, words: impl Into<String>) {
        self.0.push(Fault {
            path: path.to_owned(),
            words: words.into(),
        });
    }

    fn of_type(&mut self, manifest: &Value) {
        let version = format!("{}/v1alpha1", api::GROUP);
        for (field, wanted) in [
            ("apiVersion", version.as_str()),
            ("kind", "StatefulMigration"),
        ] {
            match &manifest[field] {
                Value::String(text) if text == wanted => {}
                Value::Null => self.add(field, format!("Required value: {wanted}")),
                other => self.add(field, unsupported(other, &[wanted.to_owned()])),
            }
        }
    }

    fn of_name(&mut self, metadata: &Value) {
        let path = "metadata.name";
        match (&metadata["name"], &metadata["generateName"]) {
            (Value::String(name), _) if !name.is_empty() => {
                if let Err(words) = value::migration_name(name) {
                    self.add(path, format!("Invalid value: {name:?}: {words}"));
                }
            }
            (Value::Null | Value::String(_), Value::String(prefix)) if !prefix.is_empty() => {}
            (Value::Null | Value::String(_), _) => {
                self.add(path, "Required value: name or generateName is required");
            }
            (other, _) => self.add(path, wrong_type("string", other, path)),
        }
    }

    fn of_value(&mut self, schema: &Value, value: &Value, path: &str) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let wanted = schema["type"].as_str().unwrap_or_default();
        if !has_type(wanted, value) {
            self.add(path, wrong_type(wanted, value, path));
            return;
        }
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            let choices: Vec<String> = choices.iter().map(plain).collect();
            self.add(path, unsupported(value, &choices));
        }
        match value {
            Value::Object(fields) => self.of_fields(schema, fields, path),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.of_value(&schema["items"], item, &format!("{path}[{at}]"));
                }
            }
            Value::String(text) => self.of_text(schema, text, path),
            Value::Number(number) => self.of_number(schema, number, path),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn of_fields(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let known = schema["properties"].as_object();
        for field in schema["required"].as_array().into_iter().flatten() {
            let field = plain(field);
            if !fields.contains_key(&field) {
                self.add(&join(path, &field), "Required value");
            }
        }
        for (field, value) in fields {
            let place = join(path, field);
            if path.is_empty() && OWN.contains(&field.as_str()) {
                continue;
            }
            match known.and_then(|known| known.get(field)) {
                Some(schema) => self.of_value(schema, value, &place),
                None if schema["additionalProperties"].is_object() => {
                    self.of_value(&schema["additionalProperties"], value, &place);
                }
                None => {
                    let names = known.into_iter().flatten().map(|(name, _)| name.as_str());
                    let words = match closest(field, names) {
                        Some(name) => format!("unknown field; did you mean {name}?"),
                        None => "unknown field".to_owned(),
                    };
                    self.add(&place, words);
                }
            }
        }
    }

    fn of_text(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
            let words = format!("{path} in body should be at least {least} chars long");
            self.add(path, format!("Invalid value: {text:?}: {words}"));
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            self.add(path, format!("Too long: may not be more than {most} bytes"));
        }
    }

    fn of_number(&mut self, schema: &Value, number: &serde_json::Number, path: &str) {
        let value = number.as_f64().unwrap_or_default();
        let limits = [
            ("minimum", "greater", schema["minimum"].as_f64()),
            ("maximum", "less", schema["maximum"].as_f64()),
        ];
        for (limit, words, bound) in limits {
            let broken = |bound: &f64| match limit {
                "minimum" => value < *bound,
                _ => value > *bound,
            };
            if let Some(bound) = bound.filter(broken) {
                let words = format!("{path} in body should be {words} than or equal to {bound}");
                self.add(path, format!("Invalid value: {number}: {words}"));
            }
        }
    }

    /// The CEL rules, of those fields that the schema has nothing against.
    fn of_rules(&mut self, schema: &Value, manifest: &Value) {
        let Err(errors) = Validator::new().validate(schema, manifest, None) else {
            return;
        };
        let bad: Vec<String> = self.0.iter().map(|fault| fault.path.clone()).collect();
        for error in errors.into_vec() {
            let told = bad.iter().any(|path| {
                error.field_path == *path || path.starts_with(&format!("{}.", error.field_path))
            });
            // A rule that cannot be evaluated follows from what was told already.
            if told || (error.kind != ErrorKind::ValidationFailure && !bad.is_empty()) {
                continue;
            }
            let kind = type_at(schema, &error.field_path);
            let words = format!("Invalid value: {kind:?}: {}", error.message);
            self.add(&error.field_path, words);
        }
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn has_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(wanted: &str, value: &Value, path: &str) -> String {
    let found = type_name(value);
    format!("Invalid value: {found:?}: {path} in body must be of type {wanted}: {found:?}")
}

fn unsupported(value: &Value, choices: &[String]) -> String {
    let choices: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    format!(
        "Unsupported value: {value}: supported values: {}",
        choices.join(", ")
    )
}

/// The type's name stands for the value in the API server's words about a rule.
fn type_at(schema: &Value, path: &str) -> String {
    let mut at = schema;
    for field in path.split('.') {
        at = &at["properties"][field];
    }
    at["type"].as_str().unwrap_or("object").to_owned()
}
