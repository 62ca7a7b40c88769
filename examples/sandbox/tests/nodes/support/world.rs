//! A running sandbox.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::programs::{SANDBOX, binary};

/// A sandbox, which ends when this is dropped, or at the latest with this process.
pub(crate) struct World {
    info: Value,
    child: Child,
}

/// The sandbox that all tests share: two nodes with CRI-O and one with containerd.
pub(crate) fn world() -> Arc<World> {
    static WORLD: OnceLock<Arc<World>> = OnceLock::new();
    let start = || World::start(&["--nodes", "node-a,node-b,node-c=containerd"]);
    Arc::clone(WORLD.get_or_init(|| Arc::new(start())))
}

impl World {
    /// Starts a sandbox.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(SANDBOX)
            .args(["up", "--until-stdin-closes", "--backoff", "1000"])
            .args(arguments)
            .env("MS2M_SANDBOX_WORKER_BINARY", binary("ms2m-worker"))
            .env("MS2M_SANDBOX_TRANSFER_BINARY", binary("ms2m-transfer"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox was built for this test");
        let mut line = String::new();
        let output = child.stdout.take().expect("is a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("is text");
        let info = serde_json::from_str(&line).expect("the sandbox has started and says where");
        Self { info, child }
    }

    /// Sends a signal to the sandbox.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("is a process"), signal).expect("is running");
    }

    /// A field of what the sandbox says about itself.
    pub(crate) fn text(&self, name: &str) -> String {
        self.info[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.info))
            .to_owned()
    }

    /// An HTTP client for the sandbox's endpoints.
    pub(crate) fn http() -> reqwest::Client {
        // No test outlives its own runtime, so none shares a client.
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("nothing here can be refused")
    }

    /// Orders something at the control endpoint, and gives what it says, which is mostly nothing.
    pub(crate) async fn order(&self, path: &str, body: Value) -> Value {
        let answer = Self::http()
            .post(format!("{}{path}", self.text("controlUrl")))
            .json(&body)
            .send()
            .await
            .expect("the sandbox answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "{path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Makes a durable queue by way of the management API.
    pub(crate) async fn declare(&self, queue: &str) {
        let answer = self
            .management(reqwest::Method::PUT, &format!("queues/%2f/{queue}"))
            .json(&json!({ "durable": true }))
            .send()
            .await
            .expect("the broker answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Publishes a numbered message, as a producer does.
    pub(crate) async fn publish(&self, queue: &str, publisher: &str, sequence: u64) {
        let payload = json!({ "publisher": publisher, "seq": sequence }).to_string();
        let answer = self
            .management(reqwest::Method::POST, "exchanges/%2f/amq.default/publish")
            .json(&json!({
                "routing_key": queue,
                "payload": payload,
                "payload_encoding": "string",
                "properties": { "delivery_mode": 2, "content_type": "application/json" },
            }))
            .send()
            .await
            .expect("the broker answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    fn management(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let broker = url::Url::parse(&self.text("brokerUrl")).expect("is a URL");
        let url = format!("{}/api/{path}", self.text("managementUrl"));
        Self::http()
            .request(method, url)
            .basic_auth(broker.username(), broker.password())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Also after a panic; what it says is looked at where it matters.
        let _ = self.child.wait();
    }
}
