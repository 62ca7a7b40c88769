//! The rules of a pod's spec.

use std::collections::BTreeSet;

use serde_json::Value;

use super::metadata::label_fault;
use crate::apiserver::errors::{FieldError, FieldFault};
use crate::apiserver::meta;

/// Every fault of a pod's spec at `path`.
pub(crate) fn validate_spec(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let volumes = volumes(spec, path, &mut errors);
    let mut names = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        let containers = meta::list(spec, &format!("/{list}"));
        if containers.is_empty() && list == "containers" {
            errors.push(FieldError::required(format!("{path}.containers"), ""));
        }
        for (at, container) in containers.iter().enumerate() {
            let path = format!("{path}.{list}[{at}]");
            let name = meta::text(container, "/name").unwrap_or_default();
            if !names.insert(name.to_owned()) && !name.is_empty() {
                errors.push(FieldError::new(
                    format!("{path}.name"),
                    FieldFault::Duplicate,
                    name,
                    "",
                ));
            }
            validate_container(container, &path, &volumes, &mut errors);
        }
    }
    one_of(
        spec,
        "restartPolicy",
        &["Always", "OnFailure", "Never"],
        path,
        &mut errors,
    );
    one_of(
        spec,
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        path,
        &mut errors,
    );
    if let Some(seconds) =
        meta::int(spec, "/terminationGracePeriodSeconds").filter(|seconds| *seconds < 0)
    {
        errors.push(FieldError::invalid(
            format!("{path}.terminationGracePeriodSeconds"),
            seconds,
            "must be greater than or equal to 0",
        ));
    }
    if let Some(seconds) = meta::int(spec, "/activeDeadlineSeconds").filter(|seconds| *seconds < 1)
    {
        errors.push(FieldError::invalid(
            format!("{path}.activeDeadlineSeconds"),
            seconds,
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    if let Some(hostname) = meta::text(spec, "/hostname").filter(|h| !h.is_empty()) {
        errors.extend(label_fault(&format!("{path}.hostname"), hostname));
    }
    errors
}

fn one_of(spec: &Value, field: &str, values: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(value) =
        meta::text(spec, &format!("/{field}")).filter(|value| !values.contains(value))
    {
        errors.push(FieldError::not_supported(
            format!("{path}.{field}"),
            value,
            values,
        ));
    }
}

/// The names of the volumes.
fn volumes(spec: &Value, path: &str, errors: &mut Vec<FieldError>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, volume) in meta::list(spec, "/volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{at}]");
        let name = meta::text(volume, "/name").unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if let Some(fault) = label_fault(&format!("{path}.name"), name) {
            errors.push(fault);
        } else if !names.insert(name.to_owned()) {
            errors.push(FieldError::new(
                format!("{path}.name"),
                FieldFault::Duplicate,
                name,
                "",
            ));
        }
        let sources = volume
            .as_object()
            .map_or(0, |map| map.keys().filter(|field| *field != "name").count());
        if sources > 1 {
            errors.push(FieldError::forbidden(
                path.clone(),
                "may not specify more than 1 volume type",
            ));
        }
        if volume.get("hostPath").is_some()
            && meta::text(volume, "/hostPath/path").is_none_or(str::is_empty)
        {
            errors.push(FieldError::required(format!("{path}.hostPath.path"), ""));
        }
    }
    names
}

fn validate_container(
    container: &Value,
    path: &str,
    volumes: &BTreeSet<String>,
    errors: &mut Vec<FieldError>,
) {
    match meta::text(container, "/name").filter(|name| !name.is_empty()) {
        None => errors.push(FieldError::required(format!("{path}.name"), "")),
        Some(name) => errors.extend(label_fault(&format!("{path}.name"), name)),
    }
    match meta::text(container, "/image") {
        None | Some("") => errors.push(FieldError::required(format!("{path}.image"), "")),
        Some(image) if image.trim() != image => {
            errors.push(FieldError::invalid(
                format!("{path}.image"),
                image,
                "must not have leading or trailing whitespace",
            ));
        }
        Some(_) => {}
    }
    one_of(
        container,
        "imagePullPolicy",
        &["Always", "IfNotPresent", "Never"],
        path,
        errors,
    );
    one_of(
        container,
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
        path,
        errors,
    );
    for (at, port) in meta::list(container, "/ports").iter().enumerate() {
        check_port(
            meta::int(port, "/containerPort"),
            &format!("{path}.ports[{at}].containerPort"),
            errors,
        );
    }
    let mut paths = BTreeSet::new();
    for (at, mount) in meta::list(container, "/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{at}]");
        let name = meta::text(mount, "/name").unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::new(
                format!("{path}.name"),
                FieldFault::NotFound,
                name,
                "",
            ));
        }
        let at = meta::text(mount, "/mountPath").unwrap_or_default();
        if at.is_empty() {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        } else if !paths.insert(at.to_owned()) {
            errors.push(FieldError::invalid(
                format!("{path}.mountPath"),
                at,
                "must be unique",
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for (at, env) in meta::list(container, "/env").iter().enumerate() {
        let name = meta::text(env, "/name").unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.env[{at}].name"), ""));
        }
        seen.insert(name);
    }
}

/// A port is there and is a port.
pub(crate) fn check_port(port: Option<i64>, path: &str, errors: &mut Vec<FieldError>) {
    match port {
        None | Some(0) => errors.push(FieldError::required(path, "")),
        Some(1..=65535) => {}
        Some(port) => errors.push(FieldError::invalid(
            path,
            port,
            "must be between 1 and 65535, inclusive",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(spec: &Value) -> Vec<String> {
        validate_spec(spec, "spec")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn containers_need_name_and_image() {
        assert_eq!(faults(&json!({})), ["spec.containers: Required value"]);
        assert_eq!(
            faults(&json!({"containers": [{}]})),
            [
                "spec.containers[0].name: Required value",
                "spec.containers[0].image: Required value"
            ]
        );
    }

    #[test]
    fn mounts_name_their_volumes() {
        let spec = json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": "/a"}]}],
                          "volumes": [{"name": "w"}, {"name": "w"}], "restartPolicy": "Sometimes"});
        assert_eq!(
            faults(&spec),
            [
                "spec.volumes[1].name: Duplicate value: \"w\"",
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ]
        );
    }
}
