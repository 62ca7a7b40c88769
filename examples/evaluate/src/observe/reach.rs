//! How the harness asks a worker's endpoint: at its own address where pods can be reached from here, as
//! in the sandbox, else through the API server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt as _};

use crate::world::World;

/// The port of the worker's endpoint.
const PORT: u16 = 8080;

/// A pod to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
}

impl Worker {
    /// A pod that has an address.
    pub fn of(pod: &Pod) -> Option<Self> {
        Some(Self {
            namespace: pod.namespace()?,
            name: pod.name_any(),
            address: pod.status.as_ref()?.pod_ip.clone()?,
        })
    }
}

/// The way to the endpoints.
#[derive(Clone)]
pub enum Reach {
    /// At their own address, each time on a new connection, as another client would.
    Direct(reqwest::Client),
    /// Through the API server.
    Proxied(Client),
}

impl Reach {
    /// The way that there is in this world.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn of(world: &World) -> reqwest::Result<Self> {
        if !world.is_sandbox() {
            return Ok(Self::Proxied(world.client.clone()));
        }
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        Ok(Self::Direct(client))
    }

    /// How often it is worth asking for what has been applied.
    pub fn interval(&self) -> Duration {
        match self {
            Self::Direct(_) => Duration::from_millis(25),
            Self::Proxied(_) => Duration::from_millis(100),
        }
    }

    /// What a worker answers to a path; none if it does not, not with success, or not within `limit`.
    pub async fn get(&self, worker: &Worker, path: &str, limit: Duration) -> Option<String> {
        let asked = async {
            match self {
                Self::Direct(client) => {
                    let url = format!("http://{}:{PORT}{path}", worker.address);
                    let answer = client.get(url).send().await.ok()?;
                    answer.error_for_status().ok()?.text().await.ok()
                }
                Self::Proxied(client) => {
                    let Worker {
                        namespace, name, ..
                    } = worker;
                    let url =
                        format!("/api/v1/namespaces/{namespace}/pods/{name}:{PORT}/proxy{path}");
                    let request = http::Request::get(url).body(Vec::new()).ok()?;
                    client.request_text(request).await.ok()
                }
            }
        };
        tokio::time::timeout(limit, asked).await.ok()?
    }
}
