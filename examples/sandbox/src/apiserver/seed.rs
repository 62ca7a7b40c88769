//! What a fresh cluster has: the standard namespaces, roles, priority and storage classes, and
//! the service of the API server itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::handlers::create::furnish_namespace;
use super::server::Server;
use super::{meta, rbac_defaults};
use crate::storage::{LOCAL, LOCAL_DRIVER, NETWORK_DRIVER, STANDARD};

/// Puts it all in. The store is empty, so nothing can be there already.
pub(crate) fn seed(server: &Arc<Server>) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        put(
            server,
            "namespaces",
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            }),
        );
        furnish_namespace(server, name);
    }
    for (key, object) in rbac_defaults::objects() {
        put(server, key, object);
    }
    super::gc::aggregate_roles(server);
    for (name, value) in [
        ("system-node-critical", 2_000_001_000_i64),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        put(
            server,
            "priorityclasses.scheduling.k8s.io",
            json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name, "generation": 1},
                "value": value, "preemptionPolicy": "PreemptLowerPriority",
            }),
        );
    }
    for (name, provisioner, mode) in [
        (STANDARD, NETWORK_DRIVER, "Immediate"),
        (LOCAL, LOCAL_DRIVER, "WaitForFirstConsumer"),
    ] {
        put(
            server,
            "storageclasses.storage.k8s.io",
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                "metadata": {"name": name, "annotations": {
                    "storageclass.kubernetes.io/is-default-class": (name == STANDARD).to_string(),
                }},
                "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": mode,
            }),
        );
    }
    put(
        server,
        "services",
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": server.addr.port()}],
            },
            "status": {"loadBalancer": {}},
        }),
    );
    own_endpoints(server);
}

/// Where the API server itself is: it keeps these two, and no controller does.
fn own_endpoints(server: &Arc<Server>) {
    let (address, port) = (server.addr.ip().to_string(), server.addr.port());
    put(
        server,
        "endpoints",
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
        }),
    );
    put(
        server,
        "endpointslices.discovery.k8s.io",
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }),
    );
}

fn put(server: &Arc<Server>, key: &str, mut object: Value) {
    let metadata = meta::metadata(&mut object);
    metadata.insert("uid".into(), meta::new_uid().into());
    metadata.insert("creationTimestamp".into(), meta::now().into());
    if let Err(error) = server.store.create(&key.into(), object) {
        tracing::error!(?error, key, "cannot seed the cluster");
    }
}
