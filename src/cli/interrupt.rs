//! Ctrl-C and its relatives: the first asks the engine to roll back, the second ends the process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::getpgrp;
use rustix::stdio::stderr;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::args::GlobalArgs;
use super::exit;
use super::report::Progress;
use super::ui::Ui;

/// The signals that ask a process to end: Ctrl-C, `kill`, and a terminal that was closed.
const KINDS: [fn() -> SignalKind; 3] = [
    SignalKind::interrupt,
    SignalKind::terminate,
    SignalKind::hangup,
];

/// What to type when a migration was left half done.
#[derive(Debug, Clone)]
pub struct Again {
    /// Goes on with it.
    pub resume: String,
    /// Rolls it back.
    pub abort: String,
}

impl Again {
    /// For migration `name`, as somebody with these flags would type it.
    #[must_use]
    pub fn new(global: &GlobalArgs, namespace: &str, name: &str) -> Self {
        let flags = flags(global, namespace);
        Self {
            resume: format!("ms2m migrate --resume {name} {flags}"),
            abort: format!("ms2m abort {name} {flags}"),
        }
    }

    /// The same for whoever had settings looked up.
    #[must_use]
    pub fn discovering(mut self, discover: bool) -> Self {
        if discover {
            self.resume.push_str(" --discover");
            self.abort.push_str(" --discover");
        }
        self
    }
}

/// The flags that reach the same namespace of the same cluster, as somebody would type them.
#[must_use]
pub fn flags(global: &GlobalArgs, namespace: &str) -> String {
    let mut flags = vec!["-n".to_owned(), quoted(namespace)];
    if let Some(context) = &global.context {
        flags.extend(["--context".to_owned(), quoted(context)]);
    }
    for (flag, path) in [
        ("--kubeconfig", &global.kubeconfig),
        ("--config", &global.config),
    ] {
        if let Some(path) = path {
            flags.extend([flag.to_owned(), quoted(&path.to_string_lossy())]);
        }
    }
    flags.join(" ")
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, nobody listens"]
pub struct Listening {
    task: JoinHandle<()>,
    echo: Arc<Mutex<Echo>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        restore(&self.echo);
    }
}

/// What is under way, as far as an interruption is concerned.
pub trait UnderWay: Send + Sync + 'static {
    /// The first signal has come: says what that means. `stopping`: it was about to stop already.
    fn interrupted(&self, stopping: bool);
    /// The second one has come: leaves the screen as it should stay, and gives the last words.
    fn stopped(&self) -> String;
}

/// One migration.
struct One {
    progress: Arc<Progress>,
    again: Again,
}

impl UnderWay for One {
    fn interrupted(&self, stopping: bool) {
        self.progress.note(if self.progress.is_committed() {
            "interrupted: past the commit point there is only forward, so it is being finished \
             (again to stop at once)"
        } else if stopping {
            "interrupted: it is being rolled back already (again to stop at once)"
        } else {
            "interrupted: rolling back, the source goes on serving (again to stop at once)"
        });
    }

    fn stopped(&self) -> String {
        self.progress.end();
        half_done(self.progress.is_committed(), &self.again)
    }
}

/// Listens for one migration, as [`listen_for`] does.
///
/// # Errors
/// The signals cannot be listened to.
pub fn listen(
    stop: CancellationToken,
    progress: Arc<Progress>,
    ui: Ui,
    again: Again,
) -> io::Result<Listening> {
    listen_for(stop, Arc::new(One { progress, again }), ui)
}

/// Listens in the background until the answer is dropped. The first signal cancels `stop` and
/// says what that means; the second ends the process and says how to go on.
///
/// # Errors
/// The signals cannot be listened to.
pub fn listen_for(
    stop: CancellationToken,
    under_way: Arc<dyn UnderWay>,
    ui: Ui,
) -> io::Result<Listening> {
    let mut signals = KINDS
        .iter()
        .map(|kind| signal(kind()))
        .collect::<io::Result<Vec<Signal>>>()?;
    let echo = Arc::new(Mutex::new(Echo::off()));
    let on_exit = Arc::clone(&echo);
    let task = tokio::spawn(async move {
        next(&mut signals).await;
        under_way.interrupted(stop.is_cancelled());
        stop.cancel();
        next(&mut signals).await;
        ui.insist(&under_way.stopped());
        restore(&on_exit);
        std::process::exit(exit::INTERRUPTED.into());
    });
    Ok(Listening { task, echo })
}

/// Keeps the terminal from writing `^C` into bars, which would then be drawn beside themselves.
#[derive(Debug)]
struct Echo {
    before: Option<Termios>,
}

impl Echo {
    fn off() -> Self {
        // Without a terminal there is nothing to keep quiet.
        let before = tcgetattr(stderr()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHOCTL);
            set(&quiet);
        }
        Self { before }
    }
}

/// Gives the terminal back as it was found.
fn restore(echo: &Mutex<Echo>) {
    let mut echo = echo.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = echo.before.take() {
        set(&before);
    }
}

/// A process in the background of its terminal would be stopped for this, so it does not try.
fn set(modes: &Termios) {
    let ours = tcgetpgrp(stderr()).is_ok_and(|foreground| foreground == getpgrp());
    if ours {
        // A terminal that refuses only looks worse.
        let _ = tcsetattr(stderr(), OptionalActions::Now, modes);
    }
}

/// The last words about one migration after a second signal.
pub(super) fn half_done(committed: bool, again: &Again) -> String {
    let Again { resume, abort } = again;
    if committed {
        format!(
            "stopped at once: the target serves, and something is left; to finish it:\n  {resume}"
        )
    } else {
        format!(
            "stopped at once: something is left half done; to undo it:\n  {abort}\nor to go on from wherever it stands:\n  {resume}"
        )
    }
}

/// Waits for the next of the signals.
async fn next(signals: &mut [Signal]) {
    let waits = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(waits).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use clap::ColorChoice;

    use super::super::report::View;
    use super::*;
    use crate::api::Phase;
    use crate::migration::event::{Event, EventKind, Reporter};

    struct Notes(Arc<Mutex<Vec<String>>>);

    impl View for Notes {
        fn event(&mut self, _: &Event) {}

        fn note(&mut self, text: &str) {
            let mut notes = self.0.lock().expect("nobody panics with it");
            notes.push(text.to_owned());
        }
    }

    fn again() -> Again {
        Again {
            resume: "ms2m migrate --resume w-1 -n shop".to_owned(),
            abort: "ms2m abort w-1 -n shop".to_owned(),
        }
    }

    #[test]
    fn the_last_words_are_commands_that_can_be_pasted() {
        insta::assert_snapshot!(half_done(false, &again()), @r"
        stopped at once: something is left half done; to undo it:
          ms2m abort w-1 -n shop
        or to go on from wherever it stands:
          ms2m migrate --resume w-1 -n shop
        ");
        insta::assert_snapshot!(half_done(true, &again()), @r"
        stopped at once: the target serves, and something is left; to finish it:
          ms2m migrate --resume w-1 -n shop
        ");
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
        assert_eq!(quoted("/etc/kube.config"), "/etc/kube.config");
    }

    /// What the first Ctrl-C says after `events`; it must also have cancelled.
    async fn first(events: Vec<EventKind>) -> String {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let progress =
            Progress::start(Box::new(Notes(notes.clone()))).expect("a thread can be had");
        for kind in events {
            progress.report(Event {
                time: jiff::Timestamp::UNIX_EPOCH,
                migration: "m".to_owned(),
                kind,
            });
        }
        let stop = CancellationToken::new();
        let ui = Ui::new(ColorChoice::Never, true);
        let listening = listen(stop.clone(), progress.clone(), ui, again())
            .expect("signals can be listened to");
        let sent = tokio::process::Command::new("kill")
            .args(["-s", "INT", &std::process::id().to_string()])
            .status()
            .await
            .expect("kill can be run");
        assert!(sent.success());
        tokio::time::timeout(Duration::from_secs(10), stop.cancelled())
            .await
            .expect("the first signal cancels");
        drop(listening);
        progress.end();
        notes.lock().expect("nobody panics with it").join("\n")
    }

    #[tokio::test]
    async fn the_first_ctrl_c_cancels_and_says_what_that_means() {
        let phase = Phase::Replaying;
        let before = first(vec![EventKind::PhaseStarted { phase }]).await;
        assert!(before.contains("rolling back"), "{before}");
        let after = first(vec![EventKind::Committed]).await;
        assert!(after.contains("only forward"), "{after}");
    }
}
