//! Label and field selectors: reading them and asking whether an object matches.

use std::collections::BTreeMap;

use serde_json::Value;

use super::errors::{ApiError, ApiResult};
use super::meta;
use super::resource::ResourceDef;

/// Both selectors of a request; matches everything when empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    GreaterThan(i64),
    LessThan(i64),
}

#[derive(Debug, Clone)]
struct FieldTerm {
    pointer: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 for a selector that cannot be read or a field that the resource does not offer.
    pub(crate) fn parse(
        def: &ResourceDef,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> ApiResult<Self> {
        Ok(Self {
            labels: parse_labels(labels.unwrap_or_default())?,
            fields: parse_fields(def, fields.unwrap_or_default())?,
        })
    }

    /// A `metav1.LabelSelector` object; one that is empty matches everything.
    pub(crate) fn from_label_selector(selector: &Value) -> Self {
        let mut labels: Vec<Requirement> = meta::string_map(selector, "/matchLabels")
            .into_iter()
            .map(|(key, value)| Requirement {
                key,
                operator: Operator::In(vec![value]),
            })
            .collect();
        for expression in meta::list(selector, "/matchExpressions") {
            let key = meta::text(expression, "/key")
                .unwrap_or_default()
                .to_owned();
            let values = meta::list(expression, "/values")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let operator = match meta::text(expression, "/operator").unwrap_or_default() {
                "In" => Operator::In(values),
                "NotIn" => Operator::NotIn(values),
                "Exists" => Operator::Exists,
                _ => Operator::Absent,
            };
            labels.push(Requirement { key, operator });
        }
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        if self.is_everything() {
            return true;
        }
        let labels = meta::string_map(object, "/metadata/labels");
        self.labels
            .iter()
            .all(|requirement| requirement.matches(&labels))
            && self.fields.iter().all(|term| term.matches(object))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::Absent => value.is_none(),
            Operator::GreaterThan(limit) => number(value).is_some_and(|v| v > *limit),
            Operator::LessThan(limit) => number(value).is_some_and(|v| v < *limit),
        }
    }
}

fn number(value: Option<&String>) -> Option<i64> {
    value?.parse().ok()
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let found = object.pointer(&self.pointer);
        let found = match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

/// Splits at commas that are not inside parentheses.
fn split_terms(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, letter) in selector.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn parse_labels(selector: &str) -> ApiResult<Vec<Requirement>> {
    split_terms(selector)
        .into_iter()
        .map(parse_label_term)
        .collect()
}

fn parse_label_term(term: &str) -> ApiResult<Requirement> {
    let unreadable =
        || ApiError::bad_request(format!("unable to parse requirement: found '{term}'"));
    if let Some((key, value)) = term.split_once("!=") {
        return requirement(key, Operator::NotIn(vec![value.trim().to_owned()]))
            .ok_or_else(unreadable);
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return requirement(key, Operator::In(vec![value.trim().to_owned()]))
            .ok_or_else(unreadable);
    }
    if let Some((key, value)) = term.split_once('>') {
        let limit = value.trim().parse().map_err(|_| unreadable())?;
        return requirement(key, Operator::GreaterThan(limit)).ok_or_else(unreadable);
    }
    if let Some((key, value)) = term.split_once('<') {
        let limit = value.trim().parse().map_err(|_| unreadable())?;
        return requirement(key, Operator::LessThan(limit)).ok_or_else(unreadable);
    }
    if let Some((head, values)) = term.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(unreadable)?;
        let values = values.split(',').map(|v| v.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        let key = words.next().ok_or_else(unreadable)?;
        let operator = match words.next() {
            Some("in") => Operator::In(values),
            Some("notin") => Operator::NotIn(values),
            _ => return Err(unreadable()),
        };
        return requirement(key, operator).ok_or_else(unreadable);
    }
    let found = match term.strip_prefix('!') {
        Some(key) => requirement(key, Operator::Absent),
        None => requirement(term, Operator::Exists),
    };
    found.ok_or_else(unreadable)
}

fn requirement(key: &str, operator: Operator) -> Option<Requirement> {
    let key = key.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!key.is_empty() && key.chars().all(legal)).then(|| Requirement {
        key: key.to_owned(),
        operator,
    })
}

fn parse_fields(def: &ResourceDef, selector: &str) -> ApiResult<Vec<FieldTerm>> {
    split_terms(selector)
        .into_iter()
        .map(|term| parse_field_term(def, term))
        .collect()
}

fn parse_field_term(def: &ResourceDef, term: &str) -> ApiResult<FieldTerm> {
    let (field, value, equal) = term
        .split_once("!=")
        .map(|(f, v)| (f, v, false))
        .or_else(|| term.split_once("==").map(|(f, v)| (f, v, true)))
        .or_else(|| term.split_once('=').map(|(f, v)| (f, v, true)))
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "invalid selector: '{term}'; can't understand '{term}'"
            ))
        })?;
    let field = core_name(def, field);
    if !is_selectable(def, &field) {
        return Err(ApiError::bad_request(format!(
            "field label not supported: {field}"
        )));
    }
    Ok(FieldTerm {
        pointer: format!("/{}", field.replace('.', "/")),
        value: value.to_owned(),
        equal,
    })
}

/// Events are kept in their core form, whatever form they are asked for in.
fn core_name(def: &ResourceDef, field: &str) -> String {
    if def.group != "events.k8s.io" {
        return field.to_owned();
    }
    match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}"),
        None if field == "reportingController" => "reportingComponent".to_owned(),
        None => field.to_owned(),
    }
}

/// The fields that each resource's registry lists for selectors.
fn is_selectable(def: &ResourceDef, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    if let Some(custom) = &def.custom {
        return custom
            .selectable
            .iter()
            .any(|path| path.trim_start_matches('.') == field);
    }
    let fields: &[&str] = match &*def.key {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "jobs.batch" => &["status.successful"],
        "replicasets.apps" | "replicationcontrollers" => &["status.replicas"],
        _ => &[],
    };
    fields.contains(&field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(labels: &str, fields: &str) -> bool {
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        let pod = json!({
            "metadata": {"name": "a", "namespace": "n", "labels": {"app": "x", "tier": "back", "rank": "7"}},
            "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"},
        });
        Selector::parse(&def, Some(labels), Some(fields))
            .expect("readable")
            .matches(&pod)
    }

    #[test]
    fn labels_by_equality_and_by_set() {
        for yes in [
            "",
            "app=x",
            "app==x",
            "app!=y",
            "app in (x, y),tier notin (front)",
            "app,!gone",
            "gone!=x",
            "rank>6",
        ] {
            assert!(matches(yes, ""), "{yes}");
        }
        for no in [
            "app=y",
            "app!=x",
            "app notin (x)",
            "gone",
            "!app",
            "gone in (a)",
            "rank<7",
            "app=",
        ] {
            assert!(!matches(no, ""), "{no}");
        }
    }

    #[test]
    fn fields_that_the_resource_offers() {
        assert!(matches(
            "",
            "metadata.name=a,spec.nodeName=node-a,status.phase!=Failed"
        ));
        assert!(!matches("", "status.phase=Pending"));
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        let error = Selector::parse(&def, None, Some("spec.image=x")).expect_err("not offered");
        assert_eq!(error.message, "field label not supported: spec.image");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        for wrong in ["a in (b", "a b", "=x", "a is (b)"] {
            assert!(Selector::parse(&def, Some(wrong), None).is_err(), "{wrong}");
        }
    }
}
