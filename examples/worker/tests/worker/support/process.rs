//! A worker as a process: started as a container runtime starts one, watched over HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ms2m_worker::snapshot::{self, RuntimeEnd};
use ms2m_worker::worker::Report;
use tokio::net::UnixStream;

use super::{App, PATIENCE, unique};

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_ms2m-worker");

/// The files and the address of a pod. Its process reads them anew on each connection.
pub(crate) struct Pod {
    dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Pod {
    /// A pod with a loopback address of its own.
    pub(crate) fn new(name: &str) -> Self {
        let [_, high, low, _] = (std::process::id() << 8 | unique() & 0xff).to_be_bytes();
        let number = u8::try_from(unique() % 250 + 1).expect("is below 256");
        let ip = Ipv4Addr::new(127, 100 | (high & 0x1f), low, number);
        let probe = TcpListener::bind((ip, 0)).expect("loopback has free ports");
        let pod = Self {
            dir: tempfile::tempdir().expect("makes a directory"),
            address: probe.local_addr().expect("is bound"),
        };
        pod.rename(name);
        pod
    }

    /// Gives the pod another name in its files, and in them alone.
    pub(crate) fn rename(&self, name: &str) {
        let hosts = format!("127.0.0.1 localhost\n{} {name}\n", self.address.ip());
        std::fs::write(self.dir.path().join("hosts"), hosts).expect("writes");
        std::fs::write(self.dir.path().join("hostname"), format!("{name}\n")).expect("writes");
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// A running worker. Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    url: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// The environment of a worker of an application in a pod.
pub(crate) fn environment(app: &App, pod: &Pod) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("AMQP_URL", app.url.clone()),
        ("QUEUE", app.queue.clone()),
        ("LISTEN_PORT", pod.address.port().to_string()),
        ("RECONNECT_DELAY", "100ms".to_owned()),
        (
            "HOSTNAME_FILE",
            pod.dir().join("hostname").display().to_string(),
        ),
        ("HOSTS_FILE", pod.dir().join("hosts").display().to_string()),
    ])
}

impl Worker {
    /// Starts a worker in a pod, with more of an environment than the usual.
    pub(crate) async fn start(app: &App, pod: &Pod, more: &[(&'static str, &str)]) -> Self {
        let mut variables = environment(app, pod);
        variables.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let mut command = Command::new(WORKER);
        command.env_clear().envs(variables).stdin(Stdio::null());
        let worker = Self::spawn(command, pod);
        worker.wait("consuming", |report| report.consuming).await;
        worker
    }

    /// Starts a worker as a runtime without CRIU does, and gives the runtime's end.
    pub(crate) fn under_a_runtime(
        pod: &Pod,
        variables: BTreeMap<&'static str, String>,
    ) -> (Self, RuntimeEnd<UnixStream>) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("makes a pair");
        ours.set_nonblocking(true).expect("is a socket");
        let mut command = Command::new("sh");
        // The standard library passes standard streams on and nothing else; the shell moves
        // one to where it belongs.
        command
            .args(["-c", r#"exec "$0" 3<&0 </dev/null"#, WORKER])
            .env_clear()
            .envs(variables)
            .env(snapshot::FD_VARIABLE, snapshot::FD.to_string())
            .stdin(OwnedFd::from(theirs));
        let worker = Self::spawn(command, pod);
        (
            worker,
            RuntimeEnd::new(UnixStream::from_std(ours).expect("is nonblocking")),
        )
    }

    /// Starts a worker by a command, and collects its log.
    pub(crate) fn spawn(mut command: Command, pod: &Pod) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        let stderr = BufReader::new(child.stderr.take().expect("is piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().expect("nobody panics with it").push(line);
            }
        });
        Self {
            child,
            url: format!("http://{}", pod.address),
            log,
        }
    }

    /// What the worker has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").join("\n")
    }

    pub(crate) fn state_url(&self) -> String {
        format!("{}/state", self.url)
    }

    /// Status of a path of the worker's endpoint; `None` if it does not answer within `limit`.
    pub(crate) async fn probe(&self, path: &str, limit: Duration) -> Option<u16> {
        let answer = tokio::time::timeout(limit, reqwest::get(format!("{}{path}", self.url)));
        Some(answer.await.ok()?.ok()?.status().as_u16())
    }

    /// The worker's state now, if it answers.
    pub(crate) async fn state(&self) -> Option<Report> {
        reqwest::get(self.state_url()).await.ok()?.json().await.ok()
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            if let Some(report) = self.state().await {
                if wanted(&report) {
                    return report;
                }
                last = Some(report);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the worker is not {what} but {last:?}\n{}", self.log());
    }

    /// Waits until the worker has logged something with these words.
    pub(crate) async fn logged(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(
                Instant::now() < deadline,
                "not logged: {words}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        super::signal(&self.child, signal);
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("is ours to wait for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the worker does not end\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only for one that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
