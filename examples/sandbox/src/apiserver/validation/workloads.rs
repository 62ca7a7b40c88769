//! The rules of the workloads that keep pods running: Deployments, ReplicaSets, StatefulSets and
//! DaemonSets.

use serde_json::{Value, json};

use super::pod;
use crate::apiserver::errors::FieldError;
use crate::apiserver::meta;
use crate::apiserver::resource::ResourceDef;
use crate::apiserver::selectors::Selector;

const NEGATIVE: &str = "must be greater than or equal to 0";

/// Every fault of such an object's spec.
pub(super) fn validate(def: &ResourceDef, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    selector(def, object, &mut errors);
    for field in [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "ordinals.start",
    ] {
        not_negative(object, &format!("spec.{field}"), &mut errors);
    }
    template(def, object, &mut errors);
    match &*def.key {
        "statefulsets.apps" => stateful_set(object, &mut errors),
        "deployments.apps" => deployment(object, &mut errors),
        _ => {}
    }
    errors
}

fn not_negative(object: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let pointer = format!("/{}", field.replace('.', "/"));
    if let Some(value) = meta::int(object, &pointer).filter(|value| *value < 0) {
        errors.push(FieldError::invalid(field, value, NEGATIVE));
    }
}

fn selector(def: &ResourceDef, object: &Value, errors: &mut Vec<FieldError>) {
    let Some(selector) = object
        .pointer("/spec/selector")
        .filter(|one| !one.is_null())
    else {
        errors.push(FieldError::required("spec.selector", ""));
        return;
    };
    let empty = |part: &str| match selector.get(part) {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => true,
    };
    if empty("matchLabels") && empty("matchExpressions") {
        let kind = def.kind.to_lowercase();
        let detail = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(
            "spec.selector",
            selector.clone(),
            detail,
        ));
    }
    let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
    if !Selector::from_label_selector(selector).matches(template) {
        let labels = template.pointer("/metadata/labels");
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels.cloned().unwrap_or(Value::Null),
            "`selector` does not match template `labels`",
        ));
    }
}

fn template(def: &ResourceDef, object: &Value, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.template.spec";
    let spec = object
        .pointer("/spec/template/spec")
        .unwrap_or(&Value::Null);
    errors.extend(pod::validate_spec(&with_claims(spec, object), PATH));
    let policy = meta::text(spec, "/restartPolicy").unwrap_or("Always");
    if matches!(policy, "Never" | "OnFailure") {
        let field = format!("{PATH}.restartPolicy");
        errors.push(FieldError::not_supported(field, policy, &["Always"]));
    }
    if spec
        .get("activeDeadlineSeconds")
        .is_some_and(|value| !value.is_null())
    {
        let kind = if def.is("deployments.apps") {
            "ReplicaSet"
        } else {
            &def.kind
        };
        errors.push(FieldError::forbidden(
            format!("{PATH}.activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {kind} is not Supported"),
        ));
    }
}

/// The pods of a StatefulSet have volumes that their template has not: those of its claims.
fn with_claims(spec: &Value, object: &Value) -> Value {
    let mut spec = spec.clone();
    for claim in meta::list(object, "/spec/volumeClaimTemplates") {
        let Some(name) = meta::text(claim, "/metadata/name") else {
            continue;
        };
        let volume = json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
        match spec.get_mut("volumes").and_then(Value::as_array_mut) {
            Some(volumes) => {
                // Of one name the claim counts.
                volumes.retain(|volume| volume["name"] != name);
                volumes.push(volume);
            }
            None => spec["volumes"] = json!([volume]),
        }
    }
    spec
}

fn stateful_set(object: &Value, errors: &mut Vec<FieldError>) {
    let text = |pointer: &str| meta::text(object, pointer).unwrap_or_default().to_owned();
    let policy = text("/spec/podManagementPolicy");
    if !matches!(policy.as_str(), "OrderedReady" | "Parallel") {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid(
            "spec.podManagementPolicy",
            policy,
            detail,
        ));
    }
    let strategy = text("/spec/updateStrategy/type");
    let rolling = object.pointer("/spec/updateStrategy/rollingUpdate");
    match strategy.as_str() {
        "RollingUpdate" => {
            let field = "spec.updateStrategy.rollingUpdate.partition";
            not_negative(object, field, errors);
        }
        "OnDelete" => {
            if let Some(rolling) = rolling.filter(|rolling| !rolling.is_null()) {
                errors.push(FieldError::invalid(
                    "spec.updateStrategy.rollingUpdate",
                    rolling.clone(),
                    "only allowed for updateStrategy 'RollingUpdate'",
                ));
            }
        }
        _ => errors.push(FieldError::invalid(
            "spec.updateStrategy",
            object
                .pointer("/spec/updateStrategy")
                .cloned()
                .unwrap_or(Value::Null),
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    for field in ["whenDeleted", "whenScaled"] {
        let policy = text(&format!(
            "/spec/persistentVolumeClaimRetentionPolicy/{field}"
        ));
        if !matches!(policy.as_str(), "Delete" | "Retain") {
            let field = format!("spec.persistentVolumeClaimRetentionPolicy.{field}");
            errors.push(FieldError::not_supported(
                field,
                policy,
                &["Delete", "Retain"],
            ));
        }
    }
}

fn deployment(object: &Value, errors: &mut Vec<FieldError>) {
    let rolling = object.pointer("/spec/strategy/rollingUpdate");
    let rolling = rolling.filter(|rolling| !rolling.is_null());
    match meta::text(object, "/spec/strategy/type").unwrap_or_default() {
        "Recreate" if rolling.is_some() => errors.push(FieldError::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" => {}
        "RollingUpdate" => {
            let is_zero = |field: &str| {
                let value = rolling.and_then(|rolling| rolling.get(field));
                value.is_some_and(|value| *value == 0 || *value == "0%")
            };
            if is_zero("maxSurge") && is_zero("maxUnavailable") {
                errors.push(FieldError::invalid(
                    "spec.strategy.rollingUpdate.maxUnavailable",
                    0,
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
        }
        other => errors.push(FieldError::not_supported(
            "spec.strategy.type",
            other,
            &["Recreate", "RollingUpdate"],
        )),
    }
    if let Some(deadline) = meta::int(object, "/spec/progressDeadlineSeconds") {
        not_negative(object, "spec.progressDeadlineSeconds", errors);
        if deadline <= meta::int(object, "/spec/minReadySeconds").unwrap_or(0) {
            errors.push(FieldError::invalid(
                "spec.progressDeadlineSeconds",
                deadline,
                "must be greater than minReadySeconds",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(plural: &str, kind: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut object = json!({ "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        } });
        let def = ResourceDef::for_tests("apps", "v1", plural, kind);
        crate::apiserver::defaults::on_update(&def, &Value::Null, &mut object);
        change(&mut object);
        let faults = validate(&def, &object);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_set_with_defaults_is_valid_and_nonsense_is_not() {
        let of_set = |change: fn(&mut Value)| faults("statefulsets", "StatefulSet", change);
        assert!(of_set(|_| ()).is_empty());
        let claimed = of_set(|set| {
            set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" } }]);
            set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
                json!([{ "name": "data", "mountPath": "/data" }]);
        });
        assert!(claimed.is_empty(), "a claim is a volume: {claimed:?}");
        let one = of_set(|set| set["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"));
        assert_eq!(
            one,
            [
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""
            ]
        );
        let many = of_set(|set| {
            set["spec"]["selector"] = json!({});
            set["spec"]["replicas"] = json!(-1);
            set["spec"]["ordinals"] = json!({ "start": -1 });
            set["spec"]["podManagementPolicy"] = json!("Any");
            set["spec"]["updateStrategy"]["type"] = json!("OnDelete");
            set["spec"]["persistentVolumeClaimRetentionPolicy"] =
                json!({ "whenDeleted": "Keep", "whenScaled": "Retain" });
        });
        assert_eq!(many.len(), 6, "{many:#?}");
    }

    #[test]
    fn a_rollout_needs_room() {
        let of = |change: fn(&mut Value)| faults("deployments", "Deployment", change);
        assert!(of(|_| ()).is_empty());
        let stuck = of(|deployment| {
            deployment["spec"]["strategy"]["rollingUpdate"] =
                json!({ "maxSurge": 0, "maxUnavailable": "0%" });
        });
        assert_eq!(stuck.len(), 1, "{stuck:#?}");
        let both = of(|deployment| deployment["spec"]["strategy"]["type"] = json!("Recreate"));
        assert!(
            both[0].contains("may not be specified when strategy"),
            "{both:#?}"
        );
    }
}
