//! Sets of field paths, as `managedFields` writes them (FieldsV1). Follows
//! `sigs.k8s.io/structured-merge-diff/fieldpath`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::apiserver::schema::{ListKind, Schema};

/// A set of paths as a tree. A node is itself in the set if `member` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    pub(crate) member: bool,
    /// By path element in its written form: `f:name`, `k:{"name":"x"}`, `v:"x"`.
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// Reads FieldsV1.
    pub(crate) fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (element, child) in fields.as_object().into_iter().flatten() {
            if element == "." {
                set.member = true;
                continue;
            }
            let mut child_set = Self::read(child);
            if child.as_object().is_none_or(Map::is_empty) {
                child_set.member = true;
            }
            set.children.insert(element.clone(), child_set);
        }
        set
    }

    /// Writes FieldsV1.
    pub(crate) fn write(&self) -> Value {
        let mut map = Map::new();
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut written = child.write();
            let has_children = written.as_object().is_some_and(|m| !m.is_empty());
            if child.member && has_children {
                written["."] = json!({});
            }
            map.insert(element.clone(), written);
        }
        Value::Object(map)
    }

    /// Puts everything of `other` in.
    pub(crate) fn insert_all(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, child) in &other.children {
            self.children
                .entry(element.clone())
                .or_default()
                .insert_all(child);
        }
    }

    /// Takes everything of `other` out.
    pub(crate) fn remove_all(&mut self, other: &Self) {
        if other.member {
            self.member = false;
        }
        for (element, gone) in &other.children {
            if let Some(child) = self.children.get_mut(element) {
                child.remove_all(gone);
                if child.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// What is in both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        let mut both = Self {
            member: self.member && other.member,
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            if let Some(others) = other.children.get(element) {
                let common = child.common(others);
                if !common.is_empty() {
                    both.children.insert(element.clone(), common);
                }
            }
        }
        both
    }

    /// The paths of the set, as conflicts name them: `.spec.containers[name="x"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.to_owned());
        }
        for (element, child) in &self.children {
            child.collect(&format!("{path}{}", shown(element)), paths);
        }
    }
}

fn shown(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", field)) => format!(".{field}"),
        Some(("k:", keys)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v:", value)) => format!("[={value}]"),
        _ => element.to_owned(),
    }
}

/// One step into a value: its element and what the schema says of it.
pub(crate) struct Step<'a> {
    pub(crate) element: String,
    pub(crate) value: &'a Value,
    pub(crate) schema: Option<&'a Schema>,
    /// The node itself counts as a path: a list item, or an entry of a map that is no struct.
    pub(crate) own: bool,
}

/// The steps into a value; nothing if it is a leaf (a scalar, or a list or map that is
/// replaced as a whole).
pub(crate) fn steps<'a>(schema: Option<&'a Schema>, value: &'a Value) -> Option<Vec<Step<'a>>> {
    match value {
        Value::Object(map) if !map.is_empty() && !schema.is_some_and(|s| s.atomic_map) => Some(
            map.iter()
                .map(|(field, value)| {
                    let known = schema.is_some_and(|s| s.properties.contains_key(field));
                    Step {
                        element: format!("f:{field}"),
                        value,
                        schema: schema.and_then(|s| s.member(field)).map(AsRef::as_ref),
                        own: !known && schema.is_some_and(|s| s.additional.is_some()),
                    }
                })
                .collect(),
        ),
        Value::Array(items) if !items.is_empty() => {
            let schema = schema?;
            let item_schema = schema.items.as_deref();
            match &schema.list {
                ListKind::Atomic => None,
                ListKind::Set => Some(
                    items
                        .iter()
                        .map(|value| Step {
                            element: format!("v:{value}"),
                            value,
                            schema: None,
                            own: true,
                        })
                        .collect(),
                ),
                ListKind::Map(keys) => Some(
                    items
                        .iter()
                        .map(|value| Step {
                            element: item_element(keys, item_schema, value),
                            value,
                            schema: item_schema,
                            own: true,
                        })
                        .collect(),
                ),
            }
        }
        _ => None,
    }
}

/// The element that names an item of a list map. A key that is missing has its default.
pub(crate) fn item_element(keys: &[String], schema: Option<&Schema>, item: &Value) -> String {
    let mut id = BTreeMap::new();
    for key in keys {
        let default = || match key.as_str() {
            "protocol" => Some(Value::from("TCP")),
            _ => schema
                .and_then(|s| s.properties.get(key))
                .and_then(|s| s.default.clone()),
        };
        if let Some(value) = item.get(key).cloned().or_else(default) {
            id.insert(key.clone(), value);
        }
    }
    format!("k:{}", json!(id))
}

/// All the fields that a value sets.
pub(crate) fn fields_of(schema: Option<&Schema>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    let Some(steps) = steps(schema, value) else {
        set.member = true;
        return set;
    };
    for step in steps {
        // The items of a set are leaves and values in one.
        let mut child = if step.element.starts_with("v:") {
            FieldSet::default()
        } else {
            fields_of(step.schema, step.value)
        };
        child.member |= step.own;
        set.children.insert(step.element, child);
    }
    set
}

/// The fields in which two values differ: added, changed, or gone.
pub(crate) fn difference(schema: Option<&Schema>, old: &Value, new: &Value) -> Difference {
    let mut found = Difference::default();
    compare(
        schema,
        Some(old),
        Some(new),
        &mut found.changed,
        &mut found.removed,
    );
    found
}

/// What [`difference`] finds.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

fn compare(
    schema: Option<&Schema>,
    old: Option<&Value>,
    new: Option<&Value>,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    match (old, new) {
        (None, Some(new)) => changed.insert_all(&fields_of(schema, new)),
        (Some(old), None) => removed.insert_all(&fields_of(schema, old)),
        (Some(old), Some(new)) if old != new => match (steps(schema, old), steps(schema, new)) {
            (Some(before), Some(after)) => compare_steps(&before, &after, changed, removed),
            (Some(_), None) => {
                removed.insert_all(&fields_of(schema, old));
                changed.member = true;
            }
            (None, Some(_)) => changed.insert_all(&fields_of(schema, new)),
            (None, None) => changed.member = true,
        },
        _ => {}
    }
}

fn compare_steps(
    before: &[Step<'_>],
    after: &[Step<'_>],
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    let find = |steps: &[Step<'_>], element: &str| steps.iter().position(|s| s.element == element);
    for step in before {
        let new = find(after, &step.element).map(|at| after[at].value);
        let (mut sub_changed, mut sub_removed) = (FieldSet::default(), FieldSet::default());
        compare(
            step.schema,
            Some(step.value),
            new,
            &mut sub_changed,
            &mut sub_removed,
        );
        if new.is_none() {
            sub_removed.member |= step.own;
        }
        put(changed, &step.element, sub_changed);
        put(removed, &step.element, sub_removed);
    }
    for step in after
        .iter()
        .filter(|step| find(before, &step.element).is_none())
    {
        let mut added = if step.element.starts_with("v:") {
            FieldSet::default()
        } else {
            fields_of(step.schema, step.value)
        };
        added.member |= step.own;
        put(changed, &step.element, added);
    }
}

fn put(set: &mut FieldSet, element: &str, child: FieldSet) {
    if !child.is_empty() {
        set.children
            .entry(element.to_owned())
            .or_default()
            .insert_all(&child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn schema() -> std::sync::Arc<Schema> {
        crate::apiserver::schema::builtin::compile(|generator| generator.subschema_for::<Pod>())
    }

    #[test]
    fn fields_are_written_as_real_ones() {
        let value = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "i", "args": ["x"]}]}});
        let set = fields_of(Some(&schema()), &value);
        let written = set.write();
        assert_eq!(
            written,
            json!({"f:metadata": {"f:labels": {"f:a": {}}},
                   "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {}}}}})
        );
        assert_eq!(FieldSet::read(&written), set);
        assert!(
            set.paths()
                .contains(&".spec.containers[name=\"c\"].image".to_owned())
        );
    }

    #[test]
    fn differences_name_what_changed_and_what_went() {
        let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let new = json!({"metadata": {"labels": {"a": "3"}, "annotations": {"x": "y"}}});
        let found = difference(Some(&schema()), &old, &new);
        assert_eq!(
            found.changed.paths(),
            [".metadata.annotations.x", ".metadata.labels.a"]
        );
        assert_eq!(found.removed.paths(), [".metadata.labels.b"]);
    }
}
