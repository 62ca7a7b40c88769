//! The shell in which the commands of a document are typed, one after the other.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::scenes::Scene;
use crate::support::world::binary;

/// How long a command may take: as long as an installation whose pods a machine under load starts.
const LIMIT: Duration = Duration::from_secs(120);

/// `bash -euo pipefail` with the built programs on its path, in a directory with a copy of `examples/`.
pub(crate) struct Shell {
    _child: Child,
    keys: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The person's home.
    _home: tempfile::TempDir,
    /// What the commands said, each in a file of its own.
    said: tempfile::TempDir,
    count: usize,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) said: String,
}

/// Where the built programs are.
pub(crate) fn programs() -> PathBuf {
    let ms2m = binary("ms2m");
    ms2m.parent().expect("it is in a directory").to_owned()
}

impl Shell {
    /// Starts it with nothing of this process's environment that a command would read.
    pub(crate) fn start(scene: &Scene) -> Self {
        let home = tempfile::tempdir().expect("a home directory");
        let own = home.path().join("bin");
        std::fs::create_dir(&own).expect("a directory is made");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(examples)
            .arg(home.path())
            .status();
        assert!(copied.expect("cp runs").success());
        scene.furnish(home.path());
        let of_this_process = std::env::var("PATH").unwrap_or_default();
        let path = [own.display(), programs().display()].map(|it| it.to_string());
        let mut child = tokio::process::Command::new("bash")
            .args(["-euo", "pipefail"])
            .env_clear()
            .env("PATH", format!("{}:{of_this_process}", path.join(":")))
            .env("HOME", home.path())
            .env("SHELL", "/bin/bash")
            .envs(scene.environment())
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("bash starts");
        let answers = child.stdout.take().expect("it was piped");
        Self {
            keys: child.stdin.take().expect("it was piped"),
            answers: BufReader::new(answers).lines(),
            _child: child,
            _home: home,
            said: tempfile::tempdir().expect("a directory"),
            count: 0,
        }
    }

    fn file(&self) -> PathBuf {
        self.said.path().join(self.count.to_string())
    }

    /// What the command has said so far.
    pub(crate) fn said(&self) -> String {
        let bytes = std::fs::read(self.file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn press(&mut self, keys: &str) {
        let pressed = self.keys.write_all(keys.as_bytes()).await;
        pressed.expect("the shell takes keys");
    }

    /// What the shell says of a command. One that ended it, as an unset variable does, has said why.
    async fn answer(&mut self) -> i32 {
        let line = tokio::time::timeout(LIMIT, self.answers.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("it does not end:\n{}", self.said()));
        let line = line.expect("a pipe is read");
        let number = line.as_deref().and_then(|line| line.parse().ok());
        number.unwrap_or_else(|| panic!("the shell has ended:\n{}", self.said()))
    }

    /// Types a command, and waits for its end.
    pub(crate) async fn run(&mut self, text: &str) -> Ended {
        self.count += 1;
        let to = self.file().display().to_string();
        let keys = format!(
            "{{ {text}\n}} </dev/null >'{to}' 2>&1 && code=0 || code=$?\nprintf '%s\\n' \"$code\"\n"
        );
        self.press(&keys).await;
        self.ended().await
    }

    async fn ended(&mut self) -> Ended {
        let code = self.answer().await;
        Ended {
            code,
            said: self.said(),
        }
    }

    /// Types a command that goes on, in a process group of its own as on a terminal.
    pub(crate) async fn begin(&mut self, text: &str) -> Group {
        self.count += 1;
        let to = self.file().display().to_string();
        let keys = format!(
            "set -m\n{{ {text}\n}} </dev/null >'{to}' 2>&1 &\nset +m\nprintf '%s\\n' \"$!\"\n"
        );
        self.press(&keys).await;
        Group(self.answer().await)
    }

    /// Waits for the end of what was begun.
    pub(crate) async fn end(&mut self) -> Ended {
        self.press("wait $! && code=0 || code=$?\nprintf '%s\\n' \"$code\"\n")
            .await;
        self.ended().await
    }
}

/// What was begun.
pub(crate) struct Group(i32);

impl Group {
    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let killed = std::process::Command::new("kill")
            .args(["-s", "INT", "--", &format!("-{}", self.0)])
            .status();
        assert!(killed.expect("kill runs").success());
    }
}
