//! Strategic merge patch: a merge patch that knows by which key the lists of built-in types
//! merge, with the directives `$patch`, `$deleteFromPrimitiveList`, `$setElementOrder` and
//! `$retainKeys`. Follows `k8s.io/apimachinery/pkg/util/strategicpatch`.

use serde_json::{Map, Value};

use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::schema::Schema;

const DIRECTIVE: &str = "$patch";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";
const RETAIN: &str = "$retainKeys";

/// Applies `patch` to `old`, whose schema knows the merge keys.
///
/// # Errors
/// 400 for a directive or list element that makes no sense.
pub(crate) fn apply(schema: Option<&Schema>, old: &Value, patch: &Value) -> ApiResult<Value> {
    let (Some(old), Some(patch)) = (old.as_object(), patch.as_object()) else {
        return Err(ApiError::bad_request("invalid JSON document"));
    };
    Ok(Value::Object(merge_map(schema, old.clone(), patch)?))
}

fn merge_map(
    schema: Option<&Schema>,
    mut old: Map<String, Value>,
    patch: &Map<String, Value>,
) -> ApiResult<Map<String, Value>> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => return Ok(without_directives(patch)),
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "Unknown patch type found: {other}"
            )));
        }
    }
    if let Some(retained) = patch.get(RETAIN).and_then(Value::as_array) {
        old.retain(|field, _| retained.iter().any(|kept| kept == field));
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix(DELETE_PRIMITIVES) {
            delete_primitives(&mut old, list, value);
        } else if !field.starts_with('$') {
            let member = schema.and_then(|s| s.member(field)).map(AsRef::as_ref);
            merge_member(member, &mut old, field, value, patch)?;
        }
    }
    // An order may come for a list that the patch does not otherwise touch.
    for (field, order) in patch {
        if let Some(list) = field.strip_prefix(ORDER) {
            let member = schema.and_then(|s| s.member(list)).map(AsRef::as_ref);
            sort_by_order(member, old.get_mut(list), order);
        }
    }
    Ok(old)
}

fn merge_member(
    schema: Option<&Schema>,
    old: &mut Map<String, Value>,
    field: &str,
    patch: &Value,
    _siblings: &Map<String, Value>,
) -> ApiResult<()> {
    match patch {
        Value::Null => {
            old.remove(field);
        }
        Value::Object(patch) => {
            if patch.get(DIRECTIVE).is_some_and(|d| d == "delete") {
                old.remove(field);
                return Ok(());
            }
            let before = match old.get(field) {
                Some(Value::Object(map)) => map.clone(),
                _ => Map::new(),
            };
            old.insert(
                field.to_owned(),
                Value::Object(merge_map(schema, before, patch)?),
            );
        }
        Value::Array(items) => {
            let before = match old.get(field) {
                Some(Value::Array(items)) => items.clone(),
                _ => Vec::new(),
            };
            old.insert(
                field.to_owned(),
                Value::Array(merge_list(schema, before, items)?),
            );
        }
        scalar => {
            old.insert(field.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn merge_list(schema: Option<&Schema>, old: Vec<Value>, patch: &[Value]) -> ApiResult<Vec<Value>> {
    let item_schema = schema.and_then(|s| s.items.as_deref());
    let Some(key) = schema.and_then(|s| s.patch_key.as_deref()) else {
        return Ok(patch.iter().map(plain).collect());
    };
    if key.is_empty() {
        let mut merged = old;
        for item in patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(merged);
    }
    let mut merged = old;
    let replace = patch
        .iter()
        .any(|item| item.get(DIRECTIVE).is_some_and(|d| d == "replace"));
    if replace {
        merged.clear();
    }
    for item in patch {
        let Some(fields) = item.as_object() else {
            return Err(ApiError::bad_request(
                "cannot merge a list of objects with a scalar",
            ));
        };
        let directive = fields.get(DIRECTIVE).and_then(Value::as_str);
        if directive == Some("replace") && fields.len() == 1 {
            continue;
        }
        let Some(id) = fields.get(key) else {
            return Err(ApiError::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let at = merged.iter().position(|old| old.get(key) == Some(id));
        match (directive, at) {
            (Some("delete"), _) => merged.retain(|old| old.get(key) != Some(id)),
            (_, Some(at)) => {
                let before = merged[at].as_object().cloned().unwrap_or_default();
                merged[at] = Value::Object(merge_map(item_schema, before, fields)?);
            }
            (_, None) => merged.push(Value::Object(merge_map(item_schema, Map::new(), fields)?)),
        }
    }
    Ok(merged)
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        other => other.clone(),
    }
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(field, value)| !field.starts_with('$') && !value.is_null())
        .map(|(field, value)| (field.clone(), plain(value)))
        .collect()
}

fn delete_primitives(old: &mut Map<String, Value>, list: &str, gone: &Value) {
    let gone = gone.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(Value::Array(items)) = old.get_mut(list) {
        items.retain(|item| !gone.contains(item));
        if items.is_empty() {
            old.remove(list);
        }
    }
}

/// Elements named in the order come in that order; those that are only on the server keep
/// their place relative to what precedes them.
fn sort_by_order(schema: Option<&Schema>, list: Option<&mut Value>, order: &Value) {
    let (Some(Value::Array(items)), Some(order)) = (list, order.as_array()) else {
        return;
    };
    let key = schema
        .and_then(|s| s.patch_key.as_deref())
        .unwrap_or_default();
    let id = |item: &Value| {
        if key.is_empty() {
            item.clone()
        } else {
            item.get(key).cloned().unwrap_or(Value::Null)
        }
    };
    let wanted: Vec<Value> = order.iter().map(id).collect();
    let mut last = 0;
    let mut ranked: Vec<(usize, usize, Value)> = Vec::with_capacity(items.len());
    for (at, item) in items.drain(..).enumerate() {
        if let Some(rank) = wanted.iter().position(|w| *w == id(&item)) {
            last = rank;
        }
        ranked.push((last, at, item));
    }
    ranked.sort_by_key(|(rank, at, _)| (*rank, *at));
    items.extend(ranked.into_iter().map(|(_, _, item)| item));
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    fn pod(old: Value, patch: Value) -> Value {
        let schema = crate::apiserver::schema::builtin::compile(|generator| {
            generator.subschema_for::<Pod>()
        });
        apply(Some(&schema), &old, &patch).expect("applies")
    }

    #[test]
    fn lists_merge_by_key() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}],
                                  "tolerations": [{"key": "k"}]}});
        let new = pod(
            old,
            json!({"spec": {"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}],
                                           "tolerations": [{"key": "z"}]}}),
        );
        assert_eq!(new["spec"]["containers"][0]["image"], "2");
        assert_eq!(
            new["spec"]["containers"][0]["env"]
                .as_array()
                .expect("a list")
                .len(),
            2
        );
        assert_eq!(new["spec"]["containers"][1]["image"], "1");
        assert_eq!(
            new["spec"]["tolerations"],
            json!([{"key": "z"}]),
            "tolerations are atomic"
        );
    }

    #[test]
    fn directives() {
        let old = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        let new = pod(
            old,
            json!({
                "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
                    "containers": [{"name": "c", "image": "x"}, {"name": "a", "$patch": "delete"}],
                    "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}],
                },
            }),
        );
        assert_eq!(new["metadata"]["finalizers"], json!(["b"]));
        assert_eq!(
            new["spec"]["containers"],
            json!([{"name": "c", "image": "x"}, {"name": "b"}])
        );
        assert_eq!(
            new["spec"]["volumes"],
            json!([{"name": "v", "hostPath": {"path": "/x"}}])
        );
    }

    #[test]
    fn conditions_merge_by_type() {
        let old = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]}});
        let new = pod(
            old,
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        );
        assert_eq!(
            new["status"]["conditions"],
            json!([{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}])
        );
    }
}
