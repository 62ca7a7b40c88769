//! A kubelet's HTTP endpoint, as far as a test needs it, and the node that names it.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::World;

/// What a request, method and path, is answered with: a status and a text.
type Route = fn(&str) -> (u16, String);

/// The endpoint of one node. Each answer ends its connection.
pub(crate) struct Kubelet {
    requests: Arc<Mutex<Vec<String>>>,
}

impl Kubelet {
    /// Makes the node, and answers for it.
    pub(crate) async fn start(world: &World, node: &str, route: Route) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        world
            .make_global::<Node>(json!({"metadata": {"name": node}}))
            .await;
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        Api::<Node>::all(world.admin.clone())
            .patch_status(node, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("a status can be written");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, route, Arc::clone(&seen)));
            }
        });
        Self { requests }
    }

    /// The requests so far: method and path.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn serve(stream: TcpStream, route: Route, seen: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        if first.is_empty() {
            first = line;
        }
    }
    let asked = first.rsplit_once(' ').map_or("", |(asked, _)| asked);
    seen.lock().expect("no panic").push(asked.to_owned());
    let (code, body) = route(asked);
    let answer = format!(
        "HTTP/1.1 {code} Words\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.get_mut().write_all(answer.as_bytes()).await;
}
