//! Tables: how the server prints objects for `kubectl get`. Here the form of a table and which
//! columns a resource has; in the submodules what stands in them.

pub(crate) mod columns;
mod human;
mod json_path;
mod pod;
mod rows;
mod workloads;

use std::sync::Arc;

use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::request::Query;
use super::resource::ResourceDef;
use super::{handlers, meta};
use columns::Column;

/// The form in which a client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Whole,
    /// As a table.
    Table,
    /// Their metadata only.
    Metadata,
}

/// The first form of the `Accept` header that is known.
pub(crate) fn form(headers: &HeaderMap) -> Form {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let parameters: Vec<&str> = parts.collect();
        if parameters.contains(&"as=Table") {
            return Form::Table;
        }
        if parameters
            .iter()
            .any(|p| p.starts_with("as=PartialObjectMetadata"))
        {
            return Form::Metadata;
        }
        if kind == "application/json" && !parameters.iter().any(|p| p.starts_with("as=")) {
            return Form::Whole;
        }
    }
    Form::Whole
}

/// An object's metadata alone.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or(json!({})),
    })
}

/// The table of some objects.
pub(crate) fn of(def: &ResourceDef, objects: &[Arc<Value>], query: &Query, version: u64) -> Value {
    let columns = columns::of(def);
    let include = query.get("includeObject").unwrap_or("Metadata");
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells(def, object)});
            match include {
                "None" => {}
                "Object" => row["object"] = handlers::outward(def, object),
                _ => row["object"] = partial(object),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version.to_string()},
        "columnDefinitions": columns.iter().map(Column::definition).collect::<Vec<_>>(), "rows": rows,
    })
}

fn cells(def: &ResourceDef, object: &Value) -> Vec<Value> {
    if let Some(custom) = &def.custom {
        let mut cells = vec![meta::name(object).into()];
        if custom.columns.is_empty() {
            cells.push(human::age(object, "/metadata/creationTimestamp").into());
        }
        cells.extend(custom.columns.iter().map(|column| column.cell(object)));
        return cells;
    }
    match &*def.key {
        "pods" => pod::cells(object),
        "deployments.apps"
        | "replicasets.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "jobs.batch"
        | "cronjobs.batch"
        | "replicationcontrollers" => workloads::cells(&def.key, object),
        key => rows::cells(key, object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_asks_for_a_table() {
        let accept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().expect("a header"));
            form(&headers)
        };
        assert_eq!(
            accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Form::Table
        );
        assert_eq!(accept("application/json"), Form::Whole);
        assert_eq!(
            accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Form::Metadata
        );
        assert_eq!(accept("*/*"), Form::Whole);
    }

    #[test]
    fn cells_fit_their_columns() {
        let query = Query::default();
        for def in crate::apiserver::builtin::resources() {
            let object = Arc::new(json!({"metadata": {"name": "x"}}));
            let table = of(&def, &[object], &query, 1);
            let columns = table["columnDefinitions"].as_array().expect("a list").len();
            assert_eq!(
                table["rows"][0]["cells"].as_array().expect("a list").len(),
                columns,
                "{}",
                def.key
            );
        }
    }
}
