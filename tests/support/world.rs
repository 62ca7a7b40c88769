//! The world that the tests run in: a sandbox that this process starts, or a real cluster that
//! the environment names.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

use super::api::Api;

/// Where everything is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Places {
    pub(crate) kubeconfig: PathBuf,
    #[serde(default)]
    pub(crate) api_server: String,
    pub(crate) broker_url: String,
    /// The broker as the pods reach it, where that is another address.
    #[serde(default)]
    pub(crate) broker_url_in_pods: Option<String>,
    pub(crate) management_url: String,
    /// Host and port, or a registry's name.
    pub(crate) registry: String,
    pub(crate) worker_image: String,
    pub(crate) transfer_image: String,
    /// Where faults are ordered; empty on a real cluster.
    #[serde(default)]
    pub(crate) control_url: String,
    #[serde(default)]
    pub(crate) dir: PathBuf,
}

/// The world of one test binary.
pub(crate) struct World {
    pub(crate) places: Places,
    pub(crate) source_node: String,
    pub(crate) target_node: String,
    pub(crate) plain_http: bool,
    /// The sandbox ends when its standard input closes, however this process ends.
    _sandbox: Option<(Child, ChildStdin)>,
}

static WORLD: OnceLock<World> = OnceLock::new();

impl World {
    /// The world of this test binary; started by whoever asks first.
    pub(crate) fn get() -> &'static Self {
        WORLD.get_or_init(|| {
            if std::env::var("MS2M_TEST_WORLD").as_deref() == Ok("cluster") {
                Self::cluster()
            } else {
                Self::sandbox(&["node-a", "node-b", "node-c"])
            }
        })
    }

    /// Whether faults can be ordered here.
    pub(crate) fn is_sandbox(&self) -> bool {
        self._sandbox.is_some()
    }

    /// A sandbox with these nodes; pods are moved from the first to the second one.
    pub(crate) fn sandbox(nodes: &[&str]) -> Self {
        let mut child = Command::new(binary("ms2m-sandbox"))
            .args(["up", "--until-stdin-closes", "--nodes", &nodes.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let stdin = child.stdin.take().expect("it was piped");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let line = stdout
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with('{'))
            .expect(
                "the sandbox says where everything is; its own words above tell why it does not",
            );
        let places = serde_json::from_str(&line).expect("the sandbox describes itself as JSON");
        let name = |at: usize| {
            let node: &str = nodes.get(at).copied().unwrap_or_default();
            node.split('=').next().unwrap_or_default().to_owned()
        };
        Self {
            places,
            source_node: name(0),
            target_node: name(1),
            plain_http: true,
            _sandbox: Some((child, stdin)),
        }
    }

    fn cluster() -> Self {
        let need = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see tests/README.md"))
        };
        let prefix = need("MS2M_TEST_IMAGE_PREFIX");
        let version = env!("CARGO_PKG_VERSION");
        Self {
            places: Places {
                kubeconfig: PathBuf::from(need("KUBECONFIG")),
                api_server: String::new(),
                broker_url: need("MS2M_TEST_BROKER_URL"),
                broker_url_in_pods: std::env::var("MS2M_TEST_BROKER_URL_IN_PODS").ok(),
                management_url: std::env::var("MS2M_TEST_MANAGEMENT_URL").unwrap_or_default(),
                registry: need("MS2M_TEST_REGISTRY"),
                worker_image: format!("{prefix}/ms2m-worker:{version}"),
                transfer_image: format!("{prefix}/ms2m-transfer:{version}"),
                control_url: String::new(),
                dir: PathBuf::new(),
            },
            source_node: need("MS2M_TEST_SOURCE_NODE"),
            target_node: need("MS2M_TEST_TARGET_NODE"),
            plain_http: std::env::var("MS2M_TEST_REGISTRY_PLAIN_HTTP").as_deref() == Ok("true"),
            _sandbox: None,
        }
    }

    /// Runs kubectl and gives what it printed; panics with its words when it fails.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "").await
    }

    /// The same, with something on its standard input.
    pub(crate) async fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        self.try_kubectl(arguments, input)
            .await
            .unwrap_or_else(|words| panic!("kubectl {} failed: {words}", arguments.join(" ")))
    }

    /// The same, giving its words when it fails.
    pub(crate) async fn try_kubectl(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, String> {
        use tokio::io::AsyncWriteExt;
        let mut child = tokio::process::Command::new("kubectl")
            .env("KUBECONFIG", &self.places.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl runs: install Debian's kubernetes-client");
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin
            .write_all(input.as_bytes())
            .await
            .expect("kubectl reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("kubectl ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// A document of RabbitMQ's management API.
    pub(crate) async fn management(&self, path: &str) -> serde_json::Value {
        let answer = self.managed(reqwest::Method::GET, path).await;
        answer.json().await.expect("it answers with JSON")
    }

    /// Deletes what is at this path of the management API, if it is there.
    pub(crate) async fn delete_at_broker(&self, path: &str) {
        self.managed(reqwest::Method::DELETE, path).await;
    }

    async fn managed(&self, method: reqwest::Method, path: &str) -> reqwest::Response {
        let broker = ms2m::broker::BrokerUrl::parse(&self.places.broker_url).expect("a broker URL");
        let base = match self.places.management_url.trim_end_matches('/') {
            "" => format!("http://{}:15672", broker.host()),
            url => url.to_owned(),
        };
        reqwest::Client::new()
            .request(method, format!("{base}/api/{path}"))
            .basic_auth(broker.user(), Some(broker.password()))
            .send()
            .await
            .expect("the management API answers")
    }

    /// Orders a fault of the API server from the sandbox; the answer takes it back.
    pub(crate) async fn order_of_api(&self, fault: serde_json::Value) -> String {
        let answer = Api::of(self).await.post("/sandbox/faults", &fault).await;
        format!("/sandbox/faults/{}", answer["id"])
    }

    /// Orders a fault of a node, the broker or the registry from the sandbox.
    pub(crate) async fn order(&self, path: &str, fault: serde_json::Value) -> serde_json::Value {
        self.try_order(path, fault)
            .await
            .unwrap_or_else(|words| panic!("the sandbox refuses {words}"))
    }

    /// Takes all faults of kubelets and the registry back.
    pub(crate) async fn clear_faults(&self) {
        let url = format!("{}/faults", self.places.control_url);
        let answer = reqwest::Client::new().delete(url).send().await;
        assert!(
            answer
                .expect("the sandbox takes orders")
                .status()
                .is_success()
        );
    }

    /// The same as [`Self::order`], giving the sandbox's words when it refuses.
    pub(crate) async fn try_order(
        &self,
        path: &str,
        fault: serde_json::Value,
    ) -> Result<serde_json::Value, String> {
        let url = format!("{}{path}", self.places.control_url);
        let response = reqwest::Client::new()
            .post(url)
            .json(&fault)
            .send()
            .await
            .expect("the sandbox takes orders");
        let status = response.status();
        let text = response.text().await.expect("it answers");
        if !status.is_success() {
            return Err(format!("{fault}: {status} {text}"));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// A binary of this workspace. Those of the other packages are siblings of `ms2m`: a `cargo test`
/// of the whole workspace, which is what `cargo test` does here, builds them.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_ms2m")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is not built: run cargo test without -p, or cargo build --workspace --bins",
        path.display()
    );
    path
}
