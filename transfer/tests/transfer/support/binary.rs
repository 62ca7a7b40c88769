//! Runs of `ms2m-transfer`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Instant;

use ms2m_transfer::{Event, Failed, Pushed, Report};
use tempfile::TempDir;

use super::{DEADLINE, wait_for};

/// A run that has ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) termination_message: String,
}

impl Outcome {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.stdout
            .lines()
            .map(|line| Event::parse(line).expect(line))
            .collect()
    }

    pub(crate) fn retries(&self) -> usize {
        self.events()
            .iter()
            .filter(|event| matches!(event, Event::Retrying(_)))
            .count()
    }

    /// The report, which has to be the same in the last event and in the termination message.
    pub(crate) fn report(&self) -> Report {
        let report = Report::parse(&self.termination_message)
            .unwrap_or_else(|error| panic!("{error}: {}", self.everything()));
        assert_eq!(self.events().pop(), Some(report.clone().into()));
        report
    }

    pub(crate) fn pushed(&self) -> Pushed {
        assert_eq!(self.code, Some(0), "{}", self.everything());
        match self.report() {
            Report::Pushed(pushed) => pushed,
            Report::Failed(failed) => panic!("{failed:?}"),
        }
    }

    /// The failure, which has to come with its exit code and with words on stderr.
    pub(crate) fn failed(&self) -> Failed {
        match self.report() {
            Report::Pushed(pushed) => panic!("{pushed:?}"),
            Report::Failed(failed) => {
                let code = ms2m_transfer::ExitCode::from(failed.code).code();
                assert_eq!(self.code, Some(i32::from(code)), "{}", self.everything());
                assert!(self.stderr.contains("error: "), "{}", self.stderr);
                failed
            }
        }
    }

    /// All that the process let out.
    pub(crate) fn everything(&self) -> String {
        format!(
            "{:?}\n{}\n{}\n{}",
            self.code, self.stdout, self.stderr, self.termination_message
        )
    }
}

/// A run in the making.
pub(crate) struct Transfer {
    command: Command,
    directory: TempDir,
}

impl Transfer {
    /// A run without arguments, with an environment of its own and a termination log.
    pub(crate) fn bare() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("termination-log");
        std::fs::write(&log, "left over from an earlier run, and longer than some")
            .expect("writes");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ms2m-transfer"));
        command
            .env_clear()
            .env("HOME", directory.path())
            .env(ms2m_transfer::env::TERMINATION_LOG, &log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, directory }
    }

    /// A run that pushes `archive` as `image`, over plain HTTP, configured as in a pod.
    pub(crate) fn new(archive: &Path, image: &str) -> Self {
        Self::bare()
            .env(ms2m_transfer::env::ARCHIVE, archive)
            .env(ms2m_transfer::env::IMAGE, image)
            .env(ms2m_transfer::env::PLAIN_HTTP, "true")
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn run(self) -> Outcome {
        self.spawn().wait()
    }

    pub(crate) fn spawn(mut self) -> Running {
        let mut child = self.command.spawn().expect("the binary runs");
        let (line, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            for each in BufReader::new(stdout).lines().map_while(Result::ok) {
                text.push_str(&each);
                text.push('\n');
                let _ = line.send(each);
            }
            text
        });
        let mut pipe = child.stderr.take().expect("stderr is piped");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        });
        Running {
            child,
            lines,
            stdout: Some(stdout),
            stderr: Some(stderr),
            log: self.directory.path().join("termination-log"),
            _directory: self.directory,
        }
    }
}

/// A process that is still at work.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    log: PathBuf,
    _directory: TempDir,
}

impl Running {
    /// Waits for an event that `is_it` knows.
    pub(crate) fn wait_for_event(&self, is_it: impl Fn(&Event) -> bool) {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            let line = self.lines.recv_timeout(DEADLINE).expect("an event");
            if Event::parse(&line).is_some_and(|event| is_it(&event)) {
                return;
            }
        }
        panic!("no such event within {DEADLINE:?}");
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    pub(crate) fn wait(mut self) -> Outcome {
        let status = wait_for("the end of ms2m-transfer", || {
            self.child.try_wait().expect("it is our child")
        });
        Outcome {
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            termination_message: std::fs::read_to_string(&self.log).expect("the log is there"),
        }
    }
}

fn text(reader: Option<JoinHandle<String>>) -> String {
    let reader = reader.expect("a run is waited for once");
    reader.join().expect("the reading thread does not panic")
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only when a test has failed; otherwise the process is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
