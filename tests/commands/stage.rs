//! What these tests share: a cluster with the CRD, manifests, and kubectl in the part of a controller.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::cli::{Outcome, Running, start};
use crate::support::controller::install_crd;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace of its own in a cluster with the CRD.
pub(crate) struct Stage {
    pub(crate) world: &'static World,
    pub(crate) namespace: String,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let world = World::get();
        install_crd(world).await;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("commands-{}-{number}", std::process::id());
        world.kubectl(&["create", "namespace", &namespace]).await;
        Self { world, namespace }
    }

    /// Starts `ms2m` in the namespace.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let arguments = [arguments, &["-n", &self.namespace]].concat();
        start(self.world, &arguments, &[])
    }

    /// Runs `ms2m` in the namespace to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).outcome().await
    }

    /// Runs kubectl in the namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments = [&["-n", &self.namespace], arguments].concat();
        self.world.kubectl(&arguments).await
    }

    /// Makes a resource of `manifest(name)`, as kubectl and GitOps do.
    pub(crate) async fn apply(&self, manifest: &Value) {
        let arguments = ["apply", "-n", &self.namespace, "-f", "-"];
        self.world
            .kubectl_with(&arguments, &manifest.to_string())
            .await;
    }

    /// The resource as it is stored.
    pub(crate) async fn stored(&self, name: &str) -> Value {
        let text = self.kubectl(&["get", "sm", name, "-o", "json"]).await;
        serde_json::from_str(&text).expect("JSON")
    }

    /// Sets a part of the status, as a controller does.
    pub(crate) async fn status(&self, name: &str, status: Value) {
        let patch = json!({"status": status}).to_string();
        self.kubectl(&[
            "patch",
            "sm",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
        .await;
    }

    /// Writes the record of one that is kept in a ConfigMap.
    pub(crate) async fn config_map(&self, name: &str, status: Value) {
        let record = json!({
            "name": name, "namespace": self.namespace, "created": "2026-01-02T03:04:05Z",
            "spec": manifest(name)["spec"], "status": status,
        });
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": format!("ms2m-{name}"), "labels": {
                    "migration.ms2m.io/role": "journal", "migration.ms2m.io/migration": name,
                },
            },
            "data": {"record.json": record.to_string()},
        }))
        .await;
    }

    pub(crate) async fn end(self) {
        self.world
            .kubectl(&["delete", "namespace", &self.namespace, "--wait=false"])
            .await;
    }
}

/// A valid manifest of that name, of the pod `worker-0`.
pub(crate) fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "migration.ms2m.io/v1alpha1",
        "kind": "StatefulMigration",
        "metadata": {"name": name},
        "spec": {
            "sourcePod": "worker-0",
            "targetNode": "node-b",
            "checkpointImageRepository": "registry.example.com/checkpoints",
            "messageQueueConfig": {
                "queueName": "orders", "brokerUrl": "amqp://broker", "exchangeName": "events",
            },
        },
    })
}

/// A status with these fields, begun on `node-a` and on its way to `node-b`.
pub(crate) fn begun(phase: &str, more: Value) -> Value {
    let mut status = json!({
        "phase": phase,
        "sourceNode": "node-a", "sourcePodUID": "a-uid", "targetNode": "node-b",
        "targetPod": "worker-0-shadow", "strategy": "ShadowPod", "container": "worker",
        "startTime": "2026-01-02T03:04:05Z",
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        status[field] = value.clone();
    }
    status
}

/// The end of one that was rolled back for that reason.
pub(crate) fn rolled_back(message: &str) -> Value {
    let failed = json!([{
        "type": "Failed", "status": "True", "reason": "RolledBack", "message": message,
        "lastTransitionTime": "2026-01-02T03:04:15Z",
    }]);
    begun(
        "Failed",
        json!({"conditions": failed, "message": message, "completionTime": "2026-01-02T03:04:15Z"}),
    )
}

/// The end of one that has completed.
pub(crate) fn completed() -> Value {
    let timings = json!({
        "Pending": "0.100s", "Checkpointing": "0.900s", "Transferring": "1.000s",
        "Restoring": "0.500s", "Replaying": "2.000s", "Finalizing": "0.500s",
    });
    let receipt = json!({
        "downtime": "0.480s", "cutPause": "0.410s", "handoffPause": "0.070s", "downtimeBy": "seen",
        "messagesRouted": 312, "messagesReplayed": 312, "messagesLeft": 0,
        "messagesReplayedBy": "counted", "archiveBytes": 1024, "layerBytes": 512,
        "checkpointCall": "0.300s", "transferRun": "0.900s", "restoreRun": "0.400s",
        "reconnect": "0.500s", "total": "5.000s",
    });
    begun(
        "Completed",
        json!({
            "phaseTimings": timings, "receipt": receipt, "completionTime": "2026-01-02T03:04:10Z",
            "message": "pod worker-0-shadow serves on node node-b",
        }),
    )
}

/// A file with these words.
pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it can be written");
    file
}
