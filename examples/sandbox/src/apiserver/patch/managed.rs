//! `metadata.managedFields`: who set which field. Follows the field manager of
//! `k8s.io/apimachinery/pkg/util/managedfields`.

use serde_json::{Map, Value, json};

use super::fields::{self, FieldSet};
use crate::apiserver::handlers::Call;
use crate::apiserver::meta;
use crate::apiserver::schema::Schema;

/// How a manager came by its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of managedFields.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    fn is_of(&self, manager: &str, operation: Operation, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }
}

/// Reads the entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Entry> {
    let text =
        |entry: &Value, pointer: &str| meta::text(entry, pointer).unwrap_or_default().to_owned();
    meta::list(object, "/metadata/managedFields")
        .iter()
        .map(|entry| Entry {
            manager: text(entry, "/manager"),
            operation: if text(entry, "/operation") == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            api_version: text(entry, "/apiVersion"),
            subresource: text(entry, "/subresource"),
            time: text(entry, "/time"),
            fields: FieldSet::read(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        })
        .collect()
}

/// Writes the entries, applied ones first, and drops those that own nothing.
pub(crate) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by_key(|entry| (entry.operation == Operation::Update, entry.time.clone()));
    let written: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!({
                "manager": entry.manager, "operation": entry.operation.name(), "apiVersion": entry.api_version,
                "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": entry.fields.write(),
            });
            if !entry.subresource.is_empty() {
                value["subresource"] = entry.subresource.clone().into();
            }
            value
        })
        .collect();
    let metadata = meta::metadata(object);
    if written.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), written.into());
    }
}

/// The fields of an object that can be owned: everything but its identity.
pub(crate) fn ownable(object: &Value) -> Value {
    const SYSTEM: &[&str] = &[
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];
    let copy = |map: &Map<String, Value>, without: &[&str]| -> Map<String, Value> {
        let kept = map
            .iter()
            .filter(|(field, _)| !without.contains(&field.as_str()));
        kept.map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    let Some(map) = object.as_object() else {
        return json!({});
    };
    // The managed fields are most of a small object, so they are not even copied.
    let mut owned = copy(map, &["apiVersion", "kind", "metadata"]);
    if let Some(Value::Object(metadata)) = map.get("metadata") {
        let metadata = copy(metadata, SYSTEM);
        if !metadata.is_empty() {
            owned.insert("metadata".into(), metadata.into());
        }
    }
    Value::Object(owned)
}

/// The entry of that manager, made if there is none.
pub(crate) fn entry_of<'a>(
    entries: &'a mut Vec<Entry>,
    call: &Call,
    manager: &str,
    operation: Operation,
) -> &'a mut Entry {
    let subresource = call.info.subresource.as_str();
    let at = entries
        .iter()
        .position(|entry| entry.is_of(manager, operation, subresource))
        .unwrap_or_else(|| {
            entries.push(Entry {
                manager: manager.to_owned(),
                operation,
                api_version: call.def.api_version(),
                subresource: subresource.to_owned(),
                time: meta::now(),
                fields: FieldSet::default(),
            });
            entries.len() - 1
        });
    &mut entries[at]
}

/// Records a create, update or patch: what it changed is its manager's now and nobody else's.
/// A client may clear the whole list by writing it as `[{}]`.
pub(crate) fn track_update(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    operation: Operation,
) {
    let cleared = new
        .pointer("/metadata/managedFields")
        .is_some_and(|m| *m == json!([{}]));
    if cleared {
        meta::metadata(new).remove("managedFields");
        return;
    }
    let mut entries = old.map(read).unwrap_or_default();
    let schema = call.def.schema();
    let before = old.map(ownable).unwrap_or(json!({}));
    let after = ownable(new);
    let found = fields::difference(schema.as_deref(), &before, &after);
    let mut changed = found.changed;
    changed.member = false;
    mark_new_maps(schema.as_deref(), Some(&before), &after, &mut changed);
    if changed.is_empty() && found.removed.is_empty() {
        write(new, entries);
        return;
    }
    let manager = call.manager();
    let subresource = call.info.subresource.clone();
    for entry in entries
        .iter_mut()
        .filter(|entry| !entry.is_of(&manager, operation, &subresource))
    {
        // Scalars that somebody changed are no longer the other's; list items stay shared.
        entry.fields.remove_all(&leaves(&changed));
        entry.fields.remove_all(&found.removed);
    }
    let own = entry_of(&mut entries, call, &manager, operation);
    own.fields.remove_all(&found.removed);
    own.fields.insert_all(&changed);
    own.time = meta::now();
    own.api_version = call.def.api_version();
    write(new, entries);
}

/// The members without members below them.
fn leaves(set: &FieldSet) -> FieldSet {
    let children: std::collections::BTreeMap<String, FieldSet> = set
        .children
        .iter()
        .map(|(element, child)| (element.clone(), leaves(child)))
        .filter(|(_, child)| !child.is_empty())
        .collect();
    FieldSet {
        member: set.member && set.children.is_empty(),
        children,
    }
}

/// A map that did not exist before belongs to whoever made it (`f:labels: {".": {}}`).
fn mark_new_maps(schema: Option<&Schema>, old: Option<&Value>, new: &Value, set: &mut FieldSet) {
    for (field, value) in new.as_object().into_iter().flatten() {
        let member = schema.and_then(|s| s.member(field)).map(AsRef::as_ref);
        let before = old.and_then(|o| o.get(field));
        let Some(child) = set.children.get_mut(&format!("f:{field}")) else {
            continue;
        };
        let is_map = value.is_object() && member.is_some_and(|m| m.additional.is_some());
        if before.is_none() && is_map && !child.children.is_empty() {
            child.member = true;
        }
        mark_new_maps(member, before, value, child);
    }
}
