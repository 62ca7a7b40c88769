//! Filling in a schema's defaults.

use serde_json::Value;

use super::Schema;

/// Puts defaults where a field is missing, or is null and may not be.
pub(crate) fn apply(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (field, member) in &schema.properties {
                if let Some(default) = &member.default {
                    match map.get(field) {
                        None => {
                            map.insert(field.clone(), default.clone());
                        }
                        Some(Value::Null) if !member.nullable => {
                            map.insert(field.clone(), default.clone());
                        }
                        Some(_) => {}
                    }
                }
                if let Some(child) = map.get_mut(field) {
                    apply(member, child);
                }
            }
            if let Some(additional) = &schema.additional {
                for (field, child) in map.iter_mut() {
                    if !schema.properties.contains_key(field) {
                        apply(additional, child);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| apply(schema, item));
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
    fn defaults_reach_into_lists_and_spare_what_is_there() {
        let schema = compile(
            &json!({"properties": {
                "a": {"type": "integer", "default": 5},
                "b": {"type": "integer", "default": 5},
                "n": {"type": "integer", "default": 5, "nullable": true},
                "o": {"type": "object", "default": {}, "properties": {"p": {"type": "string", "default": "q"}}},
                "l": {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "boolean", "default": true}}}},
            }}),
            &mut NoReferences,
        );
        let mut value = json!({"a": 1, "n": null, "l": [{}, {"d": false}]});
        apply(&schema, &mut value);
        assert_eq!(
            value,
            json!({"a": 1, "b": 5, "n": null, "o": {"p": "q"}, "l": [{"d": true}, {"d": false}]})
        );
    }
}
