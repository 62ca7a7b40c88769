//! `ms2m-transfer receive` with certificates of its own, and a client that asks as runtimes do.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ms2m_transfer::direct::{
    AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, SERVER_CERTIFICATE, SERVER_KEY, SERVER_NAME, TOKEN,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::Method;
use reqwest::header::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::binary::Transfer;
use super::{block_on, wait_for};

/// The one repository.
pub(crate) const REPOSITORY: &str = "ms2m/worker-0-m1";

/// The receiver's and the sender's files, as `ms2m` makes them.
pub(crate) fn secrets() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&key).expect("it is signed");
    let issuer = Issuer::new(authority, key);
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("writes");
    };
    write(AUTHORITY, &certificate.pem());
    for (name, purpose, certificate, key) in [
        (
            SERVER_NAME,
            ExtendedKeyUsagePurpose::ServerAuth,
            SERVER_CERTIFICATE,
            SERVER_KEY,
        ),
        (
            "sender",
            ExtendedKeyUsagePurpose::ClientAuth,
            CLIENT_CERTIFICATE,
            CLIENT_KEY,
        ),
    ] {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![purpose];
        let pair = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&pair, &issuer).expect("it is signed");
        write(certificate, &signed.pem());
        write(key, &pair.serialize_pem());
    }
    write(TOKEN, "a token of this migration alone");
    directory
}

/// Copies one side's files, so that some of them can be replaced.
pub(crate) fn copy_of(secrets: &Path) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for file in std::fs::read_dir(secrets).expect("reads") {
        let file = file.expect("reads");
        let target = directory.path().join(file.file_name());
        std::fs::copy(file.path(), target).expect("copies");
    }
    directory
}

/// A receiver that runs.
pub(crate) struct Receiver {
    process: Child,
    /// Where it serves.
    pub(crate) registry: SocketAddr,
    /// Where it takes.
    pub(crate) address: SocketAddr,
    pub(crate) secrets: TempDir,
    /// What it keeps its files in.
    pub(crate) data: TempDir,
}

/// An answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A command with the environment of a receiver's pod, on any ports.
pub(crate) fn command(secrets: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ms2m-transfer"));
    command
        .arg("receive")
        .env_clear()
        .env(ms2m_transfer::env::RECEIVE_REPOSITORY, REPOSITORY)
        .env(ms2m_transfer::env::RECEIVE_PORT, "0")
        .env(ms2m_transfer::env::RECEIVE_ADDRESS, "127.0.0.1")
        .env(ms2m_transfer::env::RECEIVE_DIRECTORY, data)
        .env(ms2m_transfer::env::DIRECT_SECRETS, secrets)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let (secrets, data) = (secrets(), tempfile::tempdir().expect("a directory"));
        let mut process = command(secrets.path(), data.path())
            .args(arguments)
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says where it listens");
        let said: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let place = |name: &str| {
            let text = said[name].as_str().expect("it is there");
            text.parse().expect("an address")
        };
        Self {
            process,
            registry: place("registry"),
            address: place("receiver"),
            secrets,
            data,
        }
    }

    /// A push of `archive` to it, without compression.
    pub(crate) fn push(&self, archive: &Path) -> Transfer {
        self.push_by(archive, self.address, self.secrets.path())
    }

    /// The same by another address, or with other secrets.
    pub(crate) fn push_by(&self, archive: &Path, by: SocketAddr, secrets: &Path) -> Transfer {
        let port = self.registry.port();
        Transfer::new(archive, &format!("localhost:{port}/{REPOSITORY}:m1"))
            .env(ms2m_transfer::env::COMPRESSION, "none")
            .env(ms2m_transfer::env::RECEIVER, by.to_string())
            .env(ms2m_transfer::env::DIRECT_SECRETS, secrets)
    }

    /// Asks on loopback, as the node's runtime does.
    pub(crate) fn ask(&self, method: Method, path: &str, range: Option<&str>) -> Answered {
        let url = format!("http://{}/v2/{path}", self.registry);
        block_on(async {
            let mut request = reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client")
                .request(method, url);
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let answer = request.send().await.expect("it answers");
            Answered {
                status: answer.status().as_u16(),
                headers: answer.headers().clone(),
                body: answer.bytes().await.expect("all of it").to_vec(),
            }
        })
    }

    /// What a runtime gets of the repository.
    pub(crate) fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, &format!("{REPOSITORY}/{path}"), None)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Ends it as a kubelet does, and gives its exit code and what it said.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        kill_process(self.pid(), Signal::TERM).expect("it is our child");
        let status = wait_for("the end of the receiver", || {
            self.process.try_wait().expect("it is our child")
        });
        let mut said = String::new();
        let mut stderr = self.process.stderr.take().expect("stderr is piped");
        stderr.read_to_string(&mut said).expect("it is text");
        (status.code(), said)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
