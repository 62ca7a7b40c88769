//! The real `ms2m`, run as a person or a script would.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{World, binary};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The result as JSON; panics with all words when there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON on stdout ({error}):\n{self:?}"))
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

/// A run that may still be going on.
pub(crate) struct Running {
    child: tokio::process::Child,
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

    /// Waits for the end.
    pub(crate) async fn outcome(self) -> Outcome {
        let output = self.child.wait_with_output().await.expect("ms2m ends");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A run whose words on stderr are read as they come.
pub(crate) struct Followed {
    running: Running,
    lines: watch::Receiver<Vec<String>>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
}

impl Running {
    /// Reads along from now on.
    pub(crate) fn follow(mut self) -> Followed {
        let mut out = self.child.stdout.take().expect("it is piped");
        let err = self.child.stderr.take().expect("it is piped");
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
        Followed {
            running: self,
            lines,
            stdout,
            stderr,
        }
    }
}

impl Followed {
    /// Waits until one of its lines has `part` in it; `false` when it has ended without.
    pub(crate) async fn says(&mut self, part: &str) -> bool {
        let said = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
        self.lines.wait_for(said).await.is_ok()
    }

    /// Whether one of its lines so far has `part` in it.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.lines.borrow().iter().any(|line| line.contains(part))
    }

    /// Waits until it has said so many lines; `false` when it has ended before.
    pub(crate) async fn says_lines(&mut self, count: usize) -> bool {
        self.lines
            .wait_for(|lines| lines.len() >= count)
            .await
            .is_ok()
    }

    /// Waits until it has said its last.
    pub(crate) async fn falls_silent(&mut self) {
        while self.lines.changed().await.is_ok() {}
    }

    /// Sends a signal, as `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        self.running.signal(name).await;
    }

    /// Waits for the end.
    pub(crate) async fn outcome(mut self) -> Outcome {
        let status = self.running.child.wait().await.expect("ms2m ends");
        self.stderr.await.expect("the reader does not panic");
        Outcome {
            code: status.code(),
            stdout: self.stdout.await.expect("the reader does not panic"),
            stderr: self.lines.borrow().join("\n"),
        }
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
    Running {
        child: command.spawn().expect("ms2m starts"),
    }
}
