//! The Kubernetes API server of the sandbox: on loopback, everything in memory.
//!
//! kubectl and kube clients work against it unchanged: discovery, built-in and custom
//! resources, watches, the four kinds of patch, RBAC, proxies to nodes and pods, tables, and the
//! refusals in the words of a real server. Beside the Kubernetes API it has `/sandbox/`, where
//! faults are ordered and requests are counted. What controllers, scheduler and kubelets do is
//! not here, save garbage collection and the end of a namespace.

mod admission;
mod auth;
mod builtin;
mod connections;
mod crd;
mod defaults;
mod discovery;
mod endings;
mod errors;
mod events;
mod faults;
mod gc;
mod handlers;
mod meta;
mod observe;
mod openapi;
mod orders;
mod patch;
mod pod_security;
mod portforward;
mod protobuf;
mod proxy;
mod quota;
mod rbac;
mod rbac_defaults;
mod request;
mod requests;
mod resource;
mod reviews;
mod schema;
mod seed;
mod selectors;
mod server;
mod store;
mod table;
mod tls;
mod validation;

use std::net::SocketAddr;
use std::sync::Arc;

use color_eyre::eyre::{Result, WrapErr};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use faults::{Failure, Fault, FaultAction, FaultMatch, Faults};

use server::Server;

/// How to start an [`ApiServer`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token of the user `admin`, who may do everything.
    pub admin_token: String,
    /// How many changes of each resource are remembered for watches that come late; a watch
    /// from before them is told 410.
    pub history: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_token: format!("admin-{}", meta::new_uid()),
            history: 10_000,
        }
    }
}

/// A running API server. It ends with [`ApiServer::shutdown`], or when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    addr: SocketAddr,
    server: Arc<Server>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ApiServer {
    /// Starts serving.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(options: Options) -> Result<Self> {
        let listener = TcpListener::bind(options.listen)
            .await
            .wrap_err_with(|| format!("cannot listen on {}", options.listen))?;
        let addr = listener
            .local_addr()
            .wrap_err("cannot read the address listened on")?;
        let stop = CancellationToken::new();
        let server = Arc::new(Server::new(&options, addr, stop.clone())?);
        let tasks = TaskTracker::new();
        // The tap comes before the first object, so that the tasks know them all.
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(gc::run(server.clone())),
        );
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(endings::run(server.clone())),
        );
        seed::seed(&server);
        tasks.spawn(connections::serve(
            listener,
            server.clone(),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            addr,
            server,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL without TLS, for clients inside the sandbox.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its base URL with TLS, as the kubeconfigs have it.
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The certificate that clients of [`ApiServer::tls_url`] must trust, PEM.
    pub fn certificate_authority(&self) -> &str {
        &self.server.tls.authority
    }

    /// A kubeconfig for the user `admin`.
    pub fn admin_kubeconfig(&self) -> String {
        self.kubeconfig("admin", &self.server.admin_token)
    }

    /// A kubeconfig for the holder of a token (`user/jane`, `sa/ns/name`, `node/node-a`).
    pub fn kubeconfig(&self, user: &str, token: &str) -> String {
        use base64::Engine;
        let authority =
            base64::engine::general_purpose::STANDARD.encode(self.certificate_authority());
        let server = self.tls_url();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {authority}\nusers:\n- name: {user}\n  user:\n    token: {token}\ncontexts:\n- name: sandbox\n  \
             context:\n    cluster: sandbox\n    user: {user}\n    namespace: default\n"
        )
    }

    /// The faults that are on order.
    pub fn faults(&self) -> Faults {
        self.server.faults.clone()
    }

    /// Forgets the history of changes, so that a watch from an older version is told 410.
    pub fn compact(&self) {
        self.server.store.compact();
    }

    /// Ends every connection and task, and waits for that.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
