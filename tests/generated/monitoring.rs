//! The examples of alerts and of a dashboard ask for metrics that the controller has. Whether the
//! numbers in them fit is for people to say.

use std::collections::BTreeSet;
use std::path::Path;

use ms2m::controller::METRICS;
use regex::Regex;
use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring");
    std::fs::read_to_string(path.join(name)).expect("it can be read")
}

/// All expressions in a document, wherever they stand.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// The metrics that expressions name, histograms by their own name.
fn named(expressions: &[String]) -> BTreeSet<String> {
    let word = Regex::new("ms2m_[a-z_]+").expect("a pattern");
    let words = expressions.iter().flat_map(|it| word.find_iter(it));
    let base = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| name.strip_suffix(part));
        base.filter(|it| METRICS.contains(it))
            .unwrap_or(name)
            .to_owned()
    };
    words.map(|found| base(found.as_str())).collect()
}

fn check(document: &Value) -> BTreeSet<String> {
    let mut found = Vec::new();
    expressions(document, &mut found);
    assert!(found.len() > 5, "{found:?}");
    let named = named(&found);
    for name in &named {
        assert!(
            METRICS.contains(&name.as_str()),
            "there is no metric {name}"
        );
    }
    named
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let alerts: Value = serde_yaml::from_str(&read("alerts.yaml")).expect("YAML");
    check(&alerts);
    let rules = alerts["groups"][0]["rules"].as_array().expect("rules");
    for rule in rules {
        assert!(rule["alert"].is_string(), "{rule}");
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{rule}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let shown = check(&dashboard);
    for name in METRICS {
        assert!(shown.contains(name), "{name} is nowhere on it");
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|it| it["id"].to_string()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
}
