//! What may not change once an object is there.

use serde_json::Value;

use crate::apiserver::errors::FieldError;
use crate::apiserver::meta;
use crate::apiserver::resource::ResourceDef;

const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const CLAIM: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const FIELD: &str = "field is immutable";

/// Every change that is not allowed.
pub(crate) fn check(def: &ResourceDef, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match &*def.key {
        "pods" => pod(old, new, &mut errors),
        "jobs.batch" => {
            for field in [
                "selector",
                "template",
                "completionMode",
                "podFailurePolicy",
                "manualSelector",
                "backoffLimitPerIndex",
                "managedBy",
            ] {
                fixed(old, new, &format!("/spec/{field}"), &mut errors);
            }
            // The template of a job that is suspended and never ran may change.
            let suspended = old.pointer("/spec/suspend") == Some(&Value::Bool(true))
                && old.pointer("/status/startTime").is_none();
            if suspended {
                errors.retain(|error| error.field != "spec.template");
            }
            if meta::text(new, "/spec/completionMode") != Some("Indexed") {
                fixed(old, new, "/spec/completions", &mut errors);
            }
        }
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => {
            fixed(old, new, "/spec/selector", &mut errors)
        }
        "statefulsets.apps" => stateful_set(old, new, &mut errors),
        "configmaps" | "secrets" => data(old, new, &mut errors),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
            if old.get("roleRef") != new.get("roleRef") =>
        {
            let role = new.get("roleRef").cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(
                "roleRef",
                role,
                "cannot change roleRef",
            ));
        }
        "persistentvolumeclaims" => claim(old, new, &mut errors),
        "persistentvolumes"
            if source(old) != source(new)
                || old.pointer("/spec/nodeAffinity") != new.pointer("/spec/nodeAffinity")
                    && old.pointer("/spec/nodeAffinity").is_some() =>
        {
            let detail = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
        }
        "services" => {
            let ip = meta::text(new, "/spec/clusterIP");
            if meta::text(old, "/spec/clusterIP") != ip
                && meta::text(new, "/spec/type") != Some("ExternalName")
            {
                errors.push(FieldError::invalid(
                    "spec.clusterIPs[0]",
                    ip.unwrap_or_default(),
                    "may not change once set",
                ));
            }
        }
        "nodes" => {
            let provider = meta::text(old, "/spec/providerID").unwrap_or_default();
            if !provider.is_empty() && meta::text(new, "/spec/providerID") != Some(provider) {
                errors.push(FieldError::forbidden(
                    "spec.providerID",
                    "node updates may not change providerID except from \"\" to valid",
                ));
            }
        }
        _ => {}
    }
    errors
}

fn fixed(old: &Value, new: &Value, pointer: &str, errors: &mut Vec<FieldError>) {
    if old.pointer(pointer) != new.pointer(pointer) {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        errors.push(FieldError::invalid(
            field,
            new.pointer(pointer).cloned().unwrap_or(Value::Null),
            FIELD,
        ));
    }
}

fn pod(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    for list in ["containers", "initContainers"] {
        let count = |pod: &Value| meta::list(pod, &format!("/spec/{list}")).len();
        if count(old) != count(new) {
            errors.push(FieldError::forbidden(
                format!("spec.{list}"),
                "pod updates may not add or remove containers",
            ));
            return;
        }
    }
    let (old_tolerations, new_tolerations) = (
        meta::list(old, "/spec/tolerations"),
        meta::list(new, "/spec/tolerations"),
    );
    // Only the seconds of an existing toleration may change.
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Value::Object(map) = &mut toleration {
            map.remove("tolerationSeconds");
        }
        toleration
    };
    if !old_tolerations.iter().all(|old| {
        new_tolerations
            .iter()
            .any(|new| timeless(new) == timeless(old))
    }) {
        errors.push(FieldError::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
        return;
    }
    if comparable(old) != comparable(new) {
        errors.push(FieldError::forbidden("spec", POD));
    }
}

/// A pod's spec without what may change.
fn comparable(pod: &Value) -> Value {
    let gated = !meta::list(pod, "/spec/schedulingGates").is_empty();
    let mut spec = pod.get("spec").cloned().unwrap_or(Value::Null);
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Value::Object(map) = container {
                map.remove("image");
            }
        }
    }
    if let Value::Object(map) = &mut spec {
        for field in ["tolerations", "activeDeadlineSeconds", "schedulingGates"] {
            map.remove(field);
        }
        if gated {
            map.remove("nodeSelector");
        }
        if map
            .get("terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
            .is_some_and(|seconds| seconds < 0)
        {
            map.insert("terminationGracePeriodSeconds".into(), 1.into());
        }
    }
    spec
}

fn stateful_set(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    const MUTABLE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = object
            .get("spec")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        spec.retain(|field, _| !MUTABLE.contains(&field.as_str()));
        spec
    };
    if fixed(old) != fixed(new) {
        errors.push(FieldError::forbidden("spec", STATEFUL_SET));
    }
}

/// A claim is what it is, save that one that is not bound yet may be given its volume, and one
/// that is may ask for more.
fn claim(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |claim: &Value| {
        let mut spec = claim
            .get("spec")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if meta::text(old, "/spec/volumeName").is_none_or(str::is_empty) {
            spec.remove("volumeName");
        }
        spec.remove("resources");
        spec.remove("volumeAttributesClassName");
        spec
    };
    if fixed(old) != fixed(new) {
        errors.push(FieldError::forbidden("spec", CLAIM));
    }
}

/// Where a volume's data is.
fn source(volume: &Value) -> [Option<&Value>; 4] {
    ["csi", "local", "hostPath", "nfs"].map(|kind| volume.pointer(&format!("/spec/{kind}")))
}

fn data(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old.get("type").is_some_and(|kind| !kind.is_null()) && old.get("type") != new.get("type") {
        errors.push(FieldError::invalid(
            "type",
            new.get("type").cloned().unwrap_or(Value::Null),
            FIELD,
        ));
    }
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    if new.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    for field in ["data", "binaryData"] {
        if old.get(field) != new.get(field) {
            errors.push(FieldError::forbidden(
                field,
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_pods_image_and_deadline_and_tolerations_change() {
        let def = ResourceDef::for_tests("", "v1", "pods", "Pod");
        let pod = |image: &str, node: &str, tolerations: Value| json!({"spec": {"containers": [{"name": "c", "image": image}], "nodeName": node, "tolerations": tolerations}});
        let old = pod("a", "n", json!([{"key": "k", "tolerationSeconds": 1}]));
        let fine = pod(
            "b",
            "n",
            json!([{"key": "k", "tolerationSeconds": 2}, {"key": "l"}]),
        );
        assert!(check(&def, &old, &fine).is_empty());
        let moved = pod("a", "m", json!([{"key": "k", "tolerationSeconds": 1}]));
        assert!(
            check(&def, &old, &moved)[0]
                .to_string()
                .starts_with("spec: Forbidden: pod updates may not change fields other than")
        );
        assert_eq!(check(&def, &old, &pod("a", "n", json!([]))).len(), 1);
    }
}
