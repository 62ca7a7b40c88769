//! A socket that answers every request alike and counts them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ms2m::cluster::{ConnectOptions, KubeCluster, connect};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request once it has read it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Status, content type, body.
    Status(u16, &'static str, &'static str),
    /// Close the connection without a byte.
    Cut,
    /// Close it in the middle of the answer.
    CutInside,
    /// Say nothing, for ever.
    Silence,
}

/// The server, and a cluster adapter that talks to it.
pub(crate) struct Counting {
    requests: Arc<AtomicUsize>,
    pub(crate) cluster: KubeCluster,
    _dir: TempDir,
}

impl Counting {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, Arc::clone(&count)));
            }
        });
        let dir = TempDir::new().expect("a temporary directory");
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_text(&format!("http://{address}")))
            .expect("it can be written");
        Self {
            requests,
            cluster: cluster(kubeconfig).await,
            _dir: dir,
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn cluster(kubeconfig: PathBuf) -> KubeCluster {
    let options = ConnectOptions {
        kubeconfig: Some(kubeconfig),
        ..ConnectOptions::default()
    };
    connect(&options).await.expect("a usable kubeconfig")
}

fn kubeconfig_text(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: '{server}'}}\n\
         contexts:\n- name: c\n  context: {{cluster: c, user: u, namespace: shop}}\nusers:\n- name: u\n  user: {{token: t}}\n"
    )
}

/// Reads requests without a body of their own until the client goes.
async fn serve(stream: TcpStream, answer: Answer, count: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let text = match answer {
            Answer::Cut => return,
            Answer::Silence => std::future::pending().await,
            Answer::CutInside => {
                "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"items\"".to_owned()
            }
            Answer::Status(code, kind, body) => format!(
                "HTTP/1.1 {code} Words\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        if stream.get_mut().write_all(text.as_bytes()).await.is_err()
            || matches!(answer, Answer::CutInside)
        {
            return;
        }
    }
}
