//! One plain line an event, with the time since the start: for logs and for terminals that bars
//! do not suit.
//!
//! Time is that of the events, not of the clock, so the same events give the same lines.

use std::io::Write;

use jiff::Timestamp;

use super::{View, words};
use crate::api::Phase;
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::migration::event::{Event, EventKind};

/// Progress is told again after so many seconds, or after [`PROGRESS_SHARE`].
pub(super) const PROGRESS_SECONDS: f64 = 2.0;
/// Progress is told again after so much of the whole.
const PROGRESS_SHARE: f64 = 0.1;

/// Writes lines to `out`.
pub(super) struct Lines {
    out: Box<dyn Write + Send>,
    paint: Paint,
    start: Option<Timestamp>,
    now: f64,
    told: Told,
    undoing: bool,
}

/// The progress that was told last: when, and which share of the whole.
#[derive(Debug, Clone, Copy)]
struct Told {
    seconds: f64,
    share: f64,
}

impl Told {
    const NOTHING: Self = Self {
        seconds: f64::NEG_INFINITY,
        share: f64::NEG_INFINITY,
    };
}

impl Lines {
    /// Lines to `out`.
    #[must_use]
    pub(super) fn new(out: Box<dyn Write + Send>, paint: Paint) -> Self {
        Self {
            out,
            paint,
            start: None,
            now: 0.0,
            told: Told::NOTHING,
            undoing: false,
        }
    }

    /// Writes a line with the time of the event that was shown last.
    pub(super) fn line(&mut self, text: &str) {
        let time = self.paint.tone(Tone::Dim, &format!("[{:6.1}s]", self.now));
        // A log that cannot be written must not stop a migration.
        let _ = writeln!(self.out, "{time} {text}");
        let _ = self.out.flush();
    }

    /// It is `time` now; the seconds since the first event.
    pub(super) fn at(&mut self, time: Timestamp) -> f64 {
        let start = *self.start.get_or_insert(time);
        self.now = time.duration_since(start).as_secs_f64().max(0.0);
        self.now
    }

    fn toned(&mut self, tone: Tone, label: &str, text: &str) {
        let label = self.paint.tone(tone, label);
        self.line(&format!("{label}{text}"));
    }

    /// Tells progress, unless it was told a moment ago. `share` is how much of the whole is done;
    /// the end of it is always told.
    fn progress(&mut self, phase: Phase, share: f64, text: &str) {
        let due = self.now - self.told.seconds >= PROGRESS_SECONDS
            || (share - self.told.share).abs() >= PROGRESS_SHARE - f64::EPSILON
            || (share >= 1.0 && self.told.share < 1.0);
        if due {
            self.told = Told {
                seconds: self.now,
                share,
            };
            self.line(&format!("{phase}: {text}"));
        }
    }
}

/// `part` of `whole`; nothing to do is all done.
#[allow(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

impl View for Lines {
    fn event(&mut self, event: &Event) {
        self.at(event.time);
        match &event.kind {
            started @ EventKind::Started { .. } => self.line(&words::headline(started)),
            EventKind::PhaseStarted { phase } => {
                self.told = Told::NOTHING;
                self.toned(Tone::Strong, phase.name(), "");
            }
            // What ends during a roll-back is not done; the roll-back tells its own story.
            EventKind::PhaseFinished { .. } if self.undoing => {}
            EventKind::PhaseFinished { phase, seconds } => {
                let done = format!(" done in {}", format::seconds(*seconds));
                self.toned(Tone::Good, phase.name(), &done);
            }
            EventKind::Step { phase, what } => self.line(&format!("{phase}: {what}")),
            EventKind::Warning { message } => {
                self.toned(Tone::Warning, "warning", &format!(": {message}"));
            }
            EventKind::Transfer(progress) => {
                let share = share(progress.read_bytes, progress.archive_bytes);
                self.progress(Phase::Transferring, share, &words::transfer(progress));
            }
            EventKind::Replay { depth, peak, rate } => {
                let text = words::replay(*depth, *peak, *rate);
                self.progress(Phase::Replaying, 1.0 - share(*depth, (*peak).max(1)), &text);
            }
            EventKind::Committed => self.line("committed: from here on there is only forward"),
            EventKind::UndoStarted { reason } => {
                self.undoing = true;
                self.toned(Tone::Warning, "rolling back", &format!(": {reason}"));
            }
            EventKind::Undone { what } => self.toned(Tone::Good, "undone", &format!(": {what}")),
            EventKind::UndoFailed { what, cause } => {
                self.toned(Tone::Bad, "not undone", &format!(": {what}: {cause}"));
            }
            EventKind::Completed { summary } => {
                let text = format!(" in {}", format::seconds(summary.total_seconds));
                self.toned(Tone::Good, "completed", &text);
            }
            // What failed, and why, is told once the reporter is at its end.
            EventKind::Failed { .. } => self.toned(Tone::Bad, "failed", ""),
        }
    }

    fn note(&mut self, text: &str) {
        self.toned(Tone::Warning, text, "");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Sink, failure, success};
    use super::*;

    fn shown(events: &[Event]) -> String {
        let sink = Sink::default();
        let mut lines = Lines::new(Box::new(sink.clone()), Paint(false));
        for event in events {
            lines.event(event);
        }
        sink.text()
    }

    #[test]
    fn a_log_of_success_reads_from_top_to_bottom() {
        insta::assert_snapshot!(shown(&success()), @r"
        [   0.0s] moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        [   0.0s] Pending
        [   0.0s] Pending: lock taken on pod worker-0
        [   0.1s] Pending done in 0.120s
        [   0.1s] Checkpointing
        [   0.2s] Checkpointing: gate closed on queue orders
        [   0.2s] warning: the broker does not count unacknowledged messages
        [   0.9s] Checkpointing done in 0.780s
        [   0.9s] Transferring
        [   1.0s] Transferring: 0% of 100.00 MiB read, 0 B sent
        [   1.1s] Transferring: 10% of 100.00 MiB read, 4.00 MiB sent
        [   1.2s] Transferring: 20% of 100.00 MiB read, 8.00 MiB sent
        [   1.3s] Transferring: 30% of 100.00 MiB read, 12.00 MiB sent
        [   1.4s] Transferring: 40% of 100.00 MiB read, 16.00 MiB sent
        [   1.5s] Transferring: 50% of 100.00 MiB read, 20.00 MiB sent
        [   1.6s] Transferring: 60% of 100.00 MiB read, 24.00 MiB sent
        [   1.7s] Transferring: 70% of 100.00 MiB read, 28.00 MiB sent
        [   1.8s] Transferring: 80% of 100.00 MiB read, 32.00 MiB sent
        [   1.9s] Transferring: 90% of 100.00 MiB read, 36.00 MiB sent
        [   2.0s] Transferring: 100% of 100.00 MiB read, 40.00 MiB sent
        [   2.1s] Transferring done in 1.200s
        [   2.1s] Restoring
        [   2.5s] Restoring done in 0.400s
        [   2.5s] Replaying
        [   2.6s] Replaying: 80 waiting (peak 80)
        [   3.6s] Replaying: 30 waiting (peak 80), 95/s
        [   4.9s] Replaying: 0 waiting (peak 80), 95/s
        [   5.0s] Replaying done in 2.500s
        [   5.0s] Finalizing
        [   5.1s] committed: from here on there is only forward
        [   5.2s] Finalizing done in 0.200s
        ");
    }

    #[test]
    fn a_log_of_failure_says_what_was_undone() {
        insta::assert_snapshot!(shown(&failure()), @r"
        [   0.0s] moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        [   0.0s] Restoring
        [   0.9s] rolling back: CreateContainerError: image not known
        [   1.0s] undone: target pod worker-0-shadow removed
        [   1.1s] not undone: queue orders.ms2m-source: connection refused
        [   1.2s] failed
        ");
    }

    #[test]
    fn progress_is_told_every_tenth_or_every_two_seconds() {
        let mut events = success();
        events.retain(|event| matches!(event.kind, EventKind::Transfer(_)));
        // Ten times as many events as tenths.
        let many: Vec<Event> = events
            .iter()
            .flat_map(|event| std::iter::repeat_n(event.clone(), 10))
            .collect();
        assert_eq!(shown(&many).lines().count(), 11);
    }
}
