//! The objects of an application as the cluster is given them.

use color_eyre::eyre::{Result, eyre};
use ms2m::broker::BrokerUrl;
use serde_json::{Value, json};

use super::{App, WORKER};

/// Messages whose times a worker remembers: more than any run has.
const KEEP_TIMES: u32 = 100_000;

impl App<'_> {
    pub(super) fn service(&self) -> Value {
        json!({
            "metadata": {"name": self.name},
            "spec": {"clusterIP": "None", "selector": {"app": "worker"}, "ports": [{"port": 8080}]},
        })
    }

    /// The broker's credentials, for the controller.
    pub(super) fn secret(&self) -> Result<Value> {
        let broker = BrokerUrl::parse(&self.world.places.broker_url)
            .map_err(|error| eyre!("the broker's URL is none: {error}"))?;
        Ok(json!({
            "metadata": {"name": "broker"},
            "stringData": {"username": broker.user(), "password": broker.password()},
        }))
    }

    pub(super) fn bare_pod(&self, spec: Value) -> Value {
        json!({"metadata": {"name": self.name, "labels": {"app": "worker"}}, "spec": spec})
    }

    pub(super) fn workload(&self, spec: &Value) -> Value {
        json!({
            "metadata": {"name": self.name},
            "spec": {
                "replicas": 1,
                // A Deployment has no such field, and drops it.
                "serviceName": self.name,
                "selector": {"matchLabels": {"app": "worker"}},
                "template": {"metadata": {"labels": {"app": "worker"}}, "spec": spec},
            },
        })
    }

    /// A worker that would rather be on `node`, and may be anywhere.
    pub(super) fn pod_spec(&self, node: &str) -> Value {
        let places = &self.world.places;
        let broker = places.broker_url_in_pods.as_ref();
        let broker = broker.unwrap_or(&places.broker_url);
        let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        ]}}]);
        json!({
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
            "containers": [{
                "name": WORKER,
                "image": places.worker_image,
                "env": [
                    {"name": "AMQP_URL", "value": broker},
                    {"name": "QUEUE", "value": self.queue},
                    {"name": "PROCESSING_TIME", "value": format!("{}ms", self.case.processing_ms)},
                    {"name": "STATE_BYTES", "value": self.case.state_bytes.to_string()},
                    {"name": "KEEP_TIMES", "value": KEEP_TIMES.to_string()},
                ],
                "ports": [{"containerPort": 8080}],
                "readinessProbe": {
                    "httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1,
                },
            }],
        })
    }
}
