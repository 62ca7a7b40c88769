//! One listener on loopback whose connections end in the pods of a Service.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use super::name::ServiceName;
use super::pods::{Nowhere, Place, places};
use crate::cluster::KubeCluster;
use crate::cluster::error::port_error;
use crate::cluster::pages;
use crate::cluster::retry::with_jitter;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long the API server may take to reach a pod's kubelet. One on a node that is lost is given up
/// before whoever connects gives up, so that another pod can be tried.
const REACHING: Duration = Duration::from_secs(4);

/// How long to wait after the listener has failed to take a connection, as without file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The pause after the first attempt has failed in passing; each one after it is twice as long. All
/// together they are short beside the time that whoever connects gives it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The last one.
const LAST_PAUSE: Duration = Duration::from_millis(400);

/// What became of a connection: an error, or nothing when it was made.
pub type Noted = Option<PortError>;

/// Who learns it, before the connection is seen to end.
pub type Notes = Box<dyn Fn(Noted) + Send + Sync>;

/// A way to one port of a Service.
pub(super) struct Forward {
    cluster: KubeCluster,
    service: ServiceName,
    port: u16,
    notes: Notes,
    /// How many connections have failed: each time it is another pod's turn.
    failed: AtomicUsize,
}

/// A connection to a pod.
struct Connection {
    pod: String,
    stream: DuplexStream,
    /// Ends with the other side's words, if it has any.
    trouble: std::pin::Pin<Box<dyn Future<Output = Option<String>> + Send>>,
}

impl Forward {
    pub(super) fn new(
        cluster: KubeCluster,
        service: ServiceName,
        port: u16,
        notes: Notes,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            service,
            port,
            notes,
            failed: AtomicUsize::new(0),
        })
    }

    /// Listens for this process's life, and answers where. On loopback alone: as with kubectl, other
    /// users of this machine reach the Service as well, and have to log in there.
    pub(super) async fn listen(self: Arc<Self>) -> PortResult<SocketAddr> {
        let unheard = |error: std::io::Error| {
            PortError::Invalid(format!("cannot listen on 127.0.0.1 for a tunnel: {error}"))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(unheard)?;
        let address = listener.local_addr().map_err(unheard)?;
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((local, _)) => {
                        // What the Service says goes on at once; where that cannot be set it goes on all the same.
                        let _ = local.set_nodelay(true);
                        drop(tokio::spawn(Arc::clone(&self).carry(local)));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connection could not be taken");
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
            }
        });
        Ok(address)
    }

    /// One connection, from its beginning to its end.
    async fn carry(self: Arc<Self>, local: TcpStream) {
        let ended = match self.dial().await {
            Ok(connection) => {
                (self.notes)(None);
                tracing::debug!(
                    pod = connection.pod,
                    "a connection to {} begins",
                    self.service
                );
                let words = copy(local, connection).await;
                words.map(|words| PortError::Unreachable(format!("{}: {words}", self.service)))
            }
            Err(error) => Some(error),
        };
        if let Some(error) = ended {
            tracing::debug!(%error, "a connection to {} has failed", self.service);
            self.failed.fetch_add(1, Ordering::Relaxed);
            (self.notes)(Some(error));
        }
    }

    /// Reaches a pod that is ready, again as long as that may help, as with any other request.
    async fn dial(&self) -> PortResult<Connection> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.dial_once().await {
                Err(error) if error.is_transient() && pause <= LAST_PAUSE => {
                    tracing::debug!(%error, "a connection to {} is tried again", self.service);
                    tokio::time::sleep(with_jitter(pause)).await;
                    pause *= 2;
                }
                reached => return reached,
            }
        }
    }

    /// The next pod where one cannot be reached.
    async fn dial_once(&self) -> PortResult<Connection> {
        let mut places = self.places().await?;
        let turn = self.failed.load(Ordering::Relaxed) % places.len();
        places.rotate_left(turn);
        let mut last = PortError::Unreachable(format!("no pod of {} is ready", self.service));
        for place in &places {
            match self.reach(place).await {
                Ok(connection) => return Ok(connection),
                // The next pod takes the same right.
                Err(denied @ PortError::Denied(_)) => return Err(denied),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn reach(&self, place: &Place) -> PortResult<Connection> {
        let (pod, port) = (&place.pod, place.port);
        let namespace = &self.service.namespace;
        let what = format!("forward port {port} of pod {namespace}/{pod}");
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), namespace);
        let ports = [port];
        let forwarder = tokio::time::timeout(REACHING, pods.portforward(pod, &ports)).await;
        let mut forwarder = match forwarder {
            Ok(Ok(forwarder)) => forwarder,
            Ok(Err(error)) => return Err(passing(port_error(what, &error))),
            Err(_) => {
                let seconds = REACHING.as_secs();
                return Err(PortError::Unreachable(format!(
                    "cannot {what}: no answer within {seconds} s"
                )));
            }
        };
        match (forwarder.take_stream(port), forwarder.take_error(port)) {
            (Some(stream), Some(trouble)) => Ok(Connection {
                pod: pod.clone(),
                stream,
                trouble: Box::pin(trouble),
            }),
            _ => Err(PortError::Invalid(format!("cannot {what}"))),
        }
    }

    async fn places(&self) -> PortResult<Vec<Place>> {
        let (service, cluster) = (&self.service, &self.cluster);
        let Some(found) = read(cluster, service).await? else {
            return Err(PortError::Unreachable(format!("{service} is gone")));
        };
        let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), &service.namespace);
        let of_service = format!("kubernetes.io/service-name={}", service.name);
        let params = ListParams::default().labels(&of_service);
        let what = format!("list the endpoints of {service}");
        let slices = pages::all(&cluster.inner.retry, &slices, params, &what).await?;
        places(service, &found, &slices, self.port).map_err(|nowhere| match nowhere {
            Nowhere::NoneReady => PortError::Unreachable(format!("no pod of {service} is ready")),
            Nowhere::NoSuchPort(ports) => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let has = match ports.join(", ") {
                    none if none.is_empty() => "none".to_owned(),
                    ports => ports,
                };
                let port = self.port;
                PortError::Invalid(format!("{service} has no port {port}; it has {has}"))
            }
        })
    }
}

/// A pod that is gone, or does not run any more, was ready a moment ago: another one will be.
fn passing(error: PortError) -> PortError {
    match error {
        PortError::NotFound(words) | PortError::Invalid(words) => PortError::Unreachable(words),
        other => other,
    }
}

/// The Service as it is now, if it is there.
pub(super) async fn read(
    cluster: &KubeCluster,
    service: &ServiceName,
) -> PortResult<Option<Service>> {
    let services: Api<Service> = Api::namespaced(cluster.client(), &service.namespace);
    let what = format!("read {service}");
    let retry = &cluster.inner.retry;
    retry.run(&what, || services.get_opt(&service.name)).await
}

/// Carries bytes both ways until either side is done, and answers with the other side's words, if
/// that is why. Neither AMQP nor HTTP goes on in one direction alone.
async fn copy(local: TcpStream, connection: Connection) -> Option<String> {
    let (mut from_local, mut to_local) = local.into_split();
    let (mut from_pod, mut to_pod) = tokio::io::split(connection.stream);
    let out = async {
        let _ = tokio::io::copy(&mut from_local, &mut to_pod).await;
        // What is on its way still arrives: the forwarder ends by itself.
        let _ = to_pod.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_pod, &mut to_local).await;
    };
    let trouble = async {
        match connection.trouble.await {
            Some(words) => words,
            // The end of the connection says the rest.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        words = trouble => Some(words),
        () = out => None,
        () = back => None,
    }
}
