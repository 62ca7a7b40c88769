//! The real `ms2m`, run as a person or a script would.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
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
    stderr: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
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
        let until = std::time::Instant::now() + super::DEADLINE;
        while !self.stderr().contains(words) {
            assert!(
                std::time::Instant::now() < until && !self.reads.is_finished(),
                "'{words}' is not in:\n{}",
                self.stderr()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().expect("nobody panics with it").clone()
    }

    /// Waits for the end.
    pub(crate) async fn outcome(self) -> Outcome {
        let output = self.child.wait_with_output().await.expect("ms2m ends");
        self.reads.await.expect("its words are read");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: self.stderr.lock().expect("nobody panics with it").clone(),
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
    let mut child = command.spawn().expect("ms2m starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it was piped"));
    let stderr = Arc::new(Mutex::new(String::new()));
    let words = Arc::clone(&stderr);
    let reads = tokio::spawn(async move {
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .await
            .is_ok_and(|n| n > 0)
        {
            let text = String::from_utf8_lossy(&line);
            words.lock().expect("nobody panics with it").push_str(&text);
            line.clear();
        }
    });
    Running {
        child,
        stderr,
        reads,
    }
}
