//! A running API server with clients of it, a small kubelet, and waiting with a deadline.

use std::future::Future;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::{get, post};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use ms2m_sandbox::apiserver::{ApiServer, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An API server for one test.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    http: reqwest::Client,
    dir: TempDir,
    admin: PathBuf,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let options = Options {
            history: 1000,
            ..Options::default()
        };
        let server = ApiServer::start(options).await.expect("a free port");
        let dir = TempDir::new().expect("a temporary directory");
        let admin = dir.path().join("admin.kubeconfig");
        std::fs::write(&admin, server.admin_kubeconfig()).expect("a kubeconfig");
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self {
            server,
            http,
            dir,
            admin,
        }
    }

    /// A client of the user `admin`.
    pub(crate) async fn client(&self) -> Client {
        client_of(&self.server.admin_kubeconfig()).await
    }

    /// A client of the holder of that token.
    pub(crate) async fn client_as(&self, token: &str) -> Client {
        client_of(&self.server.kubeconfig("other", token)).await
    }

    /// A request outside of any client.
    pub(crate) fn http(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let token = self.admin_token();
        self.http
            .request(method, format!("{}{path}", self.server.url()))
            .bearer_auth(token)
    }

    fn admin_token(&self) -> String {
        let config = Kubeconfig::from_yaml(&self.server.admin_kubeconfig()).expect("a kubeconfig");
        let auth = config.auth_infos[0].auth_info.clone().expect("a user");
        let token = serde_json::to_value(auth).expect("JSON")["token"]
            .as_str()
            .map(str::to_owned);
        token.expect("a token")
    }

    /// kubectl with the admin's kubeconfig and a cache of its own.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl_binary());
        command
            .args(arguments)
            .env("KUBECONFIG", &self.admin)
            .env("HOME", self.dir.path())
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs kubectl and returns what it printed; fails the test when kubectl fails.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments, None).await;
        assert_eq!(code, 0, "kubectl {arguments:?}\n{out}\n{err}");
        out
    }

    /// Runs kubectl, which must fail, and returns its complaint.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments, None).await;
        assert_ne!(code, 0, "kubectl {arguments:?}\n{out}\n{err}");
        err
    }

    /// Runs kubectl with a manifest on its standard input (`-f -`).
    pub(crate) async fn ok_with(&self, arguments: &[&str], manifest: &str) -> String {
        let (code, out, err) = self.run(arguments, Some(manifest)).await;
        assert_eq!(code, 0, "kubectl {arguments:?}\n{out}\n{err}");
        out
    }

    pub(crate) async fn run(
        &self,
        arguments: &[&str],
        manifest: Option<&str>,
    ) -> (i32, String, String) {
        use tokio::io::AsyncWriteExt;
        let mut command = self.kubectl(arguments);
        if manifest.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", missing()));
        if let (Some(mut stdin), Some(manifest)) = (child.stdin.take(), manifest) {
            stdin
                .write_all(manifest.as_bytes())
                .await
                .expect("kubectl reads");
        }
        let output = within(child.wait_with_output())
            .await
            .expect("kubectl ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// kubectl's minor version.
    pub(crate) async fn kubectl_minor(&self) -> u32 {
        let text = self.ok(&["version", "--client", "-o", "json"]).await;
        let version: Value = serde_json::from_str(&text).expect("JSON");
        let minor = version["clientVersion"]["minor"]
            .as_str()
            .expect("a version");
        minor
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .expect("a number")
    }

    /// Posts an object and returns what was made of it.
    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        let (code, answer) = self
            .send(reqwest::Method::POST, path, "application/json", &object)
            .await;
        assert_eq!(code, 201, "{answer}");
        answer
    }

    pub(crate) async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> (u16, Value) {
        let request = self
            .http(method, path)
            .header("content-type", kind)
            .body(body.to_string());
        let answer = within(request.send()).await.expect("an answer");
        let code = answer.status().as_u16();
        (code, answer.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = within(self.http(reqwest::Method::GET, path).send())
            .await
            .expect("an answer");
        let code = answer.status().as_u16();
        (code, answer.json().await.unwrap_or(Value::Null))
    }

    /// A node whose kubelet is the one of this test.
    pub(crate) async fn node(&self, name: &str, kubelet: u16) -> Value {
        self.create("/api/v1/nodes", json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.2", "containerRuntimeVersion": "cri-o://1.36.3", "architecture": "amd64",
                    "bootID": "", "kernelVersion": "6", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux",
                    "osImage": "Debian", "systemUUID": "",
                },
            },
        }))
        .await
    }
}

fn kubectl_binary() -> String {
    std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned())
}

fn missing() -> String {
    format!(
        "cannot run {:?}: these tests need kubectl, which Debian has in the package kubernetes-client",
        kubectl_binary()
    )
}

async fn client_of(kubeconfig: &str) -> Client {
    let config = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .expect("a configuration");
    Client::try_from(config).expect("a client")
}

/// The future's value, or the test fails at its deadline.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("done before the deadline")
}

/// Waits until `check` says that it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, wait).await.is_ok(),
        "not in time: {what}"
    );
}

/// A pod that waits for a scheduler.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "registry.local/worker:1", "ports": [{"containerPort": 8080}]}]},
    })
}

pub(crate) fn post_params() -> PostParams {
    PostParams {
        field_manager: Some("test".into()),
        ..PostParams::default()
    }
}

/// A kubelet that knows the logs of every container and answers a checkpoint call by saying
/// what it was asked.
pub(crate) async fn kubelet() -> u16 {
    let logs = get(
        |Path((namespace, pod, container)): Path<(String, String, String)>,
         RawQuery(query): RawQuery| async move {
            let query = query.unwrap_or_default();
            if container == "waiting" {
                let words = format!(
                    "container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating"
                );
                return (http::StatusCode::BAD_REQUEST, words);
            }
            (
                http::StatusCode::OK,
                format!("log of {namespace}/{pod}/{container}\nasked for {query}\n"),
            )
        },
    );
    let checkpoint = post(
        |Path(rest): Path<String>, RawQuery(query): RawQuery| async move {
            if rest.contains("gone") {
                return (http::StatusCode::NOT_FOUND, "pod does not exist".to_owned());
            }
            (
                http::StatusCode::OK,
                format!(
                    "{{\"items\":[\"/var/lib/kubelet/checkpoints/{rest}?{}\"]}}",
                    query.unwrap_or_default()
                ),
            )
        },
    );
    let router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", logs)
        .route("/checkpoint/{*rest}", checkpoint);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}
