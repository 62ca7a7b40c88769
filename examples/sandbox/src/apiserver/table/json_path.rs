//! The JSONPath of printer columns: fields, indexes, `[*]`, filters by equality and `\.` in
//! field names. What it cannot read finds nothing, as a missing field does.

use serde_json::Value;

/// Everything that the path finds.
pub(crate) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let path = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    let Some(steps) = parse(path) else {
        return Vec::new();
    };
    let mut found = vec![object];
    for step in &steps {
        found = found
            .into_iter()
            .flat_map(|value| step.take(value))
            .collect();
    }
    found
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Equals(Vec<String>, String),
    Differs(Vec<String>, String),
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(field), Value::Object(map)) => map.get(field).into_iter().collect(),
            (Self::Index(at), Value::Array(items)) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let at = if *at < 0 { length + at } else { *at };
                usize::try_from(at)
                    .ok()
                    .and_then(|at| items.get(at))
                    .into_iter()
                    .collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(map)) => map.values().collect(),
            (Self::Equals(fields, wanted), Value::Array(items)) => items
                .iter()
                .filter(|item| text_at(item, fields).as_deref() == Some(wanted))
                .collect(),
            (Self::Differs(fields, wanted), Value::Array(items)) => items
                .iter()
                .filter(|item| text_at(item, fields).as_deref() != Some(wanted))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn text_at(item: &Value, fields: &[String]) -> Option<String> {
    let found = fields
        .iter()
        .try_fold(item, |value, field| value.get(field))?;
    Some(
        found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned),
    )
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            // A filter may hold brackets of its own only inside quotes, which nobody writes here.
            let end = tail.find(']')?;
            steps.push(bracket(&tail[..end])?);
            rest = &tail[end + 1..];
        } else {
            let tail = rest.strip_prefix('.').unwrap_or(rest);
            let (field, length) = take_field(tail);
            if field == "*" {
                steps.push(Step::All);
            } else if !field.is_empty() {
                steps.push(Step::Field(field));
            } else if length == 0 && !tail.starts_with('[') && !tail.is_empty() {
                return None;
            }
            rest = &tail[length..];
        }
    }
    Some(steps)
}

/// A field up to the next dot or bracket, and its length as written.
fn take_field(text: &str) -> (String, usize) {
    let mut field = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' => return (field, at),
            '\\' => field.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => field.push(letter),
        }
    }
    (field, text.len())
}

fn bracket(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(field) = quoted(inside) {
        return Some(Step::Field(field));
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let (left, right, equal) = match filter.split_once("==") {
            Some((left, right)) => (left, right, true),
            None => filter
                .split_once("!=")
                .map(|(left, right)| (left, right, false))?,
        };
        let fields = left
            .trim()
            .strip_prefix("@.")?
            .split('.')
            .map(str::to_owned)
            .collect();
        let wanted = quoted(right.trim()).unwrap_or_else(|| right.trim().to_owned());
        return Some(if equal {
            Step::Equals(fields, wanted)
        } else {
            Step::Differs(fields, wanted)
        });
    }
    inside.parse().ok().map(Step::Index)
}

fn quoted(text: &str) -> Option<String> {
    ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .map(|inner| inner.replace("\\.", "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"phase": "Done", "list": [1, 2], "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let texts = |path: &str| {
            find(&object, path)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(".status.phase"), ["\"Done\""]);
        assert_eq!(texts("{.status.phase}"), ["\"Done\""]);
        assert_eq!(
            texts(".status.conditions[?(@.type==\"Ready\")].status"),
            ["\"True\""]
        );
        assert_eq!(
            texts(".status.conditions[?(@.type!='Ready')].status"),
            ["\"False\""]
        );
        assert_eq!(texts(".status.list[-1]"), ["2"]);
        assert_eq!(texts(".status.list[*]"), ["1", "2"]);
        assert_eq!(texts(r".metadata.labels.a\.b/c"), ["\"x\""]);
        assert_eq!(texts(".metadata.labels['a.b/c']"), ["\"x\""]);
        assert!(texts(".status.gone.deeper").is_empty());
    }
}
