//! Pod Security admission: the levels `baseline` and `restricted` of
//! `pod-security.kubernetes.io/enforce`, for what a migration meets. Wording follows
//! `k8s.io/pod-security-admission/policy`.

use serde_json::Value;

use super::errors::{ApiError, ApiResult};
use super::handlers::Call;
use super::meta;

const ENFORCE: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";

/// Refuses a pod that its namespace's level does not allow.
///
/// # Errors
/// 403 naming every violation.
pub(crate) fn check(call: &Call, pod: &Value) -> ApiResult<()> {
    let Some(namespace) = call.server.store.get("namespaces", "", call.namespace()) else {
        return Ok(());
    };
    let level = meta::text(&namespace, ENFORCE).unwrap_or("privileged");
    let violations = violations(level, pod);
    if violations.is_empty() {
        return Ok(());
    }
    let version = meta::text(&namespace, &format!("{ENFORCE}-version")).unwrap_or("latest");
    let why = format!(
        "violates PodSecurity \"{level}:{version}\": {}",
        violations.join(", ")
    );
    Err(ApiError::forbidden(&call.def, meta::name(pod), why))
}

/// What a pod does that a level forbids.
fn violations(level: &str, pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match level {
        "baseline" => {
            baseline(pod, &mut found);
            host_paths(pod, &mut found);
        }
        "restricted" => {
            baseline(pod, &mut found);
            restricted_volumes(pod, &mut found);
            restricted(pod, &mut found);
        }
        _ => {}
    }
    found
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    [
        "/spec/initContainers",
        "/spec/containers",
        "/spec/ephemeralContainers",
    ]
    .into_iter()
    .flat_map(|list| meta::list(pod, list))
}

/// The containers of which something holds, as the messages list them.
fn which(pod: &Value, holds: impl Fn(&Value) -> bool) -> Vec<String> {
    containers(pod)
        .filter(|c| holds(c))
        .map(|c| format!("{:?}", meta::text(c, "/name").unwrap_or_default()))
        .collect()
}

fn of_containers(names: &[String]) -> String {
    let noun = if names.len() == 1 {
        "container"
    } else {
        "containers"
    };
    format!("{noun} {}", names.join(", "))
}

fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

fn baseline(pod: &Value, found: &mut Vec<String>) {
    const CAPABILITIES: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let host: Vec<&str> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| is_true(pod, &format!("/spec/{field}")))
        .collect();
    if !host.is_empty() {
        let words: Vec<String> = host.iter().map(|field| format!("{field}=true")).collect();
        found.push(format!("host namespaces ({})", words.join(", ")));
    }
    let privileged = which(pod, |c| is_true(c, "/securityContext/privileged"));
    if !privileged.is_empty() {
        found.push(format!(
            "privileged ({} must not set securityContext.privileged=true)",
            of_containers(&privileged)
        ));
    }
    let added = which(pod, |c| {
        meta::list(c, "/securityContext/capabilities/add")
            .iter()
            .any(|capability| !CAPABILITIES.contains(&capability.as_str().unwrap_or_default()))
    });
    if !added.is_empty() {
        found.push(format!(
            "non-default capabilities ({} must not include capabilities other than the default set in securityContext.capabilities.add)",
            of_containers(&added)
        ));
    }
    let ports = which(pod, |c| {
        meta::list(c, "/ports")
            .iter()
            .any(|port| meta::int(port, "/hostPort").unwrap_or(0) != 0)
    });
    if !ports.is_empty() {
        found.push(format!(
            "hostPort ({} uses hostPort)",
            of_containers(&ports)
        ));
    }
}

fn host_paths(pod: &Value, found: &mut Vec<String>) {
    let volumes: Vec<String> = meta::list(pod, "/spec/volumes")
        .iter()
        .filter(|volume| volume.get("hostPath").is_some_and(|h| !h.is_null()))
        .map(|volume| format!("{:?}", meta::text(volume, "/name").unwrap_or_default()))
        .collect();
    if !volumes.is_empty() {
        let noun = if volumes.len() == 1 {
            "volume"
        } else {
            "volumes"
        };
        found.push(format!("hostPath volumes ({noun} {})", volumes.join(", ")));
    }
}

fn restricted_volumes(pod: &Value, found: &mut Vec<String>) {
    const ALLOWED: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
    ];
    let words: Vec<String> = meta::list(pod, "/spec/volumes")
        .iter()
        .filter_map(|volume| {
            let kind = volume
                .as_object()?
                .keys()
                .find(|field| *field != "name" && !ALLOWED.contains(&field.as_str()))?;
            Some(format!(
                "volume {:?} uses restricted volume type {kind:?}",
                meta::text(volume, "/name").unwrap_or_default()
            ))
        })
        .collect();
    if !words.is_empty() {
        found.push(format!("restricted volume types ({})", words.join(", ")));
    }
}

fn restricted(pod: &Value, found: &mut Vec<String>) {
    let escalating = which(pod, |c| {
        c.pointer("/securityContext/allowPrivilegeEscalation") != Some(&Value::Bool(false))
    });
    if !escalating.is_empty() {
        found.push(format!(
            "allowPrivilegeEscalation != false ({} must set securityContext.allowPrivilegeEscalation=false)",
            of_containers(&escalating)
        ));
    }
    let capable = which(pod, |c| {
        !meta::list(c, "/securityContext/capabilities/drop")
            .iter()
            .any(|capability| capability == "ALL")
    });
    if !capable.is_empty() {
        found.push(format!(
            "unrestricted capabilities ({} must set securityContext.capabilities.drop=[\"ALL\"])",
            of_containers(&capable)
        ));
    }
    let pod_non_root = is_true(pod, "/spec/securityContext/runAsNonRoot");
    let root = which(pod, |c| {
        match c
            .pointer("/securityContext/runAsNonRoot")
            .and_then(Value::as_bool)
        {
            Some(non_root) => !non_root,
            None => !pod_non_root,
        }
    });
    if !root.is_empty() {
        found.push(format!(
            "runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)",
            of_containers(&root)
        ));
    }
    let by_root = which(pod, |c| {
        meta::int(c, "/securityContext/runAsUser") == Some(0)
    });
    if meta::int(pod, "/spec/securityContext/runAsUser") == Some(0) {
        found.push("runAsUser=0 (pod must not set runAsUser=0)".to_owned());
    } else if !by_root.is_empty() {
        found.push(format!(
            "runAsUser=0 ({} must not set runAsUser=0)",
            of_containers(&by_root)
        ));
    }
    let confined = |value: &Value| {
        matches!(
            meta::text(value, "/securityContext/seccompProfile/type"),
            Some("RuntimeDefault" | "Localhost")
        )
    };
    let pod_confined = pod.get("spec").is_some_and(confined);
    let open = which(pod, |c| {
        !(confined(c) || (pod_confined && c.pointer("/securityContext/seccompProfile").is_none()))
    });
    if !open.is_empty() {
        found.push(format!(
            "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            of_containers(&open)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn host_paths_are_refused_from_baseline_on() {
        let pod = json!({"spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        assert!(violations("privileged", &pod).is_empty());
        assert_eq!(
            violations("baseline", &pod),
            ["hostPath volumes (volume \"v\")"]
        );
        assert_eq!(violations("restricted", &pod).len(), 5);
    }

    #[test]
    fn a_careful_pod_is_restricted_enough() {
        let pod = json!({"spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        }});
        assert_eq!(violations("restricted", &pod), Vec::<String>::new());
    }
}
