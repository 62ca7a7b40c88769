//! The receipt: what a migration came to in figures, noted as it goes.

use std::time::Duration;

use jiff::Timestamp;

use super::run::Run;
use crate::api::{HandoffStage, MicroTime, Receipt};
use crate::migration::handoff::watch::Look;
use crate::migration::summary::{phase_seconds, seconds_text, seconds_value};

impl Run {
    /// The time around the checkpoint in which messages waited and nobody took any.
    pub(super) fn note_cut_pause(&mut self, now: Timestamp) {
        let since = self.handoff().closed_time.clone();
        let seen = self.watch.pauses().cut();
        let (pause, by) = seen_or_noted(seen, since, now);
        self.add_seconds(|receipt| &mut receipt.cut_pause, pause);
        self.note_downtime_by(by);
    }

    /// Sequential: the time from the moment at which the source began to go until the target was
    /// seen on R.
    pub(super) fn note_absence(&mut self, look: &Look) {
        let there = self.stage() == HandoffStage::TargetRestored && look.replay.consumers > 0;
        if !there || !self.is_sequential() || !self.receipt().absence_pause.is_empty() {
            return;
        }
        let since = self.handoff().leaving_time.clone();
        let pause = seconds_since(since, self.ports.clock.now());
        self.receipt().absence_pause = seconds_text(pause);
    }

    /// Seen is better than noted, and the whole is as good as its worst part.
    fn note_downtime_by(&mut self, by: &str) {
        let receipt = self.receipt();
        if by == NOTED || receipt.downtime_by.is_empty() {
            receipt.downtime_by = by.to_owned();
        }
    }

    /// Adds to a figure what this handoff has taken. The second handoff of a migration comes on top
    /// of the first.
    pub(super) fn add_seconds(&mut self, figure: fn(&mut Receipt) -> &mut String, seconds: f64) {
        let second = self.is_takeover();
        let figure = figure(self.receipt());
        let before = if second { seconds_value(figure) } else { 0.0 };
        *figure = seconds_text(before + seconds);
    }

    /// The time around the commit in which messages waited and nobody took any.
    pub(super) fn note_handoff_pause(&mut self, now: Timestamp) {
        let since = self.handoff().reopened_time.clone();
        let seen = self.watch.pauses().handoff();
        let (pause, by) = seen_or_noted(seen, since, now);
        self.add_seconds(|receipt| &mut receipt.handoff_pause, pause);
        let receipt = self.receipt();
        let all = [
            &receipt.cut_pause,
            &receipt.absence_pause,
            &receipt.handoff_pause,
        ];
        let all = all.map(|pause| seconds_value(pause)).iter().sum();
        receipt.downtime = seconds_text(all);
        self.note_downtime_by(by);
    }

    /// How long the application took until it consumed again.
    pub(super) fn note_reconnect(&mut self) {
        if let Some(ran) = self.target_ran {
            let took = self.ports.clock.elapsed().saturating_sub(ran);
            self.add_seconds(|receipt| &mut receipt.reconnect, took.as_secs_f64());
        }
    }

    /// What R came to: it was seen empty, with nothing unacknowledged.
    pub(super) fn note_replayed(&mut self) {
        let (replayed, counted) = self.watch.replayed();
        let replayed = i64::try_from(replayed).unwrap_or(i64::MAX);
        let second = self.is_takeover();
        let receipt = self.receipt();
        let before = if second { receipt.messages_replayed } else { 0 };
        receipt.messages_replayed = before.saturating_add(replayed);
        receipt.messages_left = 0;
        receipt.messages_routed = receipt.messages_replayed + receipt.messages_left;
        receipt.messages_replayed_by = if counted { "counted" } else { "estimated" }.to_owned();
    }

    pub(super) fn note_total(&mut self, now: Timestamp) {
        let start = self
            .record
            .status
            .start_time
            .as_ref()
            .map_or(now, |start| start.0);
        // A start time has whole seconds in the journal; in one process its own clock is better.
        let by_clock = (self.ports.clock.elapsed() - self.began).as_secs_f64();
        let by_phases: f64 = phase_seconds(&self.record.status.phase_timings)
            .iter()
            .map(|(_, seconds)| seconds)
            .sum();
        let resumed = by_phases > by_clock + 0.5;
        let total = if resumed {
            (now - start).total(jiff::Unit::Second).unwrap_or(by_phases)
        } else {
            by_clock
        };
        self.receipt().total = seconds_text(total);
    }

    /// Warns of something that speaks against each message having been applied exactly once and in
    /// order, and remembers it.
    pub(super) fn doubt(&mut self, what: String) {
        self.warn(&what);
        let doubts = &mut self.receipt().doubts;
        if !doubts.contains(&what) {
            doubts.push(what);
        }
    }

    pub(super) fn has_doubts(&self) -> bool {
        let receipt = self.record.status.receipt.as_ref();
        receipt.is_some_and(|receipt| !receipt.doubts.is_empty())
    }

    pub(super) fn receipt(&mut self) -> &mut Receipt {
        self.record.status.receipt.get_or_insert_default()
    }
}

/// How a pause is known: from looks at the queues.
const SEEN: &str = "seen";

/// How a pause is known that another process saw the beginning of: from the times in the journal,
/// which take in the work on what was left.
const NOTED: &str = "noted";

fn seen_or_noted(
    seen: Option<Duration>,
    since: Option<MicroTime>,
    now: Timestamp,
) -> (f64, &'static str) {
    match seen {
        Some(pause) => (pause.as_secs_f64(), SEEN),
        None => (seconds_since(since, now), NOTED),
    }
}

fn seconds_since(since: Option<MicroTime>, now: Timestamp) -> f64 {
    since
        .and_then(|since| (now - since.0).total(jiff::Unit::Second).ok())
        .unwrap_or(0.0)
        .max(0.0)
}
