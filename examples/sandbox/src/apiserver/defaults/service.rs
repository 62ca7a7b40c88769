//! Defaults of services: type, ports and addresses.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::apiserver::meta::{self, default_field, object_at};

/// The last part of the address that the next service gets.
static NEXT: AtomicU32 = AtomicU32::new(100);

/// The defaults that hold at any time.
pub(crate) fn fill(service: &mut Value) {
    let spec = object_at(service, "spec");
    default_field(spec, "type", "ClusterIP");
    default_field(spec, "sessionAffinity", "None");
    if spec.get("type") == Some(&json!("ExternalName")) {
        return;
    }
    default_field(spec, "internalTrafficPolicy", "Cluster");
    default_field(spec, "ipFamilies", json!(["IPv4"]));
    default_field(spec, "ipFamilyPolicy", "SingleStack");
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Value::Object(port) = port else { continue };
        default_field(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            default_field(port, "targetPort", number);
        }
    }
}

/// A new service gets an address out of 10.96.0.0/12, as kubeadm gives them.
pub(crate) fn on_create(service: &mut Value) {
    let external = meta::text(service, "/spec/type") == Some("ExternalName");
    let spec = object_at(service, "spec");
    if external {
        return;
    }
    if spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let ip = format!(
            "10.{}.{}.{}",
            96 + (number >> 16 & 15),
            number >> 8 & 255,
            number & 255
        );
        spec.insert("clusterIP".into(), ip.into());
    }
    let ip = spec.get("clusterIP").cloned().unwrap_or(Value::Null);
    spec.insert("clusterIPs".into(), json!([ip]));
}

/// An update that does not name the addresses keeps them.
pub(crate) fn on_update(old: &Value, service: &mut Value) {
    let kept = |field: &str| old.pointer(&format!("/spec/{field}")).cloned();
    let spec = object_at(service, "spec");
    for field in ["clusterIP", "clusterIPs"] {
        if spec.get(field).is_none_or(|ip| ip == "")
            && let Some(value) = kept(field)
        {
            spec.insert(field.into(), value);
        }
    }
}
