//! The real `ms2m`, run as a person or a script would.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{World, binary};

/// How long a run may take, and how long it may say nothing of what is waited for: longer than all
/// of ms2m's own limits together. What is not over by then is over never.
const RUN: Duration = Duration::from_secs(300);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The result as JSON, of a stream the last line; panics with all words when there is none.
    pub(crate) fn json(&self) -> Value {
        let last = || self.stdout.lines().last().unwrap_or_default();
        let mut value: Value = serde_json::from_str(&self.stdout)
            .or_else(|_| serde_json::from_str(last()))
            .unwrap_or_else(|error| panic!("no JSON on stdout ({error}):\n{self:?}"));
        match value["event"].as_str() {
            Some("completed") => value["summary"].take(),
            _ => value,
        }
    }

    /// Panics unless it ended with this code.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A run that may still be going on. Its words on stderr are read as they come.
pub(crate) struct Running {
    child: tokio::process::Child,
    lines: watch::Receiver<Vec<String>>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
}

impl Running {
    /// Sends a signal, as `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let status = tokio::process::Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .await;
        assert!(status.expect("kill runs").success());
    }

    /// Waits until stderr has these words.
    pub(crate) async fn says(&self, words: &str) {
        let mut lines = self.lines.clone();
        let said = lines.wait_for(|lines| lines.iter().any(|line| line.contains(words)));
        let said = tokio::time::timeout(super::DEADLINE, said).await;
        assert!(
            said.is_ok_and(|said| said.is_ok()),
            "'{words}' is not in:\n{}",
            self.stderr()
        );
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        self.lines.borrow().join("\n")
    }

    /// Waits for the end.
    pub(crate) async fn outcome(mut self) -> Outcome {
        let ended = tokio::time::timeout(RUN, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("ms2m does not end; it said:\n{}", self.stderr()))
            .expect("ms2m ends");
        self.stderr.await.expect("the reader does not panic");
        Outcome {
            code: status.code(),
            stdout: self.stdout.await.expect("the reader does not panic"),
            stderr: self.lines.borrow().join("\n"),
        }
    }

    /// To ask what it says, rather than to expect it.
    pub(crate) fn follow(self) -> Followed {
        Followed(self)
    }
}

/// A run that is asked what it says.
pub(crate) struct Followed(Running);

impl Followed {
    /// Waits until one of its lines has `part` in it; `false` when it has ended without.
    pub(crate) async fn says(&mut self, part: &str) -> bool {
        let said = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
        self.hears(said).await
    }

    /// Whether one of its lines so far has `part` in it.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.0.lines.borrow().iter().any(|line| line.contains(part))
    }

    /// Waits until it has said so many lines; `false` when it has ended before.
    pub(crate) async fn says_lines(&mut self, count: usize) -> bool {
        self.hears(|lines| lines.len() >= count).await
    }

    /// Waits until it has said so many more lines; `false` when it has ended before.
    pub(crate) async fn says_more(&mut self, count: usize) -> bool {
        let now = self.0.lines.borrow().len();
        self.says_lines(now + count).await
    }

    /// Waits until it has said its last.
    pub(crate) async fn falls_silent(&mut self) {
        while self.0.lines.changed().await.is_ok() {}
    }

    async fn hears(&mut self, said: impl FnMut(&Vec<String>) -> bool) -> bool {
        let heard = tokio::time::timeout(RUN, self.0.lines.wait_for(said));
        let heard = heard.await.map(|heard| heard.is_ok());
        heard.unwrap_or_else(|_| panic!("ms2m neither says it nor ends:\n{}", self.0.stderr()))
    }

    /// Sends a signal, as `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        self.0.signal(name).await;
    }

    /// Waits for the end.
    pub(crate) async fn outcome(self) -> Outcome {
        self.0.outcome().await
    }
}

/// Starts `ms2m` with nothing of this process's environment that it would read.
pub(crate) fn start(world: &World, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
    let home = tempfile::tempdir().expect("a home directory");
    let mut command = tokio::process::Command::new(binary("ms2m"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("KUBECONFIG", &world.places.kubeconfig)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("ms2m starts");
    let mut out = child.stdout.take().expect("it was piped");
    let err = child.stderr.take().expect("it was piped");
    let stdout = tokio::spawn(async move {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).await.expect("a pipe is read");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let (tell, lines) = watch::channel(Vec::new());
    let stderr = tokio::spawn(async move {
        let mut read = BufReader::new(err).lines();
        while let Some(line) = read.next_line().await.expect("a pipe is read") {
            tell.send_modify(|lines: &mut Vec<String>| lines.push(line));
        }
    });
    Running {
        child,
        lines,
        stdout,
        stderr,
    }
}
