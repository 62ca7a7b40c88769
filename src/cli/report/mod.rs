//! Progress on stderr, from the engine's events.
//!
//! The engine's side only puts an event into a channel; a thread of its own draws, so that a slow
//! terminal never holds a migration up. What is drawn is a [`View`]: bars or a counter in place, lines
//! for logs, or nothing.

mod bars;
mod counter;
mod labelled;
mod lines;
mod stream;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::bars::{Bars, Shape};
use self::counter::Counter;
use self::lines::Lines;
use super::args::ProgressMode;
use super::failure::{Outcome, unless_in_doubt};
use super::output::{Output, show};
use super::screen::Screen;
use super::ui::{Tone, Ui};
use super::view::summary as summary_view;
use crate::migration::event::{Event, EventKind, Reporter};
use crate::migration::summary::Summary;

/// How often a view may redraw what moves by itself.
const TICK: Duration = Duration::from_millis(100);

/// Shows events. Lives in a thread of its own and may take its time.
pub trait View: Send {
    /// Shows one event.
    fn event(&mut self, event: &Event);
    /// Shows a line that is no event, as after Ctrl-C.
    fn note(&mut self, text: &str);
    /// Time has passed.
    fn tick(&mut self) {}
    /// There will be no more: leaves the screen as it should stay.
    fn end(&mut self) {}
}

/// Shows no events. A note is still told, unless the user wants quiet: somebody has just pressed
/// Ctrl-C and waits for an answer.
#[derive(Debug)]
pub struct Silence {
    ui: Ui,
}

impl View for Silence {
    fn event(&mut self, _: &Event) {}

    fn note(&mut self, text: &str) {
        self.ui.words(text);
    }
}

enum Message {
    Event(Box<Event>),
    Note(String),
    End,
}

/// The engine's reporter: hands events to a view in another thread.
#[derive(Debug)]
pub struct Progress {
    sender: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    committed: AtomicBool,
}

impl Progress {
    /// Starts the thread that draws `view`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(view: Box<dyn View>) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || draw(view, &receiver))?;
        Ok(Arc::new(Self {
            sender,
            thread: Mutex::new(Some(thread)),
            committed: AtomicBool::new(false),
        }))
    }

    /// Shows a line among the events.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Message::Note(text.into()));
    }

    /// Whether the migration has passed its commit point.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Relaxed)
    }

    /// Shows what was told so far and ends the thread. What is told afterwards is dropped.
    pub fn end(&self) {
        self.send(Message::End);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A view that has panicked has said so itself.
            let _ = thread.join();
        }
    }

    fn send(&self, message: Message) {
        // Without a receiver the end has been shown already.
        let _ = self.sender.send(message);
    }
}

impl Reporter for Progress {
    fn report(&self, event: Event) {
        if matches!(event.kind, EventKind::Committed) {
            self.committed.store(true, Ordering::Relaxed);
        }
        self.send(Message::Event(Box::new(event)));
    }
}

fn draw(mut view: Box<dyn View>, receiver: &mpsc::Receiver<Message>) {
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(Message::Event(event)) => view.event(&event),
            Ok(Message::Note(text)) => view.note(&text),
            Err(RecvTimeoutError::Timeout) => view.tick(),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    view.end();
}

/// The view that the user wants: bars on a terminal, lines elsewhere, and lines as well when log
/// messages go to the same terminal, since those would tear bars apart.
#[must_use]
pub fn view(ui: &Ui, mode: ProgressMode, logs: bool) -> Box<dyn View> {
    let drawn = ui.can_redraw_stderr();
    let paint = ui.err_paint();
    let bars = |shape| Box::new(Bars::new(Screen::on_stderr(), paint, shape));
    let lines = || Lines::new(Box::new(std::io::stderr()), paint);
    match mode {
        ProgressMode::None => Box::new(Silence { ui: ui.clone() }),
        _ if ui.is_quiet() => Box::new(Silence { ui: ui.clone() }),
        ProgressMode::Auto if drawn && !logs => bars(Shape::Bar),
        ProgressMode::Bar if drawn => bars(Shape::Bar),
        ProgressMode::Counter if drawn => bars(Shape::Counter),
        ProgressMode::Counter => Box::new(Counter::new(lines())),
        ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Lines => Box::new(lines()),
    }
}

/// The same view, and each event as a line of JSON on stdout where that is wanted.
#[must_use]
pub fn streamed(ui: &Ui, output: Output, shown: Box<dyn View>) -> Box<dyn View> {
    if output == Output::Json {
        let ui = ui.clone();
        return Box::new(stream::Stream { ui, shown });
    }
    shown
}

/// Shows what a migration came to: the last line of the stream, or the result by itself.
///
/// # Errors
/// Writing to stdout fails; [`super::exit::IN_DOUBT`], told already.
pub fn result(ui: &Ui, output: Output, summary: &Summary) -> Outcome {
    let text = || summary_view::text(summary, ui.out_paint(), ui.columns());
    match output {
        Output::Json => stream::completed(ui, summary)?,
        other => show(ui, other, summary, || summary.migration.clone(), text)?,
    }
    unless_in_doubt(ui, summary)
}

/// The view of one of several migrations at once: lines that begin with its name, since bars of
/// several would fight for one terminal.
#[must_use]
pub fn labelled(ui: &Ui, mode: ProgressMode, label: &str) -> Box<dyn View> {
    if mode == ProgressMode::None || ui.is_quiet() {
        return Box::new(Silence { ui: ui.clone() });
    }
    let paint = ui.err_paint();
    let label = format!("{} ", paint.tone(Tone::Strong, label));
    let out = labelled::Labelled::new(label, Box::new(std::io::stderr()));
    Box::new(Lines::new(Box::new(out), paint))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::api::{Phase, Strategy};
    use crate::migration::error::{Error, ErrorKind};
    use jiff::{SignedDuration, Timestamp};

    /// Keeps what is written.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(crate) fn text(&self) -> String {
            let bytes = self.0.lock().expect("nobody panics with it").clone();
            String::from_utf8(bytes).expect("it is text")
        }
    }

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut kept = self.0.lock().expect("nobody panics with it");
            kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The events of a migration that goes well, with the milliseconds at which they come.
    pub(crate) fn success() -> Vec<Event> {
        use EventKind::*;
        let mut events = vec![
            (0, started()),
            (0, begin(Phase::Pending)),
            (40, step(Phase::Pending, "lock taken on pod worker-0")),
            (120, finish(Phase::Pending, 0.12)),
            (120, begin(Phase::Checkpointing)),
            (
                200,
                step(Phase::Checkpointing, "gate closed on queue orders"),
            ),
            (
                210,
                Warning {
                    message: "the broker does not count unacknowledged messages".to_owned(),
                },
            ),
            (900, finish(Phase::Checkpointing, 0.78)),
            (900, begin(Phase::Transferring)),
        ];
        for tenth in 0..=10_u32 {
            events.push((1_000 + i64::from(tenth) * 100, transfer(tenth)));
        }
        events.extend([
            (2_100, finish(Phase::Transferring, 1.2)),
            (2_100, begin(Phase::Restoring)),
            (2_500, finish(Phase::Restoring, 0.4)),
            (2_500, begin(Phase::Replaying)),
            (2_600, replay(80, None)),
            (3_600, replay(30, Some(95.0))),
            (4_900, replay(0, Some(95.0))),
            (5_000, finish(Phase::Replaying, 2.5)),
            (5_000, begin(Phase::Finalizing)),
            (5_100, Committed),
            (5_200, finish(Phase::Finalizing, 0.2)),
        ]);
        at(events)
    }

    /// The events of a migration whose restore fails.
    pub(crate) fn failure() -> Vec<Event> {
        use EventKind::*;
        let error = Error::new(ErrorKind::RolledBack, "failed to restore");
        at(vec![
            (0, started()),
            (0, begin(Phase::Restoring)),
            (
                900,
                UndoStarted {
                    reason: "CreateContainerError: image not known".to_owned(),
                },
            ),
            (
                1_000,
                Undone {
                    what: "target pod worker-0-shadow removed".to_owned(),
                },
            ),
            (
                1_100,
                UndoFailed {
                    what: "queue orders.ms2m-source".to_owned(),
                    cause: "connection refused".to_owned(),
                },
            ),
            (1_150, finish(Phase::Restoring, 1.15)),
            (
                1_200,
                Failed {
                    error: Box::new(error),
                },
            ),
        ])
    }

    fn at(events: Vec<(i64, EventKind)>) -> Vec<Event> {
        events
            .into_iter()
            .map(|(milliseconds, kind)| Event {
                time: Timestamp::UNIX_EPOCH + SignedDuration::from_millis(milliseconds),
                migration: "worker-0-abcde".to_owned(),
                kind,
            })
            .collect()
    }

    fn started() -> EventKind {
        EventKind::Started {
            namespace: "default".to_owned(),
            pod: "worker-0".to_owned(),
            container: "worker".to_owned(),
            from: "node-a".to_owned(),
            to: "node-b".to_owned(),
            target_pod: "worker-0-shadow".to_owned(),
            strategy: Strategy::ShadowPod,
            resumed: false,
            back: false,
        }
    }

    fn begin(phase: Phase) -> EventKind {
        EventKind::PhaseStarted { phase }
    }

    fn finish(phase: Phase, seconds: f64) -> EventKind {
        EventKind::PhaseFinished { phase, seconds }
    }

    fn step(phase: Phase, what: &str) -> EventKind {
        EventKind::Step {
            phase,
            what: what.to_owned(),
        }
    }

    fn transfer(tenth: u32) -> EventKind {
        EventKind::Transfer(ms2m_transfer::event::Progress {
            archive_bytes: 100 << 20,
            read_bytes: u64::from(tenth) * (10 << 20),
            sent_bytes: u64::from(tenth) * (4 << 20),
            seconds: f64::from(tenth) / 10.0,
            ratio: Some(0.4),
            bytes_per_second: None,
            eta_seconds: None,
        })
    }

    fn replay(depth: u64, rate: Option<f64>) -> EventKind {
        EventKind::Replay {
            depth,
            peak: 80,
            rate,
        }
    }

    #[test]
    fn events_reach_the_view_in_order_and_the_commit_is_remembered() {
        struct Keep(Sender<String>);
        impl View for Keep {
            fn event(&mut self, event: &Event) {
                let _ = self.0.send(format!("{:?}", event.kind));
            }
            fn note(&mut self, text: &str) {
                let _ = self.0.send(text.to_owned());
            }
        }
        let (sender, receiver) = mpsc::channel();
        let progress = Progress::start(Box::new(Keep(sender))).expect("a thread can be had");
        let events = success();
        for event in &events {
            assert!(
                !progress.is_committed() || matches!(event.kind, EventKind::PhaseFinished { .. })
            );
            progress.report(event.clone());
        }
        progress.note("the end");
        progress.end();
        progress.end();
        progress.report(events[0].clone());
        assert!(progress.is_committed());
        let mut expected: Vec<String> = events.iter().map(|e| format!("{:?}", e.kind)).collect();
        expected.push("the end".to_owned());
        assert_eq!(receiver.iter().collect::<Vec<_>>(), expected);
    }
}
