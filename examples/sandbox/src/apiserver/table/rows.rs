//! The rows of the resources that are neither pods nor make them.

use serde_json::Value;

use super::human;
use crate::apiserver::meta;

/// The cells of an object kept under `key`.
pub(crate) fn cells(key: &str, object: &Value) -> Vec<Value> {
    let text = |pointer: &str| meta::text(object, pointer).unwrap_or_default().to_owned();
    let age = human::age(object, "/metadata/creationTimestamp");
    let name: Value = meta::name(object).into();
    match key {
        "events" => event(object),
        "nodes" => node(object),
        "services" => service(object),
        "namespaces" => vec![name, text("/status/phase").into(), age.into()],
        "configmaps" => vec![
            name,
            (members(object, "/data") + members(object, "/binaryData"))
                .to_string()
                .into(),
            age.into(),
        ],
        "secrets" => vec![
            name,
            text("/type").into(),
            members(object, "/data").into(),
            age.into(),
        ],
        "serviceaccounts" => vec![
            name,
            meta::list(object, "/secrets").len().to_string().into(),
            age.into(),
        ],
        "leases.coordination.k8s.io" => vec![name, text("/spec/holderIdentity").into(), age.into()],
        "endpoints" => vec![name, endpoints(object).into(), age.into()],
        "endpointslices.discovery.k8s.io" => {
            let ports = joined(
                meta::list(object, "/ports")
                    .iter()
                    .filter_map(|p| meta::int(p, "/port"))
                    .map(|p| p.to_string()),
            );
            let addresses = joined(
                meta::list(object, "/endpoints")
                    .iter()
                    .flat_map(|e| meta::list(e, "/addresses"))
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
            vec![
                name,
                text("/addressType").into(),
                ports.into(),
                addresses.into(),
                age.into(),
            ]
        }
        "persistentvolumeclaims" => vec![
            name,
            phase(object).into(),
            text("/spec/volumeName").into(),
            text("/status/capacity/storage").into(),
            access_modes(object, "/status/accessModes").into(),
            text("/spec/storageClassName").into(),
            age.into(),
            human::or_none(meta::text(object, "/spec/volumeMode")).into(),
        ],
        "persistentvolumes" => {
            let claim = match (
                meta::text(object, "/spec/claimRef/namespace"),
                meta::text(object, "/spec/claimRef/name"),
            ) {
                (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
                _ => String::new(),
            };
            vec![
                name,
                text("/spec/capacity/storage").into(),
                access_modes(object, "/spec/accessModes").into(),
                text("/spec/persistentVolumeReclaimPolicy").into(),
                phase(object).into(),
                claim.into(),
                text("/spec/storageClassName").into(),
                text("/status/reason").into(),
                age.into(),
                human::or_none(meta::text(object, "/spec/volumeMode")).into(),
            ]
        }
        "volumeattachments.storage.k8s.io" => vec![
            name,
            text("/spec/attacher").into(),
            text("/spec/source/persistentVolumeName").into(),
            text("/spec/nodeName").into(),
            (object.pointer("/status/attached") == Some(&Value::Bool(true))).into(),
            age.into(),
        ],
        "storageclasses.storage.k8s.io" => {
            let default = meta::text(
                object,
                "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
            ) == Some("true");
            let shown = if default {
                format!("{} (default)", meta::name(object))
            } else {
                meta::name(object).to_owned()
            };
            let expands = object
                .get("allowVolumeExpansion")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            vec![
                shown.into(),
                text("/provisioner").into(),
                text("/reclaimPolicy").into(),
                text("/volumeBindingMode").into(),
                expands.to_string().into(),
                age.into(),
            ]
        }
        "controllerrevisions.apps" => {
            let controller = meta::list(object, "/metadata/ownerReferences")
                .iter()
                .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
                .map(owner_words);
            vec![
                name,
                human::or_none(controller.as_deref()).into(),
                meta::int(object, "/revision").unwrap_or(0).into(),
                age.into(),
            ]
        }
        "poddisruptionbudgets.policy" => vec![
            name,
            or_not_available(object.pointer("/spec/minAvailable")).into(),
            or_not_available(object.pointer("/spec/maxUnavailable")).into(),
            meta::int(object, "/status/disruptionsAllowed")
                .unwrap_or(0)
                .into(),
            age.into(),
        ],
        "priorityclasses.scheduling.k8s.io" => vec![
            name,
            meta::int(object, "/value").unwrap_or(0).into(),
            object
                .get("globalDefault")
                .and_then(Value::as_bool)
                .unwrap_or(false)
                .to_string()
                .into(),
            age.into(),
            text("/preemptionPolicy").into(),
        ],
        "roles.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "customresourcedefinitions.apiextensions.k8s.io"
        | "limitranges" => vec![name, text("/metadata/creationTimestamp").into()],
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => vec![
            name,
            format!("{}/{}", text("/roleRef/kind"), text("/roleRef/name")).into(),
            age.into(),
            subjects(object, "User").into(),
            subjects(object, "Group").into(),
            subjects(object, "ServiceAccount").into(),
        ],
        _ => vec![name, age.into()],
    }
}

fn members(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match parts.len() {
        0 => "<unset>".to_owned(),
        1..=3 => parts.join(","),
        more => format!("{} + {} more...", parts[..3].join(","), more - 3),
    }
}

fn owner_words(owner: &Value) -> String {
    let text = |pointer: &str| meta::text(owner, pointer).unwrap_or_default();
    let group = text("/apiVersion")
        .split_once('/')
        .map_or("", |(group, _)| group);
    let kind = text("/kind").to_lowercase();
    if group.is_empty() {
        format!("{kind}/{}", text("/name"))
    } else {
        format!("{kind}.{group}/{}", text("/name"))
    }
}

fn or_not_available(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "N/A".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn phase(object: &Value) -> String {
    if meta::is_deleting(object) {
        return "Terminating".to_owned();
    }
    meta::text(object, "/status/phase")
        .unwrap_or_default()
        .to_owned()
}

fn access_modes(object: &Value, pointer: &str) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    meta::list(object, pointer)
        .iter()
        .filter_map(Value::as_str)
        .map(short)
        .collect::<Vec<_>>()
        .join(",")
}

fn subjects(binding: &Value, kind: &str) -> String {
    meta::list(binding, "/subjects")
        .iter()
        .filter(|subject| meta::text(subject, "/kind") == Some(kind))
        .map(|subject| {
            let name = meta::text(subject, "/name").unwrap_or_default();
            match meta::text(subject, "/namespace").filter(|_| kind == "ServiceAccount") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in meta::list(object, "/subsets") {
        for address in meta::list(subset, "/addresses") {
            let ip = meta::text(address, "/ip").unwrap_or_default();
            let ports = meta::list(subset, "/ports");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(
                ports
                    .iter()
                    .map(|port| format!("{ip}:{}", meta::int(port, "/port").unwrap_or(0))),
            );
        }
    }
    if all.is_empty() {
        "<none>".to_owned()
    } else {
        joined(all.into_iter())
    }
}

fn node(node: &Value) -> Vec<Value> {
    let ready = meta::list(node, "/status/conditions")
        .iter()
        .find(|c| meta::text(c, "/type") == Some("Ready"));
    let mut status = match ready.and_then(|c| meta::text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<String> = meta::string_map(node, "/metadata/labels")
        .into_keys()
        .filter_map(|label| {
            label
                .strip_prefix("node-role.kubernetes.io/")
                .map(str::to_owned)
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort();
    let roles = if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    };
    let address = |kind: &str| {
        let found = meta::list(node, "/status/addresses")
            .iter()
            .find(|a| meta::text(a, "/type") == Some(kind));
        human::or_none(found.and_then(|a| meta::text(a, "/address")))
    };
    let info = |field: &str| {
        meta::text(node, &format!("/status/nodeInfo/{field}"))
            .filter(|t| !t.is_empty())
            .unwrap_or("<unknown>")
            .to_owned()
    };
    vec![
        meta::name(node).into(),
        status.into(),
        roles.into(),
        human::age(node, "/metadata/creationTimestamp").into(),
        meta::text(node, "/status/nodeInfo/kubeletVersion")
            .unwrap_or_default()
            .into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
}

fn service(service: &Value) -> Vec<Value> {
    let kind = meta::text(service, "/spec/type").unwrap_or("ClusterIP");
    let ports: Vec<String> = meta::list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let number = meta::int(port, "/port").unwrap_or(0);
            let protocol = meta::text(port, "/protocol").unwrap_or("TCP");
            match meta::int(port, "/nodePort").filter(|p| *p > 0) {
                Some(node_port) => format!("{number}:{node_port}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    let external = match kind {
        "LoadBalancer" => "<pending>".to_owned(),
        "ExternalName" => meta::text(service, "/spec/externalName")
            .unwrap_or_default()
            .to_owned(),
        _ => "<none>".to_owned(),
    };
    vec![
        meta::name(service).into(),
        kind.into(),
        human::or_none(meta::text(service, "/spec/clusterIP")).into(),
        external.into(),
        if ports.is_empty() {
            "<none>".into()
        } else {
            ports.join(",").into()
        },
        human::age(service, "/metadata/creationTimestamp").into(),
        human::labels(service.pointer("/spec/selector").and_then(Value::as_object)).into(),
    ]
}

fn event(event: &Value) -> Vec<Value> {
    let text = |pointer: &str| meta::text(event, pointer).filter(|t| !t.is_empty());
    let first = text("/firstTimestamp").or_else(|| text("/eventTime"));
    let last = text("/series/lastObservedTime")
        .or_else(|| text("/lastTimestamp"))
        .or(first);
    let seen = |time: Option<&str>| time.map_or_else(|| "<unknown>".to_owned(), human::since);
    let count = meta::int(event, "/series/count")
        .or_else(|| meta::int(event, "/count"))
        .unwrap_or(1);
    let object = format!(
        "{}/{}",
        text("/involvedObject/kind")
            .unwrap_or_default()
            .to_lowercase(),
        text("/involvedObject/name").unwrap_or_default()
    );
    let component = text("/source/component")
        .or_else(|| text("/reportingComponent"))
        .unwrap_or_default();
    let host = text("/source/host").or_else(|| text("/reportingInstance"));
    let source = host.map_or_else(
        || component.to_owned(),
        |host| format!("{component}, {host}"),
    );
    vec![
        seen(last).into(),
        text("/type").unwrap_or_default().into(),
        text("/reason").unwrap_or_default().into(),
        object.into(),
        text("/involvedObject/fieldPath").unwrap_or_default().into(),
        source.into(),
        text("/message").unwrap_or_default().trim().into(),
        seen(first).into(),
        count.to_string().into(),
        meta::name(event).into(),
    ]
}
