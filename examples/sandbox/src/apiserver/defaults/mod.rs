//! The defaults of the built-in types, as `k8s.io/kubernetes/pkg/apis/*/v1/defaults.go` and the
//! registries' strategies fill them in; and of custom resources, from their schemas.

mod pod;
mod service;
mod workloads;

use serde_json::{Value, json};

use super::resource::ResourceDef;
use super::schema::default as schema_default;
use super::{crd, meta};

/// Whether objects of that resource count their generations.
pub(crate) fn has_generation(def: &ResourceDef) -> bool {
    def.custom.is_some()
        || matches!(
            def.group.as_str(),
            "apps" | "batch" | "policy" | "scheduling.k8s.io" | "apiextensions.k8s.io"
        ) && !def.is("controllerrevisions.apps")
        || matches!(&*def.key, "pods" | "replicationcontrollers")
}

/// Completes a new object and gives it its first status.
pub(crate) fn on_create(def: &ResourceDef, object: &mut Value) {
    if let Some(custom) = &def.custom {
        if def.has_subresource("status") {
            meta::as_object(object).remove("status");
        }
        schema_default::apply(&custom.schema, object);
        return;
    }
    reset_status(def, object);
    fill(def, object);
    match &*def.key {
        "pods" => pod::on_create(object),
        "jobs.batch" => workloads::new_job(object),
        "services" => service::on_create(object),
        "namespaces" => new_namespace(object),
        "clusterroles.rbac.authorization.k8s.io" => {
            meta::default_field(meta::as_object(object), "rules", json!([]))
        }
        _ => {}
    }
}

/// Completes an object that changes. What the server once filled in, it fills in again with
/// what was there.
pub(crate) fn on_update(def: &ResourceDef, old: &Value, object: &mut Value) {
    if let Some(custom) = &def.custom {
        schema_default::apply(&custom.schema, object);
        return;
    }
    fill(def, object);
    if def.is("services") {
        service::on_update(old, object);
    }
    if def.is("namespaces") && object.pointer("/spec/finalizers").is_none() {
        object["spec"]["finalizers"] = old
            .pointer("/spec/finalizers")
            .cloned()
            .unwrap_or(json!([]));
    }
    if def.is(crd::CRDS) {
        crd::default(object);
    }
}

/// The defaults that hold at any time.
fn fill(def: &ResourceDef, object: &mut Value) {
    match &*def.key {
        "pods" => {
            if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
                pod::fill_spec(spec);
            }
        }
        "deployments.apps" => workloads::deployment(object),
        "replicasets.apps" => workloads::replica_set(object),
        "statefulsets.apps" => workloads::stateful_set(object),
        "daemonsets.apps" => workloads::daemon_set(object),
        "replicationcontrollers" => workloads::replica_set(object),
        "jobs.batch" => workloads::job(object),
        "cronjobs.batch" => workloads::cron_job(object),
        "secrets" => secret(object),
        "serviceaccounts" | "configmaps" | "leases.coordination.k8s.io" => {}
        "persistentvolumeclaims" => {
            let spec = meta::object_at(object, "spec");
            meta::default_field(spec, "volumeMode", "Filesystem");
        }
        "persistentvolumes" => {
            let spec = meta::object_at(object, "spec");
            meta::default_field(spec, "volumeMode", "Filesystem");
            meta::default_field(spec, "persistentVolumeReclaimPolicy", "Retain");
        }
        "storageclasses.storage.k8s.io" => {
            let map = meta::as_object(object);
            meta::default_field(map, "reclaimPolicy", "Delete");
            meta::default_field(map, "volumeBindingMode", "Immediate");
        }
        "services" => service::fill(object),
        crd::CRDS => crd::default(object),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => binding(object),
        "nodes" => {
            meta::object_at(object, "spec");
        }
        _ => {}
    }
}

/// A new object of a resource with a status endpoint starts without one; a node is registered
/// by its kubelet with its status.
fn reset_status(def: &ResourceDef, object: &mut Value) {
    if !def.has_subresource("status") || matches!(&*def.key, "nodes") {
        return;
    }
    let first = match &*def.key {
        "persistentvolumeclaims" | "persistentvolumes" => json!({"phase": "Pending"}),
        "volumeattachments.storage.k8s.io" => json!({"attached": false}),
        "replicasets.apps" | "statefulsets.apps" | "replicationcontrollers" => {
            json!({"replicas": 0})
        }
        "daemonsets.apps" => {
            json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
        }
        "services" => json!({"loadBalancer": {}}),
        _ => json!({}),
    };
    meta::as_object(object).insert("status".into(), first);
}

fn new_namespace(object: &mut Value) {
    let name = meta::name(object).to_owned();
    meta::object_at(object, "spec").insert("finalizers".into(), json!(["kubernetes"]));
    meta::as_object(object).insert("status".into(), json!({"phase": "Active"}));
    let metadata = meta::metadata(object);
    if let Value::Object(labels) = metadata.entry("labels").or_insert_with(|| json!({})) {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// `stringData` is for writing only: it goes into `data`.
fn secret(object: &mut Value) {
    use base64::Engine;
    let map = meta::as_object(object);
    meta::default_field(map, "type", "Opaque");
    let Some(Value::Object(plain)) = map.remove("stringData") else {
        return;
    };
    let data = meta::object_at(object, "data");
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(
            key,
            base64::engine::general_purpose::STANDARD
                .encode(text)
                .into(),
        );
    }
}

fn binding(object: &mut Value) {
    for subject in object
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let group = if meta::text(subject, "/kind") == Some("ServiceAccount") {
            ""
        } else {
            "rbac.authorization.k8s.io"
        };
        if !group.is_empty() {
            meta::default_field(meta::as_object(subject), "apiGroup", group);
        }
    }
    let role = meta::object_at(object, "roleRef");
    meta::default_field(role, "apiGroup", "rbac.authorization.k8s.io");
}
