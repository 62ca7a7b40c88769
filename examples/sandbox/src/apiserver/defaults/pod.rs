//! Defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use crate::apiserver::meta::{self, default_field, object_at};

/// Seconds that a pod stays on a node that is not ready or cannot be reached.
const TOLERATION_SECONDS: i64 = 300;

/// What only a pod itself gets, and only when it is made.
pub(crate) fn on_create(pod: &mut Value) {
    let qos = qos_class(pod);
    let metadata_free = meta::as_object(pod);
    metadata_free.insert(
        "status".into(),
        json!({"phase": "Pending", "qosClass": qos}),
    );
    let spec = object_at(pod, "spec");
    default_field(spec, "serviceAccountName", "default");
    let account = spec
        .get("serviceAccountName")
        .cloned()
        .unwrap_or(Value::Null);
    spec.insert("serviceAccount".into(), account);
    tolerate(spec);
}

/// As the admission plugin `DefaultTolerationSeconds`.
fn tolerate(spec: &mut Map<String, Value>) {
    let entry = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = entry else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let there = tolerations.iter().any(|toleration| {
            let effect = meta::text(toleration, "/effect").unwrap_or_default();
            let of = meta::text(toleration, "/key").unwrap_or_default();
            (of == key || of.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !there {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
}

/// The defaults of a pod's spec, its own or a template's.
pub(crate) fn fill_spec(spec: &mut Value) {
    let spec = meta::as_object(spec);
    default_field(spec, "restartPolicy", "Always");
    default_field(spec, "dnsPolicy", "ClusterFirst");
    default_field(spec, "terminationGracePeriodSeconds", 30);
    default_field(spec, "securityContext", json!({}));
    default_field(spec, "schedulerName", "default-scheduler");
    let host_network = spec
        .get("hostNetwork")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            fill_container(container, host_network);
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        fill_volume(volume);
    }
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default_field(spec, "serviceAccount", account);
    }
}

/// Completes a pod's own spec, which has more than a template's.
pub(crate) fn fill_container(container: &mut Value, host_network: bool) {
    let policy = pull_policy(meta::text(container, "/image").unwrap_or_default());
    let Value::Object(map) = container else {
        return;
    };
    default_field(map, "imagePullPolicy", policy);
    default_field(map, "terminationMessagePath", "/dev/termination-log");
    default_field(map, "terminationMessagePolicy", "File");
    default_field(map, "resources", json!({}));
    requests_from_limits(map);
    for port in map
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Value::Object(port) = port else { continue };
        default_field(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default_field(port, "hostPort", number);
        }
    }
    for env in map
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(Value::Object(reference)) = env.pointer_mut("/valueFrom/fieldRef") {
            default_field(reference, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = map.get_mut(probe) {
            fill_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(Value::Object(get)) = map
            .get_mut("lifecycle")
            .and_then(|l| l.pointer_mut(&format!("/{hook}/httpGet")))
        {
            default_field(get, "scheme", "HTTP");
            default_field(get, "path", "/");
        }
    }
}

/// `Always` for the tag `latest`, said or meant, else `IfNotPresent`.
fn pull_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains('@') {
        return "IfNotPresent";
    }
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources") else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = object_at(resources, "requests");
    for (resource, limit) in limits {
        default_field(requests, &resource, limit);
    }
}

fn fill_probe(probe: &mut Map<String, Value>) {
    default_field(probe, "timeoutSeconds", 1);
    default_field(probe, "periodSeconds", 10);
    default_field(probe, "successThreshold", 1);
    default_field(probe, "failureThreshold", 3);
    if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
        default_field(get, "scheme", "HTTP");
        default_field(get, "path", "/");
    }
}

fn fill_volume(volume: &mut Value) {
    let Value::Object(map) = volume else { return };
    if map.len() == 1 && map.contains_key("name") {
        map.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(Value::Object(source)) = map.get_mut(source) {
            default_field(source, "defaultMode", 0o644);
        }
    }
    if let Some(Value::Object(path)) = map.get_mut("hostPath") {
        default_field(path, "type", "");
    }
    if let Some(Value::Object(image)) = map.get_mut("image") {
        let policy = pull_policy(
            image
                .get("reference")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
        default_field(image, "pullPolicy", policy);
    }
    for pointer in ["/downwardAPI/items", "/projected/sources"] {
        let Some(items) = volume.pointer_mut(pointer).and_then(Value::as_array_mut) else {
            continue;
        };
        for item in items {
            if let Some(Value::Object(token)) = item.get_mut("serviceAccountToken") {
                default_field(token, "expirationSeconds", 3600);
            }
            if let Some(Value::Object(reference)) = item.get_mut("fieldRef") {
                default_field(reference, "apiVersion", "v1");
            }
        }
    }
}

fn qos_class(pod: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in ["/spec/initContainers", "/spec/containers"]
        .iter()
        .flat_map(|list| meta::list(pod, list))
    {
        for resource in ["cpu", "memory"] {
            let request = container.pointer(&format!("/resources/requests/{resource}"));
            let limit = container.pointer(&format!("/resources/limits/{resource}"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies_go_by_tag() {
        for (image, policy) in [
            ("worker", "Always"),
            ("host:5000/worker", "Always"),
            ("worker:latest", "Always"),
            ("host:5000/worker:dev", "IfNotPresent"),
            ("host:5000/worker@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn quality_of_service_goes_by_requests_and_limits() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(
            qos_class(&pod(json!({"requests": {"cpu": "1"}}))),
            "Burstable"
        );
        assert_eq!(
            qos_class(&pod(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))),
            "Guaranteed"
        );
    }

    #[test]
    fn a_container_gets_what_a_real_cluster_gives_it() {
        let mut spec = json!({"containers": [{"name": "c", "image": "w:1", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}],
                              "volumes": [{"name": "v", "secret": {"secretName": "s"}}]});
        fill_spec(&mut spec);
        assert_eq!(
            spec["containers"][0]["terminationMessagePath"],
            "/dev/termination-log"
        );
        assert_eq!(spec["containers"][0]["ports"][0]["protocol"], "TCP");
        assert_eq!(
            spec["containers"][0]["livenessProbe"]["httpGet"]["path"],
            "/"
        );
        assert_eq!(spec["volumes"][0]["secret"]["defaultMode"], 420);
        assert_eq!(spec["restartPolicy"], "Always");
        let again = spec.clone();
        fill_spec(&mut spec);
        assert_eq!(spec, again, "filling in twice changes nothing");
    }
}
