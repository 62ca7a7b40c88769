//! A counter where there is no terminal: now and then a line that says which phase of how many is
//! under way and how far it is, and a line for whatever does not go as it should.

use jiff::Timestamp;

use super::lines::{Lines, PROGRESS_SECONDS};
use super::{View, words};
use crate::api::Phase;
use crate::migration::event::{Event, EventKind};

/// Writes a line every [`PROGRESS_SECONDS`].
pub(super) struct Counter {
    lines: Lines,
    /// The phase under way, and how far it is.
    under_way: Option<(Phase, String)>,
    /// Seconds after the first event at which a line was written last.
    told: f64,
}

impl Counter {
    /// Writes them to `lines`.
    pub(super) fn new(lines: Lines) -> Self {
        Self {
            lines,
            under_way: None,
            told: 0.0,
        }
    }

    /// Tells how far it is, unless that was told a moment ago.
    fn tell(&mut self, time: Timestamp) {
        let Some((phase, text)) = &self.under_way else {
            return;
        };
        let now = self.lines.at(time);
        if now - self.told >= PROGRESS_SECONDS {
            self.told = now;
            let line = format!("{} {text}", words::counted(*phase));
            self.lines.line(line.trim_end());
        }
    }
}

impl View for Counter {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::PhaseStarted { phase } => self.under_way = Some((*phase, String::new())),
            EventKind::PhaseFinished { .. } | EventKind::Committed => {}
            EventKind::Step { phase, what } => self.under_way = Some((*phase, what.clone())),
            EventKind::Transfer(progress) => {
                self.under_way = Some((Phase::Transferring, words::transfer(progress)));
            }
            EventKind::Replay { depth, peak, rate } => {
                let text = words::replay(*depth, *peak, *rate);
                self.under_way = Some((Phase::Replaying, text));
            }
            EventKind::UndoStarted { .. }
            | EventKind::Completed { .. }
            | EventKind::Failed { .. } => {
                self.under_way = None;
                self.lines.event(event);
            }
            EventKind::Started { .. }
            | EventKind::Warning { .. }
            | EventKind::Undone { .. }
            | EventKind::UndoFailed { .. } => self.lines.event(event),
        }
        self.tell(event.time);
    }

    fn note(&mut self, text: &str) {
        self.lines.note(text);
    }

    fn tick(&mut self) {
        self.tell(Timestamp::now());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Sink, failure, success};
    use super::*;
    use crate::cli::ui::Paint;

    fn shown(events: &[Event]) -> String {
        let sink = Sink::default();
        let mut counter = Counter::new(Lines::new(Box::new(sink.clone()), Paint(false)));
        for event in events {
            counter.event(event);
        }
        sink.text()
    }

    #[test]
    fn a_log_has_a_line_every_two_seconds() {
        insta::assert_snapshot!(shown(&success()), @r"
        [   0.0s] moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        [   0.2s] warning: the broker does not count unacknowledged messages
        [   2.0s] [3/6] Transferring 100% of 100.00 MiB read, 40.00 MiB sent
        [   4.9s] [5/6] Replaying 0 waiting (peak 80), 95/s
        ");
    }

    #[test]
    fn what_fails_is_told_at_once() {
        insta::assert_snapshot!(shown(&failure()), @r"
        [   0.0s] moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        [   0.9s] rolling back: CreateContainerError: image not known
        [   1.0s] undone: target pod worker-0-shadow removed
        [   1.1s] not undone: queue orders.ms2m-source: connection refused
        [   1.2s] failed
        ");
    }
}
