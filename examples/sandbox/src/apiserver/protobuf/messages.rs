//! From messages to JSON, by the table of field numbers in `messages.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::wire::{Field, fields};
use crate::apiserver::meta;

/// How often a field occurs, and when it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    /// Written by Go in any case, so that zero means that it is not set.
    Always,
    Repeated,
    /// A map from strings.
    Map,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    kind: &'static str,
    shape: Shape,
}

type Table = HashMap<&'static str, HashMap<u32, Entry>>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(include_str!("messages.txt")))
}

fn parse(text: &'static str) -> Table {
    let mut table = Table::new();
    let mut message = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix("  ") else {
            message = line;
            table.entry(message).or_default();
            continue;
        };
        let mut words = field.split(' ');
        let (Some(number), Some(name), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (kind, shape) = if let Some(kind) = kind.strip_suffix("[]") {
            (kind, Shape::Repeated)
        } else if let Some(kind) = kind.strip_suffix("{}") {
            (kind, Shape::Map)
        } else if let Some(kind) = kind.strip_suffix('!') {
            (kind, Shape::Always)
        } else {
            (kind, Shape::Single)
        };
        if let Ok(number) = number.parse() {
            table
                .entry(message)
                .or_default()
                .insert(number, Entry { name, kind, shape });
        }
    }
    table
}

/// Reads one message.
///
/// # Errors
/// In words, for a message or field that the table lacks.
pub(crate) fn read(message: &str, bytes: &[u8]) -> Result<Value, String> {
    let entries = table()
        .get(message)
        .ok_or_else(|| format!("no message {message} is known"))?;
    let mut object = Map::new();
    for (number, field) in fields(bytes)? {
        let entry = entries
            .get(&number)
            .ok_or_else(|| format!("{message} has no known field {number}"))?;
        put(&mut object, entry, field)?;
    }
    Ok(Value::Object(object))
}

fn put(object: &mut Map<String, Value>, entry: &Entry, field: Field<'_>) -> Result<(), String> {
    if entry.kind == "skip" {
        return Ok(());
    }
    match entry.shape {
        Shape::Repeated => {
            let value = value(entry.kind, field)?.unwrap_or(Value::Null);
            if let Value::Array(items) = object.entry(entry.name).or_insert_with(|| json!([])) {
                items.push(value);
            }
        }
        Shape::Map => {
            let (key, value) = map_entry(entry.kind, field)?;
            if let Value::Object(map) = object.entry(entry.name).or_insert_with(|| json!({})) {
                map.insert(key, value);
            }
        }
        Shape::Single | Shape::Always => {
            let Some(value) = value(entry.kind, field)? else {
                return Ok(());
            };
            // Go writes every string that is no pointer, empty or not; JSON leaves those out.
            if value == "" || (entry.shape == Shape::Always && (value == 0 || value == false)) {
                return Ok(());
            }
            match value {
                Value::Object(inner) if entry.name == "-" => object.extend(inner),
                value => {
                    object.insert(entry.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

fn map_entry(kind: &str, field: Field<'_>) -> Result<(String, Value), String> {
    let Field::Bytes(bytes) = field else {
        return Err("a map entry is no message".to_owned());
    };
    let (mut key, mut found) = (String::new(), None);
    for (number, field) in fields(bytes)? {
        match (number, field) {
            (1, Field::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, field) => found = value(kind, field)?,
            _ => {}
        }
    }
    let default = if matches!(kind, "string" | "bytes") {
        json!("")
    } else {
        json!({})
    };
    Ok((key, found.unwrap_or(default)))
}

/// One value; nothing for a time that is not set.
fn value(kind: &str, field: Field<'_>) -> Result<Option<Value>, String> {
    let value = match (kind, field) {
        ("string", Field::Bytes(text)) => String::from_utf8_lossy(text).into_owned().into(),
        ("bytes", Field::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        // Negative numbers are written as their two's complement.
        ("int", Field::Number(number)) => number.cast_signed().into(),
        ("bool", Field::Number(number)) => (number != 0).into(),
        ("float", Field::Fixed(bits)) => f64::from_bits(bits).into(),
        ("Time" | "MicroTime", Field::Bytes(bytes)) => return time(kind, bytes),
        ("Quantity", Field::Bytes(bytes)) => first_text(bytes)?.into(),
        ("IntOrString", Field::Bytes(bytes)) => int_or_string(bytes)?,
        ("FieldsV1" | "RawExtension", Field::Bytes(bytes)) => {
            serde_json::from_str(&first_text(bytes)?).map_err(|error| error.to_string())?
        }
        (kind, Field::Bytes(bytes)) if kind.ends_with(".ExtraValue") => {
            let mut message = read(kind, bytes)?;
            meta::as_object(&mut message)
                .remove("items")
                .unwrap_or(json!([]))
        }
        (message, Field::Bytes(bytes)) if message.contains('.') => read(message, bytes)?,
        (kind, _) => return Err(format!("a field of type {kind} has another wire type")),
    };
    Ok(Some(value))
}

fn first_text(bytes: &[u8]) -> Result<String, String> {
    for (number, field) in fields(bytes)? {
        if let (1, Field::Bytes(text)) = (number, field) {
            return Ok(String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(String::new())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for (field_number, field) in fields(bytes)? {
        match (field_number, field) {
            (1, Field::Number(kind)) => is_text = kind == 1,
            (2, Field::Number(value)) => number = value.cast_signed(),
            (3, Field::Bytes(value)) => text = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

fn time(kind: &str, bytes: &[u8]) -> Result<Option<Value>, String> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for (number, field) in fields(bytes)? {
        match (number, field) {
            (1, Field::Number(value)) => seconds = value.cast_signed(),
            (2, Field::Number(value)) => {
                nanoseconds = i32::try_from(value.cast_signed()).unwrap_or(0)
            }
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let time = Timestamp::new(seconds, nanoseconds).map_err(|error| error.to_string())?;
    Ok(Some(match kind {
        "MicroTime" => time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into(),
        _ => meta::seconds(time).into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_is_named_is_there() {
        for (message, entries) in table() {
            assert!(
                !entries.is_empty() || *message == "scheduling.v1.Nothing",
                "{message} has no fields"
            );
            for entry in entries.values().filter(|entry| entry.kind.contains('.')) {
                assert!(
                    table().contains_key(entry.kind),
                    "{message}.{} is a {}",
                    entry.name,
                    entry.kind
                );
            }
        }
    }
}
