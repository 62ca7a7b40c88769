//! Dropping the fields that a schema does not know, and saying which they were.

use serde_json::Value;

use super::{Schema, Trail, Type};

/// Prunes `object` as a whole resource: its type and metadata are not the schema's matter.
/// Returns the paths of what went.
pub(crate) fn prune_resource(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut dropped = Vec::new();
    prune(schema, object, Trail::Root, true, &mut dropped);
    dropped
}

fn prune(
    schema: &Schema,
    value: &mut Value,
    path: Trail<'_>,
    resource: bool,
    dropped: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => {
            let resource = resource || schema.embedded;
            if !schema.preserve_unknown
                && (schema.kind == Type::Object || !schema.properties.is_empty())
            {
                map.retain(|field, _| {
                    let known = schema.properties.contains_key(field)
                        || schema.additional.is_some()
                        || (resource
                            && matches!(field.as_str(), "apiVersion" | "kind" | "metadata"));
                    if !known {
                        dropped.push(Trail::Field(&path, field).to_string());
                    }
                    known
                });
            }
            for (field, child) in map.iter_mut() {
                if resource
                    && field == "metadata"
                    && schema
                        .properties
                        .get(field)
                        .is_none_or(|s| s.properties.is_empty())
                {
                    continue;
                }
                if let Some(member) = schema.member(field) {
                    prune(member, child, Trail::Field(&path, field), false, dropped);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for (at, item) in items.iter_mut().enumerate() {
                    prune(schema, item, Trail::Item(&path, at), false, dropped);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::schema::{NoReferences, compile};
    use serde_json::json;

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = compile(
            &json!({"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "a": {"type": "string"},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}},
                    "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
                }},
            }}),
            &mut NoReferences,
        );
        let mut object = json!({
            "apiVersion": "x/v1", "kind": "X", "metadata": {"name": "n", "labels": {"l": "v"}},
            "spec": {"a": "1", "b": 2, "free": {"x": 1}, "map": {"m": {"k": "1", "z": 1}}, "list": [{"n": 1, "o": 2}]},
            "extra": true,
        });
        let dropped = prune_resource(&schema, &mut object);
        assert_eq!(
            dropped,
            ["extra", "spec.b", "spec.list[0].o", "spec.map.m.z"]
        );
        assert_eq!(object["metadata"]["labels"]["l"], "v");
        assert_eq!(object["spec"]["free"], json!({"x": 1}));
    }
}
