//! Checking a value against a schema, with the words of the real server's validation.

use serde_json::Value;

use super::{Limits, ListKind, Schema, Type, join};
use crate::apiserver::errors::{FieldError, FieldFault};

/// Every fault of `value`, found at `path`.
pub(crate) fn validate(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(schema, value, path, &mut errors);
    errors
}

fn check(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() {
        if !schema.nullable && !matches!(schema.kind, Type::Any) {
            errors.push(wrong_type(schema.kind, "null", path));
        }
        return;
    }
    if !has_type(schema.kind, value) {
        errors.push(wrong_type(schema.kind, type_name(value), path));
        return;
    }
    check_limits(&schema.limits, value, path, errors);
    match value {
        Value::Object(map) => {
            for field in schema
                .limits
                .required
                .iter()
                .filter(|field| !map.contains_key(*field))
            {
                errors.push(FieldError::required(join(path, field), ""));
            }
            for (field, child) in map {
                if let Some(member) = schema.member(field) {
                    let path = if schema.properties.contains_key(field) {
                        join(path, field)
                    } else {
                        format!("{path}[{field}]")
                    };
                    check(member, child, &path, errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item_schema) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    check(item_schema, item, &format!("{path}[{at}]"), errors);
                }
            }
            check_unique(schema, items, path, errors);
        }
        Value::String(text) => check_format(schema, text, path, errors),
        _ => {}
    }
}

fn has_type(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
    }
}

/// The JSON type of a value, by its OpenAPI name.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(wanted: Type, found: &str, path: &str) -> FieldError {
    let detail = format!(
        "{path} in body must be of type {}: {found:?}",
        wanted.name()
    );
    FieldError::new(path, FieldFault::TypeInvalid, found, detail)
}

fn check_limits(limits: &Limits, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !limits.one_of_values.is_empty() && !limits.one_of_values.contains(value) {
        let supported: Vec<String> = limits
            .one_of_values
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, value.clone(), &supported));
    }
    match value {
        Value::Number(_) => check_number(limits, value, path, errors),
        Value::String(text) => check_text(limits, text, path, errors),
        Value::Array(items) => check_count(limits.items, items.len(), "items", path, errors),
        Value::Object(map) => check_count(limits.properties, map.len(), "properties", path, errors),
        _ => {}
    }
    check_combinations(limits, value, path, errors);
}

fn check_number(limits: &Limits, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let mut refuse = |words: String| {
        errors.push(FieldError::invalid(
            path,
            value.clone(),
            format!("{path} in body {words}"),
        ))
    };
    match limits.minimum {
        Some((least, true)) if number <= least => refuse(format!("should be greater than {least}")),
        Some((least, false)) if number < least => {
            refuse(format!("should be greater than or equal to {least}"))
        }
        _ => {}
    }
    match limits.maximum {
        Some((most, true)) if number >= most => refuse(format!("should be less than {most}")),
        Some((most, false)) if number > most => {
            refuse(format!("should be less than or equal to {most}"))
        }
        _ => {}
    }
    if let Some(unit) = limits.multiple_of
        && unit != 0.0
        && (number / unit).fract() != 0.0
    {
        refuse(format!("should be a multiple of {unit}"));
    }
}

fn check_text(limits: &Limits, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(least) = limits.length.0.filter(|least| length < *least) {
        errors.push(FieldError::invalid(
            path,
            text,
            format!("{path} in body should be at least {least} chars long"),
        ));
    }
    if let Some(most) = limits.length.1.filter(|most| length > *most) {
        let detail = format!("may not be more than {most} bytes");
        errors.push(FieldError::new(path, FieldFault::TooLong, text, detail));
    }
    if let Some(pattern) = limits
        .pattern
        .as_ref()
        .filter(|pattern| !pattern.is_match(text))
    {
        errors.push(FieldError::invalid(
            path,
            text,
            format!("{path} in body should match '{}'", pattern.as_str()),
        ));
    }
}

fn check_count(
    bounds: (Option<u64>, Option<u64>),
    count: usize,
    of: &str,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let count = count as u64;
    if let Some(least) = bounds.0.filter(|least| count < *least) {
        errors.push(FieldError::invalid(
            path,
            count,
            format!("{path} in body should have at least {least} {of}"),
        ));
    }
    if let Some(most) = bounds.1.filter(|most| count > *most) {
        errors.push(FieldError::new(
            path,
            FieldFault::TooMany,
            count,
            format!("must have at most {most} {of}"),
        ));
    }
}

fn check_combinations(limits: &Limits, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let passes = |schema: &Schema| validate(schema, value, path).is_empty();
    let mut refuse = |words: &str| {
        errors.push(FieldError::invalid(
            path,
            "",
            format!("{path:?} must {words}"),
        ));
    };
    if !limits.any_of.is_empty() && !limits.any_of.iter().any(passes) {
        refuse("validate at least one schema (anyOf)");
    }
    if !limits.one_of.is_empty() {
        match limits.one_of.iter().filter(|schema| passes(schema)).count() {
            1 => {}
            0 => refuse("validate one and only one schema (oneOf). Found none valid"),
            n => refuse(&format!(
                "validate one and only one schema (oneOf). Found {n} valid alternatives"
            )),
        }
    }
    if limits.not.as_ref().is_some_and(|schema| passes(schema)) {
        refuse("not validate the schema (not)");
    }
    for schema in &limits.all_of {
        check(schema, value, path, errors);
    }
}

fn check_unique(schema: &Schema, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let identity = |item: &Value| match &schema.list {
        ListKind::Map(keys) => {
            let id: serde_json::Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
                .collect();
            Value::Object(id)
        }
        _ => item.clone(),
    };
    if schema.list == ListKind::Atomic && !schema.limits.unique_items {
        return;
    }
    let ids: Vec<Value> = items.iter().map(identity).collect();
    for (at, id) in ids.iter().enumerate() {
        if ids[..at].contains(id) {
            errors.push(FieldError::new(
                format!("{path}[{at}]"),
                FieldFault::Duplicate,
                id.clone(),
                "",
            ));
        }
    }
}

fn check_format(schema: &Schema, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let good = match schema.format.as_str() {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uri" => url::Url::parse(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        // Others are not asserted by the real server either, or mean nothing to a string.
        _ => true,
    };
    if !good {
        let detail = format!("{path} in body must be of type {}: {text:?}", schema.format);
        errors.push(FieldError::invalid(path, text, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::schema::{NoReferences, compile};
    use serde_json::json;

    fn faults(value: &Value) -> Vec<String> {
        let schema = compile(
            &json!({"type": "object", "properties": {"spec": {
                "type": "object", "required": ["pod"], "properties": {
                    "pod": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
                    "n": {"type": "integer", "minimum": 0.0},
                    "s": {"type": "string", "enum": ["ShadowPod", "Sequential"]},
                    "l": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                          "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
                    "nil": {"type": "string", "nullable": true},
                    "time": {"type": "string", "format": "date-time"},
                },
            }}}),
            &mut NoReferences,
        );
        validate(&schema, value, "")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn faults_have_the_real_words() {
        assert_eq!(faults(&json!({"spec": {}})), ["spec.pod: Required value"]);
        assert_eq!(
            faults(&json!({"spec": {"pod": "a", "n": -1}})),
            ["spec.n: Invalid value: -1: spec.n in body should be greater than or equal to 0"]
        );
        assert_eq!(
            faults(&json!({"spec": {"pod": "a", "s": "Foo"}})),
            ["spec.s: Unsupported value: \"Foo\": supported values: \"ShadowPod\", \"Sequential\""]
        );
        assert_eq!(
            faults(&json!({"spec": {"pod": 1}})),
            [
                "spec.pod: Invalid value: \"integer\": spec.pod in body must be of type string: \"integer\""
            ]
        );
        assert_eq!(
            faults(&json!({"spec": {"pod": "A"}})),
            ["spec.pod: Invalid value: \"A\": spec.pod in body should match '^[a-z]*$'"]
        );
        assert_eq!(
            faults(&json!({"spec": {"pod": "abcdef"}})),
            ["spec.pod: Too long: may not be more than 5 bytes"]
        );
        assert_eq!(
            faults(&json!({"spec": {"pod": "a", "l": [{"k": "x"}, {"k": "x"}]}})),
            ["spec.l[1]: Duplicate value: {\"k\":\"x\"}"]
        );
    }

    #[test]
    fn nulls_pass_only_where_they_may() {
        assert!(faults(&json!({"spec": {"pod": "a", "nil": null}})).is_empty());
        assert_eq!(
            faults(&json!({"spec": {"pod": "a", "n": null}})),
            ["spec.n: Invalid value: \"null\": spec.n in body must be of type integer: \"null\""]
        );
    }

    #[test]
    fn times_are_read() {
        assert!(faults(&json!({"spec": {"pod": "a", "time": "2026-01-02T03:04:05Z"}})).is_empty());
        assert_eq!(
            faults(&json!({"spec": {"pod": "a", "time": "yesterday"}})).len(),
            1
        );
    }
}
