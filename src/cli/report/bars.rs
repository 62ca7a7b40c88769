//! Progress drawn in place: one line a phase with a spinner, then a mark and its time.
//!
//! Lines that are worth keeping (warnings, what was undone) scroll up above.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ms2m_transfer::event::Progress as Transferred;

use super::{View, words};
use crate::api::Phase;
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::migration::event::{Event, EventKind};

const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ";
const BAR: &str = "━╸ ";

/// Draws bars.
pub struct Bars {
    screen: MultiProgress,
    paint: Paint,
    running: BTreeMap<Phase, Running>,
    /// Lines that are finished. indicatif forgets a finished line once its last handle is gone,
    /// and what is printed above then overwrites it.
    finished: Vec<ProgressBar>,
}

/// A phase under way.
struct Running {
    line: ProgressBar,
    since: Instant,
    /// What the finished line keeps beside the time.
    kept: String,
}

impl Bars {
    /// Bars on stderr.
    #[must_use]
    pub fn on_stderr(paint: Paint) -> Self {
        Self::on(ProgressDrawTarget::stderr(), paint)
    }

    /// Bars on `target`.
    #[must_use]
    pub fn on(target: ProgressDrawTarget, paint: Paint) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            paint,
            running: BTreeMap::new(),
            finished: Vec::new(),
        }
    }

    /// A line that stays, above all that moves.
    fn above(&self, text: &str) {
        // A terminal that is gone must not stop a migration.
        let _ = self.screen.println(text);
    }

    fn begin(&mut self, phase: Phase) {
        let line = self.screen.add(ProgressBar::new_spinner());
        line.set_style(self.style("{wide_msg}"));
        line.set_prefix(padded(phase));
        line.tick();
        self.running.insert(
            phase,
            Running {
                line,
                since: Instant::now(),
                kept: String::new(),
            },
        );
    }

    fn style(&self, rest: &str) -> ProgressStyle {
        let (spinner, prefix, time) = if self.paint.0 {
            ("{spinner:.cyan}", "{prefix:.bold}", "{time:.dim}")
        } else {
            ("{spinner}", "{prefix}", "{time}")
        };
        ProgressStyle::with_template(&format!("{spinner} {prefix} {time}  {rest}"))
            .expect("the template is a constant")
            .with_key(
                "time",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(
                        out,
                        "{:>7}",
                        format!("{:.1}s", state.elapsed().as_secs_f64())
                    );
                },
            )
            .tick_chars(SPINNER)
            .progress_chars(BAR)
    }

    /// Ends the line of `phase` with `mark` and `seconds`.
    fn finish(&mut self, phase: Phase, seconds: Option<f64>, mark: &str) {
        let Some(running) = self.running.remove(&phase) else {
            return;
        };
        let seconds = seconds.unwrap_or_else(|| running.since.elapsed().as_secs_f64());
        let kept = self.paint.tone(Tone::Dim, &running.kept);
        running.line.set_style(plain());
        let line = format!(
            "{mark} {} {:>7}  {kept}",
            padded(phase),
            format::seconds(seconds)
        );
        running.line.finish_with_message(line.trim_end().to_owned());
        self.finished.push(running.line);
    }

    fn transfer(&mut self, progress: &Transferred) {
        let (archive, sent) = (progress.archive_bytes, progress.sent_bytes);
        let style = self.style("{bar:24} {wide_msg}");
        let Some(running) = self.running.get_mut(&Phase::Transferring) else {
            return;
        };
        if running.line.length() != Some(archive) {
            running.line.set_style(style);
            running.line.set_length(archive);
        }
        running.line.set_position(progress.read_bytes);
        let text = words::transfer(progress);
        running.line.set_message(text);
        running.kept = format!("{}, {} sent", format::bytes(archive), format::bytes(sent));
    }

    fn replay(&mut self, depth: u64, peak: u64, rate: Option<f64>) {
        let style = self.style("{bar:24} {wide_msg}");
        let Some(running) = self.running.get_mut(&Phase::Replaying) else {
            return;
        };
        if running.line.length() != Some(peak.max(1)) {
            running.line.set_style(style);
            running.line.set_length(peak.max(1));
        }
        // The bar is what still waits: it shrinks.
        running.line.set_position(depth);
        running.line.set_message(words::replay(depth, peak, rate));
        running.kept = format!("peak {}", format::counted(peak, "message"));
    }

    fn failed(&mut self) {
        let mark = self.paint.tone(Tone::Bad, "✗");
        let phases: Vec<Phase> = self.running.keys().copied().collect();
        for phase in phases {
            self.finish(phase, None, &mark);
        }
    }

    /// A line that stays, below all that is finished.
    fn below(&mut self, tone: Tone, mark: &str, text: &str) {
        let line = self.screen.add(ProgressBar::new_spinner());
        line.set_style(plain());
        line.finish_with_message(format!("{} {text}", self.paint.tone(tone, mark)));
        self.finished.push(line);
    }
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").expect("the template is a constant")
}

fn padded(phase: Phase) -> String {
    format!("{:width$}", phase.name(), width = words::PHASE_COLUMNS)
}

impl View for Bars {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            started @ EventKind::Started { .. } => {
                self.above(&self.paint.tone(Tone::Strong, &words::headline(started)));
            }
            EventKind::PhaseStarted { phase } => self.begin(*phase),
            EventKind::PhaseFinished { phase, seconds } => {
                let mark = self.paint.tone(Tone::Good, "✓");
                self.finish(*phase, Some(*seconds), &mark);
            }
            EventKind::Step { phase, what } => {
                if let Some(running) = self.running.get(phase) {
                    running.line.set_message(self.paint.tone(Tone::Dim, what));
                }
            }
            EventKind::Warning { message } => {
                let label = self.paint.tone(Tone::Warning, "warning");
                self.above(&format!("{label}: {message}"));
            }
            EventKind::Transfer(progress) => self.transfer(progress),
            EventKind::Replay { depth, peak, rate } => self.replay(*depth, *peak, *rate),
            // The phase's own mark and the result say so.
            EventKind::Committed | EventKind::Completed { .. } => {}
            EventKind::UndoStarted { reason } => {
                self.failed();
                self.below(Tone::Warning, "↩ rolling back:", reason);
            }
            EventKind::Undone { what } => self.below(Tone::Good, "  ✓", what),
            EventKind::UndoFailed { what, cause } => {
                self.below(Tone::Bad, "  ✗", &format!("{what}: {cause}"));
            }
            EventKind::Failed { .. } => self.failed(),
        }
    }

    fn note(&mut self, text: &str) {
        self.above(&self.paint.tone(Tone::Warning, text));
    }

    fn tick(&mut self) {
        for running in self.running.values() {
            running.line.tick();
        }
    }

    fn end(&mut self) {
        // Whatever still moves would be left half drawn.
        for running in std::mem::take(&mut self.running).into_values() {
            running.line.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::super::tests::{failure, success};
    use super::*;

    /// What stands on a screen of `columns` after `events`.
    fn screen(events: &[Event], columns: u16) -> String {
        let terminal = InMemoryTerm::new(24, columns);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let mut bars = Bars::on(target, Paint(false));
        for event in events {
            bars.event(event);
        }
        bars.tick();
        terminal.contents()
    }

    #[test]
    fn success_leaves_a_line_a_phase() {
        insta::assert_snapshot!(screen(&success(), 80), @r"
        moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        warning: the broker does not count unacknowledged messages
        ✓ Pending        0.120s
        ✓ Checkpointing  0.780s
        ✓ Transferring   1.200s  100.00 MiB, 40.00 MiB sent
        ✓ Restoring      0.400s
        ✓ Replaying      2.500s  peak 80 messages
        ✓ Finalizing     0.200s
        ");
    }

    #[test]
    fn failure_leaves_what_was_undone() {
        // The time of the phase that failed is the clock's.
        let shown = screen(&failure(), 80);
        let shown: Vec<&str> = shown
            .lines()
            .filter(|line| !line.starts_with('✗'))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        moving default/worker-0 from node-a to node-b (ShadowPod worker-0-shadow)
        ↩ rolling back: CreateContainerError: image not known
          ✓ target pod worker-0-shadow removed
          ✗ queue orders.ms2m-source: connection refused
        ");
    }

    #[test]
    fn a_transfer_under_way_fits_a_narrow_screen() {
        let events = success();
        let middle = events
            .iter()
            .position(|event| matches!(event.kind, EventKind::Transfer(progress) if progress.read_bytes > 50 << 20))
            .expect("there is one");
        for columns in [40, 80, 200] {
            let shown = screen(&events[..=middle], columns);
            let last = shown.lines().last().expect("there is one");
            assert!(last.contains("Transferring"), "{columns}: {shown}");
        }
        let shown = screen(&events[..=middle], 80);
        assert!(shown.contains("60% of 100.00 MiB read"), "{shown}");
        assert!(shown.contains('━'), "{shown}");
    }
}
