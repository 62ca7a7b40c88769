//! Progress redrawn in place on a terminal: a line for each phase under way, with a bar or as one
//! that counts, below the lines that are worth keeping: the headline, each phase that has ended with a
//! mark and its time, warnings, and what was undone.

use std::collections::BTreeMap;
use std::time::Instant;

use ms2m_transfer::event::Progress as Transferred;

use super::{View, words};
use crate::api::Phase;
use crate::cli::format;
use crate::cli::screen::Screen;
use crate::cli::ui::{Paint, Tone};
use crate::migration::event::{Event, EventKind};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Columns of a bar.
const BAR: usize = 24;

/// What is drawn of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line with a spinner and a bar, and one that stays when it has ended.
    Bar,
    /// A line that counts phases and what is done of this one. Of one that goes well nothing stays.
    Counter,
}

/// Draws progress in place.
pub(super) struct Bars {
    screen: Screen,
    paint: Paint,
    shape: Shape,
    running: BTreeMap<Phase, Running>,
    /// Lines that stay and were not drawn yet.
    kept: Vec<String>,
    turn: usize,
}

/// A phase under way.
struct Running {
    since: Instant,
    /// How much of how much is done, where that is known.
    share: Option<(u64, u64)>,
    text: String,
    /// What the finished line keeps beside the time.
    kept: String,
}

impl Bars {
    /// On `screen`.
    pub(super) fn new(screen: Screen, paint: Paint, shape: Shape) -> Self {
        Self {
            screen,
            paint,
            shape,
            running: BTreeMap::new(),
            kept: Vec::new(),
            turn: 0,
        }
    }

    fn draw(&mut self) {
        let lines: Vec<String> = self
            .running
            .iter()
            .map(|(phase, running)| self.line(*phase, running))
            .collect();
        // A terminal that is gone must not stop a migration.
        let _ = self.screen.draw(&std::mem::take(&mut self.kept), &lines);
    }

    /// The line of a phase under way.
    fn line(&self, phase: Phase, running: &Running) -> String {
        let time = format!(
            "{:>7}",
            format!("{:.1}s", running.since.elapsed().as_secs_f64())
        );
        let time = self.paint.tone(Tone::Dim, &time);
        let text = &running.text;
        if self.shape == Shape::Counter {
            let phase = self.paint.tone(Tone::Strong, &words::counted(phase));
            return format!("{phase} {time}  {text}");
        }
        let spinner = self
            .paint
            .tone(Tone::Strong, SPINNER[self.turn % SPINNER.len()]);
        let phase = self.paint.tone(Tone::Strong, &padded(phase));
        let bar = running.share.map(|(part, whole)| bar(part, whole) + " ");
        format!(
            "{spinner} {phase} {time}  {}{text}",
            bar.unwrap_or_default()
        )
    }

    /// Ends the line of `phase` with `mark` and `seconds`.
    fn finish(&mut self, phase: Phase, seconds: Option<f64>, mark: &str, stays: bool) {
        let Some(running) = self.running.remove(&phase) else {
            return;
        };
        if !stays {
            return;
        }
        let seconds = seconds.unwrap_or_else(|| running.since.elapsed().as_secs_f64());
        let time = format::seconds(seconds);
        let line = format!("{mark} {} {time:>7}", padded(phase));
        self.kept.push(if running.kept.is_empty() {
            line
        } else {
            format!("{line}  {}", self.paint.tone(Tone::Dim, &running.kept))
        });
    }

    fn failed(&mut self) {
        let mark = self.paint.tone(Tone::Bad, "✗");
        let phases: Vec<Phase> = self.running.keys().copied().collect();
        for phase in phases {
            self.finish(phase, None, &mark, true);
        }
    }

    fn keep(&mut self, tone: Tone, mark: &str, text: &str) {
        self.kept
            .push(format!("{} {text}", self.paint.tone(tone, mark)));
    }

    fn progress(&mut self, phase: Phase, share: (u64, u64), text: String, kept: String) {
        if let Some(running) = self.running.get_mut(&phase) {
            running.share = Some(share);
            running.text = text;
            running.kept = kept;
        }
    }

    fn transfer(&mut self, progress: &Transferred) {
        let (archive, sent) = (progress.archive_bytes, progress.sent_bytes);
        let kept = format!("{}, {} sent", format::bytes(archive), format::bytes(sent));
        let share = (progress.read_bytes, archive);
        self.progress(Phase::Transferring, share, words::transfer(progress), kept);
    }

    fn see(&mut self, kind: &EventKind) {
        match kind {
            started @ EventKind::Started { .. } => {
                let text = words::headline(started);
                self.kept.push(self.paint.tone(Tone::Strong, &text));
            }
            EventKind::PhaseStarted { phase } => {
                self.running.insert(
                    *phase,
                    Running {
                        since: Instant::now(),
                        share: None,
                        text: String::new(),
                        kept: String::new(),
                    },
                );
            }
            EventKind::PhaseFinished { phase, seconds } => {
                let mark = self.paint.tone(Tone::Good, "✓");
                let stays = self.shape == Shape::Bar;
                self.finish(*phase, Some(*seconds), &mark, stays);
            }
            EventKind::Step { phase, what } => {
                let text = self.paint.tone(Tone::Dim, what);
                if let Some(running) = self.running.get_mut(phase) {
                    running.text = text;
                }
            }
            EventKind::Warning { message } => {
                let label = self.paint.tone(Tone::Warning, "warning");
                self.kept.push(format!("{label}: {message}"));
            }
            EventKind::Transfer(progress) => self.transfer(progress),
            EventKind::Replay { depth, peak, rate } => {
                let text = words::replay(*depth, *peak, *rate);
                let kept = format!("peak {}", format::counted(*peak, "message"));
                // The bar is what still waits: it shrinks.
                self.progress(Phase::Replaying, (*depth, (*peak).max(1)), text, kept);
            }
            // The phase's own mark and the result say so.
            EventKind::Committed | EventKind::Completed { .. } => {}
            EventKind::UndoStarted { reason } => {
                self.failed();
                self.keep(Tone::Warning, "↩ rolling back:", reason);
            }
            EventKind::Undone { what } => self.keep(Tone::Good, "  ✓", what),
            EventKind::UndoFailed { what, cause } => {
                self.keep(Tone::Bad, "  ✗", &format!("{what}: {cause}"));
            }
            EventKind::Failed { .. } => self.failed(),
        }
    }
}

/// A bar of [`BAR`] columns.
fn bar(part: u64, whole: u64) -> String {
    let columns = u64::try_from(BAR).unwrap_or(u64::MAX);
    let full = u128::from(part.min(whole)) * u128::from(columns) / u128::from(whole.max(1));
    let full = usize::try_from(full).unwrap_or(BAR);
    let tip = if full < BAR { "╸" } else { "" };
    format!("{:BAR$}", format!("{}{tip}", "━".repeat(full)))
}

fn padded(phase: Phase) -> String {
    format!("{:width$}", phase.name(), width = words::PHASE_COLUMNS)
}

impl View for Bars {
    fn event(&mut self, event: &Event) {
        self.see(&event.kind);
        self.draw();
    }

    fn note(&mut self, text: &str) {
        self.kept.push(self.paint.tone(Tone::Warning, text));
        self.draw();
    }

    fn tick(&mut self) {
        self.turn += 1;
        if !self.running.is_empty() {
            self.draw();
        }
    }

    fn end(&mut self) {
        // Nothing moves any more, so nothing should look as if it did.
        for (phase, running) in std::mem::take(&mut self.running) {
            let time = format::seconds(running.since.elapsed().as_secs_f64());
            let line = format!("… {} {time:>7}  {}", padded(phase), running.text);
            self.kept.push(line.trim_end().to_owned());
        }
        self.draw();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failure, success};
    use super::*;
    use crate::cli::screen::tests::Memory;

    /// What stands on a screen of `columns` after `events`.
    fn screen(events: &[Event], columns: usize, shape: Shape) -> String {
        let memory = Memory::new(columns, 24);
        let mut bars = Bars::new(memory.screen(), Paint(false), shape);
        for event in events {
            bars.event(event);
        }
        bars.tick();
        memory.text()
    }

    /// The events until half of the archive is read.
    fn half() -> Vec<Event> {
        let mut events = success();
        let middle = events
            .iter()
            .position(|event| matches!(event.kind, EventKind::Transfer(progress) if progress.read_bytes > 50 << 20))
            .expect("there is one");
        events.truncate(middle + 1);
        events
    }

    #[test]
    fn success_leaves_a_line_a_phase() {
        insta::assert_snapshot!(screen(&success(), 80, Shape::Bar), @r"
        moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        ✓ Pending        0.120s
        warning: the broker does not count unacknowledged messages
        ✓ Checkpointing  0.780s
        ✓ Transferring   1.200s  100.00 MiB, 40.00 MiB sent
        ✓ Restoring      0.400s
        ✓ Replaying      2.500s  peak 80 messages
        ✓ Finalizing     0.200s
        ");
        insta::assert_snapshot!(screen(&success(), 80, Shape::Counter), @r"
        moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        warning: the broker does not count unacknowledged messages
        ");
    }

    #[test]
    fn failure_leaves_what_was_undone() {
        for shape in [Shape::Bar, Shape::Counter] {
            // The time of the phase that failed is the clock's.
            let shown = screen(&failure(), 80, shape);
            assert!(shown.contains("✗ Restoring"), "{shown}");
            let shown: Vec<&str> = shown
                .lines()
                .filter(|line| !line.starts_with('✗'))
                .collect();
            insta::allow_duplicates! {
                insta::assert_snapshot!(shown.join("\n"), @r"
                moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
                ↩ rolling back: CreateContainerError: image not known
                  ✓ target pod worker-0-shadow removed
                  ✗ queue orders.ms2m-source: connection refused
                ");
            }
        }
    }

    #[test]
    fn a_transfer_under_way_fits_a_narrow_screen() {
        let events = half();
        for columns in [40, 80, 200] {
            let shown = screen(&events, columns, Shape::Bar);
            let last = shown.lines().last().expect("there is one");
            assert!(last.contains("Transferring"), "{columns}: {shown}");
        }
        let shown = screen(&events, 80, Shape::Bar);
        assert!(shown.contains("60% of 100.00 MiB read"), "{shown}");
        assert!(shown.contains("━━━━━━━━━━━━━━╸          60%"), "{shown}");
        let shown = screen(&events, 80, Shape::Counter);
        let last = shown.lines().last().expect("there is one");
        assert!(last.starts_with("[3/6] Transferring"), "{shown}");
    }

    #[test]
    fn whatever_was_under_way_at_the_end_stands_still() {
        let memory = Memory::new(80, 24);
        let mut bars = Bars::new(memory.screen(), Paint(false), Shape::Bar);
        for event in half() {
            bars.event(&event);
        }
        bars.end();
        bars.tick();
        let shown = memory.text();
        let last = shown.lines().last().expect("there is one");
        assert!(last.starts_with("… Transferring"), "{shown}");
    }

    #[test]
    fn a_bar_is_never_longer_than_its_place() {
        for (part, whole) in [(0, 0), (0, 9), (9, 9), (10, 9), (u64::MAX, u64::MAX)] {
            assert_eq!(bar(part, whole).chars().count(), BAR, "{part} of {whole}");
        }
    }
}
