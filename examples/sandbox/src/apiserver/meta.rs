//! Reading and writing the metadata of dynamic objects. No policy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::RngExt;
use serde_json::{Map, Value, json};

/// The string at that JSON pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// The array at that JSON pointer; empty if there is none.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The integer at that JSON pointer, or nothing.
pub(crate) fn int(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace").unwrap_or_default()
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid").unwrap_or_default()
}

pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion").unwrap_or_default()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|t| !t.is_null())
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
}

/// The labels (or annotations, by `field`) of an object.
pub(crate) fn string_map(object: &Value, pointer: &str) -> BTreeMap<String, String> {
    let entries = object.pointer(pointer).and_then(Value::as_object);
    entries
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The object at `field` of `value`, made if it is not there or is not an object.
pub(crate) fn object_at<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let map = as_object(value);
    let entry = map.entry(field).or_insert_with(|| json!({}));
    as_object(entry)
}

/// `value` as an object; whatever else it was is replaced by an empty one.
pub(crate) fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("was made an object just above"),
    }
}

pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    object_at(object, "metadata")
}

/// Sets a field only where none is there yet.
pub(crate) fn default_field(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    match map.get(field) {
        None | Some(Value::Null) => {
            map.insert(field.to_owned(), value.into());
        }
        Some(_) => {}
    }
}

/// Puts the object's version and kind, which lists of built-in types leave out.
pub(crate) fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    let map = as_object(object);
    map.insert("apiVersion".into(), api_version.into());
    map.insert("kind".into(), kind.into());
}

/// Now, as `metav1.Time` is written: whole seconds, UTC.
pub(crate) fn now() -> String {
    seconds(Timestamp::now())
}

/// That time as `metav1.Time` is written.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random version 4 UUID.
pub(crate) fn new_uid() -> String {
    let bits: u128 = rand::rng().random();
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The random end of a generated name: letters and digits that spell no word, as in
/// `k8s.io/apimachinery/pkg/util/rand`.
pub(crate) fn random_suffix(length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

/// Drops every null member, as decoding into a Go struct does.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_four() {
        let uid = new_uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.as_bytes()[14], b'4');
        assert!(matches!(uid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(uid, new_uid());
    }

    #[test]
    fn nulls_go() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [ {"e": null} ]}});
        drop_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}]}}));
    }
}
