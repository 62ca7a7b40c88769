//! From a request's body to an object that fits its resource: format, type, unknown fields,
//! nulls. Not here: defaults and rules about values.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::Call;
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::resource::ResourceDef;
use crate::apiserver::schema::validate::type_name;
use crate::apiserver::schema::{Schema, Trail, Type, prune};
use crate::apiserver::{meta, protobuf};

const ACCEPTED: &[&str] = &[
    "application/json",
    "application/yaml",
    protobuf::CONTENT_TYPE,
];

/// The content type without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase()
}

/// Reads JSON or YAML.
///
/// # Errors
/// 415 for other formats, 400 for what is not readable.
pub(crate) fn body(headers: &HeaderMap, body: &Bytes) -> ApiResult<Value> {
    match content_type(headers).as_str() {
        "application/json" | "*/*" | "" => json(body),
        protobuf::CONTENT_TYPE => protobuf::decode(body),
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(body),
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

pub(crate) fn json(body: &Bytes) -> ApiResult<Value> {
    let value = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("couldn't decode the body as JSON: {error}"))
    })?;
    Ok(whole(value))
}

/// YAML, of which JSON is a part.
pub(crate) fn yaml(body: &Bytes) -> ApiResult<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(whole(value));
    }
    let value = serde_yaml::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))?;
    Ok(whole(value))
}

/// Go writes a float that is a whole number without a point, so `5.0` and `5` are one value to
/// whoever compares what was stored.
fn whole(mut value: Value) -> Value {
    make_whole(&mut value);
    value
}

fn make_whole(value: &mut Value) {
    // What a float holds exactly.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < LIMIT {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        _ => {}
    }
}

/// An optional options object (DeleteOptions); an empty body is none.
pub(crate) fn options(headers: &HeaderMap, body_bytes: &Bytes) -> ApiResult<Value> {
    if body_bytes.is_empty() {
        return Ok(Value::Null);
    }
    body(headers, body_bytes)
}

/// Checks that an object says it is what the request is for, and says it where it does not.
///
/// # Errors
/// 400 for another kind, version or namespace.
pub(crate) fn check_type(call: &Call, object: &mut Value) -> ApiResult<()> {
    let def = &call.def;
    if !object.is_object() {
        return Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {} into Go value of type {}.{}",
            def.kind,
            def.version,
            def.kind,
            type_name(object),
            def.version,
            def.kind
        )));
    }
    let expected = def.api_version();
    if let Some(version) =
        meta::text(object, "/apiVersion").filter(|v| !v.is_empty() && *v != expected)
    {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if let Some(kind) = meta::text(object, "/kind").filter(|k| !k.is_empty() && *k != def.kind) {
        return Err(ApiError::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: no kind {kind:?} is registered for version {expected:?}",
            def.version, def.kind
        )));
    }
    meta::set_type(object, &expected, &def.kind);
    let wanted = call.namespace().to_owned();
    if meta::namespace(object) != wanted {
        if !meta::namespace(object).is_empty() {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        meta::metadata(object).insert("namespace".into(), wanted.into());
    }
    Ok(())
}

/// Drops what the resource's schema does not know; returns the warnings that are due.
///
/// # Errors
/// 400 for unknown fields under `fieldValidation=Strict`, and for a built-in type whose fields
/// have the wrong types.
pub(crate) fn fit(call: &Call, object: &mut Value) -> ApiResult<Vec<String>> {
    let def = &call.def;
    let Some(schema) = def.schema() else {
        return Ok(Vec::new());
    };
    if def.custom.is_none() {
        meta::drop_nulls(object);
    } else if let Some(metadata) = object.get_mut("metadata") {
        meta::drop_nulls(metadata);
    }
    let unknown = prune::prune_resource(&schema, object);
    if def.custom.is_none() {
        numbers_to_quantities(&schema, object);
        if let Some(error) = wrong_type(def, &schema, object, Trail::Root) {
            return Err(error);
        }
    }
    let words: Vec<String> = unknown
        .iter()
        .map(|field| format!("unknown field {field:?}"))
        .collect();
    match call.query.get("fieldValidation").unwrap_or("Warn") {
        "Strict" if !words.is_empty() => Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            def.kind,
            def.version,
            def.kind,
            words.join(", ")
        ))),
        "Ignore" => Ok(Vec::new()),
        _ => Ok(words),
    }
}

/// Quantities may be written as numbers and are kept as text.
fn numbers_to_quantities(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Resource lists are the only maps whose values are IntOrString by any name.
            if schema
                .additional
                .as_ref()
                .is_some_and(|s| s.kind == Type::IntOrString)
            {
                for (_, quantity) in map.iter_mut().filter(|(_, v)| v.is_number()) {
                    *quantity = quantity.to_string().into();
                }
            }
            for (field, child) in map.iter_mut() {
                if let Some(member) = schema.member(field) {
                    numbers_to_quantities(member, child);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items
                    .iter_mut()
                    .for_each(|item| numbers_to_quantities(schema, item));
            }
        }
        _ => {}
    }
}

/// The error of Go's JSON decoder for the first field of a wrong type.
fn wrong_type(
    def: &ResourceDef,
    schema: &Schema,
    value: &Value,
    path: Trail<'_>,
) -> Option<ApiError> {
    let fits = match schema.kind {
        Type::Any | Type::IntOrString => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => value.is_i64() || value.is_u64(),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
    };
    if !fits {
        let go_type = match (schema.kind, schema.format.as_str()) {
            (Type::Integer, "int32") => "int32",
            (Type::Integer, _) => "int64",
            (Type::Boolean, _) => "bool",
            (Type::Array, _) => "[]",
            (kind, _) => kind.name(),
        };
        let found = match type_name(value) {
            "integer" => "number",
            "boolean" => "bool",
            other => other,
        };
        return Some(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {found} into Go struct field {}.{path} of type {go_type}",
            def.kind, def.version, def.kind, def.kind
        )));
    }
    match value {
        Value::Object(map) => map.iter().find_map(|(field, child)| {
            wrong_type(
                def,
                schema.member(field)?,
                child,
                Trail::Field(&path, field),
            )
        }),
        Value::Array(items) => {
            let schema = schema.items.as_ref()?;
            items
                .iter()
                .find_map(|item| wrong_type(def, schema, item, path))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn five_is_five() {
        let read = |text: &'static str| json(&Bytes::from_static(text.as_bytes())).expect("JSON");
        assert_eq!(read(r#"{"a":[5.0,-1.0,0.5]}"#), json!({"a": [5, -1, 0.5]}));
        let yaml = yaml(&Bytes::from_static(b"a: 86400.0")).expect("YAML");
        assert_eq!(yaml, json!({"a": 86_400}));
    }
}
