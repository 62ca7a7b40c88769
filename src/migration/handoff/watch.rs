//! From depths and durations to what a decision may depend on ([`Seen`]).
//!
//! Still pure: the time of each look is passed in.

use std::time::Duration;

use super::moves::{Message, Party};
use super::seen::{Fill, Line, Seen, TargetPod, Told};
use crate::migration::limits::Limits;
use crate::migration::ports::QueueView;

/// How long a queue must be seen empty before it counts as quiet even where the broker counts
/// unacknowledged messages: a message that was routed just before the gate moved may still be on
/// its way from the publisher's channel to the queue.
pub const QUIET_FLOOR: Duration = Duration::from_millis(100);

/// How long after an order has left the control queue it may still be obeyed. Applications that
/// poll do so once a second, and reconnect within seconds.
pub const OBEDIENCE: Duration = Duration::from_secs(10);

/// One look at the broker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// When, on the clock of [`crate::migration::ports::Clock::elapsed`].
    pub at: Duration,
    /// Q.
    pub primary: QueueView,
    /// R; all zeros if it is not there.
    pub replay: QueueView,
    /// H; all zeros if it is not there.
    pub hold: QueueView,
    /// Messages in the source's control queue.
    pub source_orders: u64,
    /// Messages in the target's control queue.
    pub target_orders: u64,
}

/// What earlier looks have left to remember.
#[derive(Debug, Clone)]
pub struct Watch {
    limits: Limits,
    stage_since: Duration,
    empty_since: [Option<Duration>; 3],
    source_told: Option<(Message, Duration)>,
    target_told: Option<(Message, Duration)>,
    rate: Rate,
    peak: u64,
    run_side_by_side_since: Option<Duration>,
    /// What became of the target pod, as the engine knows it.
    pub target: TargetPod,
}

impl Watch {
    /// Begins at `now`.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limits,
            stage_since: now,
            empty_since: [None; 3],
            source_told: None,
            target_told: None,
            rate: Rate::default(),
            peak: 0,
            run_side_by_side_since: None,
            target: TargetPod::NotMade,
        }
    }

    /// A new stage begins: its waits are counted from `now`.
    pub fn stage_begins(&mut self, now: Duration) {
        self.stage_since = now;
    }

    /// Source and target run side by side from `now` on, unless they already do.
    pub fn side_by_side(&mut self, now: Duration) {
        self.run_side_by_side_since.get_or_insert(now);
    }

    /// An order has been sent.
    pub fn told(&mut self, party: Party, message: Message, now: Duration) {
        *self.told_mut(party) = Some((message, now));
        self.stage_since = now;
    }

    /// The direction has changed: what was told before says nothing about what is wanted now.
    pub fn forget_orders(&mut self) {
        self.source_told = None;
        self.target_told = None;
    }

    fn told_mut(&mut self, party: Party) -> &mut Option<(Message, Duration)> {
        match party {
            Party::Source => &mut self.source_told,
            Party::Target => &mut self.target_told,
        }
    }

    /// The largest depth of R so far, `depth` included.
    pub fn peak(&mut self, depth: u64) -> u64 {
        self.peak = self.peak.max(depth);
        self.peak
    }

    /// Messages a second that the target takes from R, once known.
    #[must_use]
    pub fn take_rate(&self) -> Option<f64> {
        self.rate.take()
    }

    /// About how many messages the target has taken from R so far, and whether that was counted:
    /// it is estimated where R went on growing while it was emptied.
    #[must_use]
    pub fn replayed(&self) -> (u64, bool) {
        self.rate.replayed()
    }

    /// The gate is open again: R has stopped growing.
    pub fn gate_reopened(&mut self, now: Duration) {
        self.rate.inflow_ends(now);
    }

    /// Takes a look, and says what a decision may depend on. `limit` is how long the wait of the
    /// present stage may take.
    pub fn seen(&mut self, look: &Look, limit: Duration) -> Seen {
        self.rate.sample(look.at, &look.replay);
        let fills = [look.primary, look.replay, look.hold]
            .into_iter()
            .zip(self.empty_since.iter_mut())
            .map(|(queue, since)| fill(queue, since, look.at, self.limits.settle))
            .collect::<Vec<_>>();
        let line = |index: usize, queue: QueueView| Line {
            fill: fills[index],
            consumed: queue.consumers > 0,
        };
        let overdue = look.at.saturating_sub(self.stage_since) >= limit;
        Seen {
            primary: line(0, look.primary),
            replay: line(1, look.replay),
            hold: line(2, look.hold),
            source_told: told(self.source_told, look.source_orders, look.at),
            target_told: told(self.target_told, look.target_orders, look.at),
            target: self.target,
            short_enough: self.short_enough(look),
            overdue,
        }
    }

    fn short_enough(&self, look: &Look) -> bool {
        let cutoff = self
            .run_side_by_side_since
            .is_some_and(|since| look.at.saturating_sub(since) >= self.limits.replay_cutoff);
        let depth = look.replay.ready + look.replay.unacknowledged.unwrap_or(0);
        let short = match self.rate.take() {
            _ if depth == 0 => true,
            Some(rate) if rate > 0.0 => depth as f64 / rate <= self.limits.max_pause.as_secs_f64(),
            _ => false,
        };
        look.replay.consumers > 0 && (short || cutoff)
    }
}

fn fill(queue: QueueView, since: &mut Option<Duration>, now: Duration, settle: Duration) -> Fill {
    if queue.ready > 0 || queue.unacknowledged.unwrap_or(0) > 0 {
        *since = None;
        return if queue.ready > 0 {
            Fill::Waiting
        } else {
            Fill::Settling
        };
    }
    let empty_for = now.saturating_sub(*since.get_or_insert(now));
    let enough = if queue.unacknowledged.is_some() {
        QUIET_FLOOR
    } else {
        settle
    };
    if empty_for >= enough {
        Fill::Quiet
    } else {
        Fill::Settling
    }
}

fn told(last: Option<(Message, Duration)>, waiting_orders: u64, now: Duration) -> Told {
    match last {
        _ if waiting_orders > 0 => Told::Waiting,
        None => Told::Nothing,
        Some((message, when)) if now.saturating_sub(when) < OBEDIENCE => Told::Taken(message),
        Some((message, _)) => Told::Old(message),
    }
}

/// How fast R fills and how fast it is emptied.
///
/// While nobody consumes R its growth is the inflow. Afterwards only the difference of inflow and
/// outflow shows, so the outflow is that difference and the inflow as it was.
#[derive(Debug, Clone, Default)]
struct Rate {
    first: Option<(Duration, u64)>,
    last: Option<(Duration, u64)>,
    inflow: Option<f64>,
    attached: Option<(Duration, u64)>,
    inflow_ended: Option<Duration>,
}

/// Shortest time between two looks from which a rate is taken.
const RATE_WINDOW: Duration = Duration::from_millis(100);

impl Rate {
    fn sample(&mut self, at: Duration, replay: &QueueView) {
        let depth = replay.ready + replay.unacknowledged.unwrap_or(0);
        if replay.consumers == 0 && self.attached.is_none() {
            let (begin, before) = *self.first.get_or_insert((at, depth));
            if at.saturating_sub(begin) >= RATE_WINDOW {
                let seconds = (at - begin).as_secs_f64();
                self.inflow = Some(depth.saturating_sub(before) as f64 / seconds);
            }
        } else if replay.consumers > 0 {
            self.attached.get_or_insert((at, depth));
        }
        self.last = Some((at, depth));
    }

    fn inflow_ends(&mut self, at: Duration) {
        self.inflow_ended.get_or_insert(at);
    }

    fn take(&self) -> Option<f64> {
        let ((begin, before), (end, now)) = (self.attached?, self.last?);
        let span = end.saturating_sub(begin);
        if span < RATE_WINDOW {
            return None;
        }
        let came_in = self.inflow.unwrap_or(0.0) * self.inflow_seconds(begin, end);
        Some((before as f64 + came_in - now as f64).max(0.0) / span.as_secs_f64())
    }

    fn inflow_seconds(&self, begin: Duration, end: Duration) -> f64 {
        self.inflow_ended
            .unwrap_or(end)
            .min(end)
            .saturating_sub(begin)
            .as_secs_f64()
    }

    fn replayed(&self) -> (u64, bool) {
        let (Some((begin, before)), Some((end, now))) = (self.attached, self.last) else {
            return (0, true);
        };
        let came_in = self.inflow.unwrap_or(0.0) * self.inflow_seconds(begin, end);
        let taken = (before as f64 + came_in - now as f64).max(0.0).round() as u64;
        (taken, came_in == 0.0)
    }
}
