//! What an object must satisfy beyond its types: names and labels, and the rules of the kinds
//! a migration deals with. Wording follows the real validation.

mod immutable;
mod metadata;
mod pod;
mod workloads;

use serde_json::Value;

use super::errors::FieldError;
use super::resource::ResourceDef;
use super::schema::validate as by_schema;
use super::{crd, meta};

/// Every fault of a new object.
pub(crate) fn on_create(def: &ResourceDef, object: &Value) -> Vec<FieldError> {
    let mut errors = metadata::validate(def, object);
    errors.extend(values(def, object, None));
    errors
}

/// Every fault of an object that changes. `subresource` is empty for the main endpoint.
pub(crate) fn on_update(
    def: &ResourceDef,
    old: &Value,
    new: &Value,
    subresource: &str,
) -> Vec<FieldError> {
    let mut errors = metadata::validate_update(def, old, new);
    if def.custom.is_some() || subresource.is_empty() {
        errors.extend(values(def, new, Some(old)));
    }
    if subresource.is_empty() {
        errors.extend(immutable::check(def, old, new));
    }
    errors
}

fn values(def: &ResourceDef, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if let Some(custom) = &def.custom {
        let errors = by_schema::validate(&custom.schema, object, "");
        // Rules may rely on the types, so they come only after them.
        return if errors.is_empty() {
            custom.rules.check(&custom.schema, object, old)
        } else {
            errors
        };
    }
    match &*def.key {
        "pods" => pod::validate_spec(object.get("spec").unwrap_or(&Value::Null), "spec"),
        "jobs.batch" => job(object),
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps" => {
            workloads::validate(def, object)
        }
        crd::CRDS => crd::validate(object),
        "services" => service(object),
        "persistentvolumeclaims" => claim(object),
        "leases.coordination.k8s.io" => lease(object),
        _ => Vec::new(),
    }
}

fn job(object: &Value) -> Vec<FieldError> {
    let spec = object
        .pointer("/spec/template/spec")
        .unwrap_or(&Value::Null);
    let mut errors = pod::validate_spec(spec, "spec.template.spec");
    if matches!(meta::text(spec, "/restartPolicy"), Some("Always") | None) {
        errors.push(FieldError::required(
            "spec.template.spec.restartPolicy",
            "valid values: \"OnFailure\", \"Never\"",
        ));
    }
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        if let Some(value) = meta::int(object, &format!("/spec/{field}")).filter(|value| *value < 0)
        {
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                value,
                "must be greater than or equal to 0",
            ));
        }
    }
    errors
}

fn service(object: &Value) -> Vec<FieldError> {
    let headless = matches!(meta::text(object, "/spec/clusterIP"), Some("None"));
    let external = meta::text(object, "/spec/type") == Some("ExternalName");
    let mut errors = Vec::new();
    let ports = meta::list(object, "/spec/ports");
    if ports.is_empty() && !headless && !external {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        pod::check_port(
            meta::int(port, "/port"),
            &format!("spec.ports[{at}].port"),
            &mut errors,
        );
        if ports.len() > 1 && meta::text(port, "/name").is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("spec.ports[{at}].name"), ""));
        }
    }
    errors
}

fn claim(object: &Value) -> Vec<FieldError> {
    const MODES: &[&str] = &[
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    let mut errors = Vec::new();
    let modes = meta::list(object, "/spec/accessModes");
    if modes.is_empty() {
        let detail = "at least 1 access mode is required";
        errors.push(FieldError::required("spec.accessModes", detail));
    }
    for mode in modes.iter().filter_map(Value::as_str) {
        if !MODES.contains(&mode) {
            errors.push(FieldError::not_supported("spec.accessModes", mode, MODES));
        }
    }
    let alone = modes.iter().any(|mode| mode == "ReadWriteOncePod");
    if alone && modes.len() > 1 {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden("spec.accessModes", detail));
    }
    if meta::text(object, "/spec/resources/requests/storage").is_none() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    errors
}

fn lease(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(seconds) =
        meta::int(object, "/spec/leaseDurationSeconds").filter(|seconds| *seconds <= 0)
    {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(count) = meta::int(object, "/spec/leaseTransitions").filter(|count| *count < 0) {
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            count,
            "must be greater than or equal to 0",
        ));
    }
    errors
}
