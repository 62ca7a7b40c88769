//! Events have two forms over one set of objects: `v1` (kept) and `events.k8s.io/v1` (shown).

use serde_json::{Map, Value};

use super::meta;

/// Field in `events.k8s.io/v1`, field in `v1`.
const NAMES: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// A kept event as `events.k8s.io/v1` shows it.
pub(crate) fn from_core(event: &Value) -> Value {
    rename(
        event,
        |field| {
            NAMES
                .iter()
                .find(|(_, core)| *core == field)
                .map_or(field, |(new, _)| new)
        },
        "events.k8s.io/v1",
    )
}

/// An `events.k8s.io/v1` event as it is kept.
pub(crate) fn to_core(event: &Value) -> Value {
    let mut event = rename(
        event,
        |field| {
            NAMES
                .iter()
                .find(|(new, _)| *new == field)
                .map_or(field, |(_, core)| core)
        },
        "v1",
    );
    // A v1 event has this field in any case.
    meta::default_field(meta::as_object(&mut event), "involvedObject", Map::new());
    event
}

fn rename<'a>(event: &'a Value, name: impl Fn(&'a str) -> &'a str, version: &str) -> Value {
    let renamed: Map<String, Value> = event
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, value)| (name(field).to_owned(), value.clone()))
        .collect();
    let mut renamed = Value::Object(renamed);
    meta::set_type(&mut renamed, version, "Event");
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_are_one_event() {
        let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "n",
                         "regarding": {"name": "p"}, "reportingController": "c", "action": "a"});
        let core = to_core(&new);
        assert_eq!(core["message"], "n");
        assert_eq!(core["involvedObject"]["name"], "p");
        assert_eq!(core["reportingComponent"], "c");
        assert_eq!(from_core(&core), new);
    }
}
