//! Durations and lists as people read them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::apiserver::meta;

/// As `k8s.io/apimachinery/pkg/util/duration.HumanDuration`; seconds.
pub(crate) fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => with_rest(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => with_rest(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => with_rest(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => with_rest(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

fn with_rest(whole: i64, unit: &str, rest: i64, rest_unit: &str) -> String {
    if rest == 0 {
        format!("{whole}{unit}")
    } else {
        format!("{whole}{unit}{rest}{rest_unit}")
    }
}

/// How long ago a time was.
pub(crate) fn since(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => duration(Timestamp::now().duration_since(then).as_secs()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// How long ago the time at that pointer was.
pub(crate) fn age(object: &Value, pointer: &str) -> String {
    meta::text(object, pointer).map_or_else(|| "<unknown>".to_owned(), since)
}

/// A string, or `<none>`.
pub(crate) fn or_none(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or("<none>")
        .to_owned()
}

/// `a=1,b=2`, or `<none>`.
pub(crate) fn labels(map: Option<&Map<String, Value>>) -> String {
    let pairs: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

/// A `LabelSelector` as text.
pub(crate) fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else {
        return "<none>".to_owned();
    };
    let mut terms: Vec<String> = meta::string_map(selector, "/matchLabels")
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for expression in meta::list(selector, "/matchExpressions") {
        let key = meta::text(expression, "/key").unwrap_or_default();
        let values: Vec<&str> = meta::list(expression, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        terms.push(match meta::text(expression, "/operator") {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("Exists") => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    if terms.is_empty() {
        "<none>".to_owned()
    } else {
        terms.join(",")
    }
}

/// Names and images of the containers at that pointer.
pub(crate) fn containers(object: &Value, pointer: &str) -> (String, String) {
    let of = |field: &str| -> String {
        let all: Vec<&str> = meta::list(object, pointer)
            .iter()
            .filter_map(|container| meta::text(container, field))
            .collect();
        all.join(",")
    };
    (of("/name"), of("/image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, words) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (94_608_000, "3y"),
        ] {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
    }
}
