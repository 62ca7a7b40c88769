//! Structural schemas: what a field may hold and how lists and maps merge.
//!
//! One form serves custom resources (from their `openAPIV3Schema`) and built-in types (from
//! k8s-openapi). Here: the form and how it is made from OpenAPI. Beside it: pruning, defaulting,
//! validation, CEL, and the merge keys of the built-in types.

pub(crate) mod builtin;
pub(crate) mod cel;
pub(crate) mod default;
pub(crate) mod merge_keys;
pub(crate) mod prune;
pub(crate) mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Type {
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer or string",
        }
    }
}

/// How two versions of a list become one under server-side apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// One node of a structural schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Type,
    pub(crate) format: String,
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    /// An embedded object with apiVersion, kind and metadata of its own.
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    pub(crate) additional: Option<Arc<Schema>>,
    pub(crate) items: Option<Arc<Schema>>,
    pub(crate) list: ListKind,
    pub(crate) atomic_map: bool,
    /// The key by which strategic merge patch merges this list; empty for a list of scalars
    /// that merges.
    pub(crate) patch_key: Option<String>,
    pub(crate) default: Option<Value>,
    pub(crate) limits: Limits,
}

/// What a value must satisfy beside its type.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    pub(crate) one_of_values: Vec<Value>,
    pub(crate) minimum: Option<(f64, bool)>,
    pub(crate) maximum: Option<(f64, bool)>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length: (Option<u64>, Option<u64>),
    pub(crate) items: (Option<u64>, Option<u64>),
    pub(crate) properties: (Option<u64>, Option<u64>),
    pub(crate) unique_items: bool,
    pub(crate) pattern: Option<Regex>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

impl Schema {
    /// The schema of one member of an object.
    pub(crate) fn member(&self, field: &str) -> Option<&Arc<Schema>> {
        self.properties.get(field).or(self.additional.as_ref())
    }
}

/// Finds the schemas that others refer to.
pub(crate) trait Resolve {
    /// The schema behind a `$ref`.
    fn resolve(&mut self, reference: &str) -> Arc<Schema>;
}

/// For schemas without references, as those of custom resources.
pub(crate) struct NoReferences;

impl Resolve for NoReferences {
    fn resolve(&mut self, _reference: &str) -> Arc<Schema> {
        Arc::new(Schema {
            preserve_unknown: true,
            ..Schema::default()
        })
    }
}

/// Compiles an OpenAPI v3 schema. What it does not know it ignores.
pub(crate) fn compile(open_api: &Value, resolver: &mut dyn Resolve) -> Schema {
    let flag = |name: &str| open_api.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut schema = Schema {
        kind: type_of(open_api),
        format: open_api
            .get("format")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        nullable: flag("nullable"),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        atomic_map: open_api
            .get("x-kubernetes-map-type")
            .is_some_and(|t| t == "atomic"),
        default: open_api.get("default").filter(|d| !d.is_null()).cloned(),
        list: list_kind(open_api),
        limits: limits(open_api, resolver),
        ..Schema::default()
    };
    if let Some(properties) = open_api.get("properties").and_then(Value::as_object) {
        schema.properties = properties
            .iter()
            .map(|(name, child)| (name.clone(), compile_shared(child, resolver)))
            .collect();
    }
    match open_api.get("additionalProperties") {
        Some(child @ Value::Object(_)) => schema.additional = Some(compile_shared(child, resolver)),
        Some(Value::Bool(true)) => schema.preserve_unknown = true,
        _ => {}
    }
    if let Some(items) = open_api.get("items").filter(|items| items.is_object()) {
        schema.items = Some(compile_shared(items, resolver));
    }
    schema
}

fn compile_shared(open_api: &Value, resolver: &mut dyn Resolve) -> Arc<Schema> {
    if let Some(reference) = open_api.get("$ref").and_then(Value::as_str) {
        return resolver.resolve(reference);
    }
    // k8s-openapi wraps a reference in `allOf` where it adds a description.
    if let Some([only]) = open_api
        .get("allOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        && let Some(reference) = only.get("$ref").and_then(Value::as_str)
        && open_api.get("type").is_none()
    {
        return resolver.resolve(reference);
    }
    Arc::new(compile(open_api, resolver))
}

fn type_of(open_api: &Value) -> Type {
    if open_api
        .get("x-kubernetes-int-or-string")
        .and_then(Value::as_bool)
        == Some(true)
    {
        return Type::IntOrString;
    }
    match open_api.get("type").and_then(Value::as_str) {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn list_kind(open_api: &Value) -> ListKind {
    match open_api
        .get("x-kubernetes-list-type")
        .and_then(Value::as_str)
    {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = open_api
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array);
            ListKind::Map(
                keys.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        }
        _ => ListKind::Atomic,
    }
}

fn limits(open_api: &Value, resolver: &mut dyn Resolve) -> Limits {
    let count = |name: &str| open_api.get(name).and_then(Value::as_u64);
    let number = |name: &str| open_api.get(name).and_then(Value::as_f64);
    let flag = |name: &str| open_api.get(name).and_then(Value::as_bool).unwrap_or(false);
    let array = |name: &str| {
        open_api
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut all = |name: &str| {
        array(name)
            .iter()
            .map(|child| compile(child, resolver))
            .collect::<Vec<_>>()
    };
    Limits {
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: open_api
            .get("not")
            .map(|child| Box::new(compile(child, resolver))),
        required: array("required")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        one_of_values: array("enum"),
        minimum: number("minimum").map(|n| (n, flag("exclusiveMinimum"))),
        maximum: number("maximum").map(|n| (n, flag("exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
        unique_items: flag("uniqueItems"),
        // A pattern that does not compile was refused when the CRD was made.
        pattern: open_api
            .get("pattern")
            .and_then(Value::as_str)
            .and_then(|p| Regex::new(p).ok()),
    }
}

/// A path to a field, as `field.Path` writes it.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// A path while it is walked: written out only where something is to be said about it, since
/// most walks have nothing to say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trail<'a> {
    Root,
    Field(&'a Trail<'a>, &'a str),
    Item(&'a Trail<'a>, usize),
}

impl std::fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, field) => f.write_str(field),
            Self::Field(parent, field) => write!(f, "{parent}.{field}"),
            Self::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}
