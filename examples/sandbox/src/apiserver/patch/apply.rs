//! Server-side apply: the fields a manager states become its own; what it stated before and
//! states no more goes, unless somebody else owns it; what others own and it would change is a
//! conflict. Follows `sigs.k8s.io/structured-merge-diff/merge`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{self, FieldSet, item_element};
use super::managed::{self, Operation};
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::handlers::Call;
use crate::apiserver::meta;
use crate::apiserver::schema::{ListKind, Schema};

/// What an apply made, and what its bookkeeping needs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) object: Value,
    /// The fields that the manager states.
    applied: FieldSet,
    /// The fields that were others' and that it took by force.
    taken: FieldSet,
    /// The fields that it gave up and that went with it.
    gone: FieldSet,
}

/// The outcome of applying what is not there yet; the object itself is made by creation.
pub(crate) fn of_new(call: &Call, applied: &Value) -> Outcome {
    let schema = call.def.schema();
    Outcome {
        applied: stated(schema.as_deref(), &relevant(call, applied)),
        ..Outcome::default()
    }
}

fn stated(schema: Option<&Schema>, applied: &Value) -> FieldSet {
    let mut set = fields::fields_of(schema, &managed::ownable(applied));
    set.member = false;
    set
}

/// The part of what is applied that this endpoint can change; the rest is not the manager's.
fn relevant(call: &Call, applied: &Value) -> Value {
    let mut applied = applied.clone();
    let map = meta::as_object(&mut applied);
    match call.info.subresource.as_str() {
        "status" if call.def.custom.is_some() => {
            map.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "status"));
        }
        "status" => {
            map.remove("spec");
        }
        _ if call.def.has_subresource("status") => {
            map.remove("status");
        }
        _ => {}
    }
    applied
}

/// Applies `applied` to `live`.
///
/// # Errors
/// 409 naming the managers of the fields in conflict, unless `force` is set.
pub(crate) fn apply(call: &Call, live: &Value, applied: &Value) -> ApiResult<Outcome> {
    let schema = call.def.schema();
    let schema = schema.as_deref();
    let manager = call.manager();
    let subresource = call.info.subresource.as_str();
    let entries = managed::read(live);
    let version = applied
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let applied = &relevant(call, applied);
    let set = stated(schema, applied);

    let mut merged = merge(schema, live, applied);
    let own = entries.iter().find(|e| {
        e.manager == manager && e.operation == Operation::Apply && e.subresource == subresource
    });
    let mut given_up = own.map(|entry| entry.fields.clone()).unwrap_or_default();
    given_up.remove_all(&set);
    for entry in entries
        .iter()
        .filter(|e| own.is_none_or(|own| !std::ptr::eq(*e, own)))
    {
        given_up.remove_all(&entry.fields);
    }
    remove(schema, &mut merged, &given_up);

    let changes = fields::difference(schema, &managed::ownable(live), &managed::ownable(&merged));
    let mut contested = set.common(&changes.changed);
    contested.member = false;
    let mut taken = FieldSet::default();
    let mut conflicts: Vec<(String, FieldSet)> = Vec::new();
    for entry in entries
        .iter()
        .filter(|e| own.is_none_or(|own| !std::ptr::eq(*e, own)))
    {
        let common = entry.fields.common(&contested);
        if !common.is_empty() {
            taken.insert_all(&common);
            conflicts.push((describe(entry), common));
        }
    }
    if !conflicts.is_empty() && !call.query.flag("force") {
        return Err(conflict(&conflicts));
    }
    // The live version only: an apply states a version of its own to insist on it.
    match version {
        Some(version) => {
            meta::metadata(&mut merged).insert("resourceVersion".into(), version.into())
        }
        None => meta::metadata(&mut merged).remove("resourceVersion"),
    };
    Ok(Outcome {
        object: merged,
        applied: set,
        taken,
        gone: given_up,
    })
}

/// Writes the managedFields that follow from an apply into the new object.
pub(crate) fn record(call: &Call, old: &Value, new: &mut Value, outcome: &Outcome) {
    let mut entries = managed::read(old);
    let manager = call.manager();
    for entry in &mut entries {
        entry.fields.remove_all(&outcome.gone);
        entry.fields.remove_all(&outcome.taken);
    }
    let before = managed::ownable(old);
    let unchanged = before == managed::ownable(new);
    let own = managed::entry_of(&mut entries, call, &manager, Operation::Apply);
    if own.fields != outcome.applied || !unchanged {
        own.time = meta::now();
    }
    own.fields = outcome.applied.clone();
    own.api_version = call.def.api_version();
    managed::write(new, entries);
}

fn describe(entry: &managed::Entry) -> String {
    let mut words = format!("{:?}", entry.manager);
    if entry.operation == Operation::Update {
        if !entry.subresource.is_empty() {
            words.push_str(&format!(" with subresource {:?}", entry.subresource));
        }
        words.push_str(&format!(" using {}", entry.api_version));
        if !entry.time.is_empty() {
            words.push_str(&format!(" at {}", entry.time));
        }
    }
    words
}

fn conflict(conflicts: &[(String, FieldSet)]) -> ApiError {
    let mut by_manager: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (manager, set) in conflicts {
        by_manager.entry(manager).or_default().extend(set.paths());
    }
    let causes: Vec<Value> = by_manager
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path})
            })
        })
        .collect();
    let count = causes.len();
    let words = if count == 1 {
        "Apply failed with 1 conflict".to_owned()
    } else {
        format!("Apply failed with {count} conflicts")
    };
    let lines: Vec<String> = match by_manager.iter().next() {
        Some((manager, paths)) if count == 1 => {
            vec![format!(": conflict with {manager}: {}", paths.join(", "))]
        }
        _ => by_manager
            .iter()
            .map(|(manager, paths)| {
                let list: Vec<String> = paths.iter().map(|path| format!("\n- {path}")).collect();
                format!("conflicts with {manager}:{}", list.concat())
            })
            .collect(),
    };
    let separator = if count == 1 { "" } else { ": " };
    let mut error = ApiError::new(
        409,
        "Conflict",
        format!("{words}{separator}{}", lines.join("\n")),
    );
    error.details = Some(json!({"causes": causes}));
    error
}

/// Merges what is applied into what is live.
fn merge(schema: Option<&Schema>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live_map), Value::Object(applied_map))
            if !schema.is_some_and(|s| s.atomic_map) =>
        {
            let mut merged = live_map.clone();
            for (field, value) in applied_map {
                let member = schema.and_then(|s| s.member(field)).map(AsRef::as_ref);
                let value = match live_map.get(field) {
                    Some(before) => merge(member, before, value),
                    None => value.clone(),
                };
                merged.insert(field.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live_items), Value::Array(applied_items)) => match schema.map(|s| &s.list) {
            Some(ListKind::Set) => {
                let mut merged = live_items.clone();
                merged.extend(
                    applied_items
                        .iter()
                        .filter(|item| !live_items.contains(item))
                        .cloned(),
                );
                Value::Array(merged)
            }
            Some(ListKind::Map(keys)) => Value::Array(merge_items(
                schema.and_then(|s| s.items.as_deref()),
                keys,
                live_items,
                applied_items,
            )),
            _ => applied.clone(),
        },
        _ => applied.clone(),
    }
}

/// The applied items in their order, with the live ones that are not applied where they were.
fn merge_items(
    schema: Option<&Schema>,
    keys: &[String],
    live: &[Value],
    applied: &[Value],
) -> Vec<Value> {
    let id = |item: &Value| item_element(keys, schema, item);
    let mut merged: Vec<Value> = live.to_vec();
    for item in applied {
        match merged.iter().position(|before| id(before) == id(item)) {
            Some(at) => merged[at] = merge(schema, &merged[at], item),
            None => merged.push(item.clone()),
        }
    }
    merged
}

/// Takes the fields of a set out of a value.
fn remove(schema: Option<&Schema>, value: &mut Value, gone: &FieldSet) {
    match value {
        Value::Object(map) => remove_fields(schema, map, gone),
        Value::Array(items) => {
            let Some(schema) = schema else { return };
            let item_schema = schema.items.as_deref();
            items.retain_mut(|item| {
                let element = match &schema.list {
                    ListKind::Map(keys) => item_element(keys, item_schema, item),
                    ListKind::Set => format!("v:{item}"),
                    ListKind::Atomic => return true,
                };
                let Some(child) = gone.children.get(&element) else {
                    return true;
                };
                if child.member {
                    // The item itself was given up; its fields that others set were taken out of
                    // the set, and then the item is theirs too, so nothing of it remains.
                    return false;
                }
                remove(item_schema, item, child);
                true
            });
        }
        _ => {}
    }
}

fn remove_fields(schema: Option<&Schema>, map: &mut Map<String, Value>, gone: &FieldSet) {
    for (element, child) in &gone.children {
        let Some(field) = element.strip_prefix("f:") else {
            continue;
        };
        if child.member {
            map.remove(field);
            continue;
        }
        let member = schema.and_then(|s| s.member(field)).map(AsRef::as_ref);
        let Some(value) = map.get_mut(field) else {
            continue;
        };
        remove(member, value, child);
        let empty = value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        if empty && !child.children.is_empty() {
            map.remove(field);
        }
    }
}
