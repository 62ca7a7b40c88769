//! From depths and durations to what a decision may depend on ([`Seen`]).
//!
//! Still pure: the time of each look is passed in.

use std::time::Duration;

use super::moves::{Message, Party, Waiting};
use super::pauses::Pauses;
use super::rate::Rate;
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

/// How long an order may wait in the control queue of a target that has connected. One that reads
/// that queue has taken it by then, since applications that poll do so once a second.
pub const UNHEARD: Duration = Duration::from_secs(5);

/// For how long a moment is waited for at which a replay queue is empty, or as empty as it gets.
pub const LINGER: Duration = Duration::from_secs(2);

/// How long a replay queue is looked at before the least that was in it counts as what it gets to. Where
/// messages keep coming, some applications always have one in hand as the broker counts: one whose socket
/// lacks `TCP_NODELAY` sends each acknowledgement with the next delivery, and the last one 40 ms later
/// (measured at 100 messages a second of less than a millisecond each).
pub const GLIMPSE: Duration = Duration::from_millis(250);

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
    /// Consumers of the source's control queue.
    pub source_listeners: u64,
}

/// What earlier looks have left to remember.
#[derive(Debug, Clone)]
pub struct Watch {
    limits: Limits,
    /// What is waited for, and since when without headway.
    waiting: Option<Waiting>,
    waiting_since: Duration,
    /// The least that was seen in the primary queue in this wait.
    least: u64,
    empty_since: [Option<Duration>; 3],
    source_told: Option<Order>,
    target_told: Option<Order>,
    unheard_since: Option<Duration>,
    unread_since: Option<Duration>,
    lull: Lull,
    lull_back: Lull,
    rate: Rate,
    peak: u64,
    run_side_by_side_since: Option<Duration>,
    pauses: Pauses,
    /// Consumers that the primary queue had before; `None` where it does not matter.
    pub usual_consumers: Option<u64>,
    /// What became of the target pod, as the engine knows it.
    pub target: TargetPod,
    /// Whether the source pod or its node is gone, as the engine knows it.
    pub source_lost: bool,
}

/// The moment at which the gate opens: what is in a replay queue then, in its consumer's hand
/// included, comes after newer messages should its connection be lost.
#[derive(Debug, Clone, Copy, Default)]
struct Lull {
    /// Since when it is looked for, and the least that was seen in that time.
    sought: Option<(Duration, u64)>,
}

impl Lull {
    /// Whether it is now; while `may_be` does not hold it is not looked for.
    fn is_it(&mut self, may_be: bool, queue: QueueView, now: Duration) -> bool {
        if !may_be {
            self.sought = None;
            return false;
        }
        let depth = depth(queue);
        let (since, least) = *self.sought.get_or_insert((now, depth));
        self.sought = Some((since, least.min(depth)));
        let sought_for = now.saturating_sub(since);
        let as_empty_as_it_gets = sought_for >= GLIMPSE && depth <= least;
        depth == 0 || as_empty_as_it_gets || sought_for >= LINGER
    }
}

/// The last order to a party.
#[derive(Debug, Clone, Copy)]
struct Order {
    message: Message,
    when: Duration,
    obeyed: bool,
}

impl Watch {
    /// Begins at `now`.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limits,
            waiting: None,
            waiting_since: now,
            least: u64::MAX,
            empty_since: [None; 3],
            source_told: None,
            target_told: None,
            unheard_since: None,
            unread_since: None,
            lull: Lull::default(),
            lull_back: Lull::default(),
            rate: Rate::default(),
            peak: 0,
            run_side_by_side_since: None,
            pauses: Pauses::default(),
            usual_consumers: Some(1),
            target: TargetPod::NotMade,
            source_lost: false,
        }
    }

    /// Another handoff begins: nothing of what was seen concerns it.
    pub fn begin_again(&mut self, now: Duration) {
        *self = Self {
            usual_consumers: self.usual_consumers,
            ..Self::new(self.limits.clone(), now)
        };
    }

    /// A new stage begins: its waits are counted from `now`.
    pub fn stage_begins(&mut self, now: Duration) {
        self.waiting = None;
        self.waiting_since = now;
        self.least = u64::MAX;
    }

    /// This is waited for: the time is counted while it is the same, and where it comes about by
    /// itself it is not counted at all.
    pub fn waits(&mut self, waiting: Waiting, now: Duration) {
        if self.waiting != Some(waiting) || waiting.is_unbounded() {
            self.stage_begins(now);
            self.waiting = Some(waiting);
        }
    }

    /// How long this is being waited for.
    #[must_use]
    pub fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.waiting_since)
    }

    /// The source has come nearer to the end of the primary queue: in an abort that is as good as
    /// having waited no time, since the service goes on.
    pub fn headway(&mut self, look: &Look) {
        if look.primary.ready < self.least {
            self.least = look.primary.ready;
            self.waiting_since = look.at;
        }
    }

    /// Source and target run side by side from `now` on, unless they already do.
    pub fn side_by_side(&mut self, now: Duration) {
        self.run_side_by_side_since.get_or_insert(now);
    }

    /// The abort comes to the opening of the gate: the moment for it is looked for from now on, and not
    /// from when the source first went onto H, since that may be so long ago that any moment would do.
    pub fn reopening_begins(&mut self) {
        self.lull_back = Lull::default();
    }

    /// An order has been sent.
    pub fn told(&mut self, party: Party, message: Message, now: Duration) {
        let again = self
            .told_mut(party)
            .is_some_and(|last| last.message == message);
        *self.told_mut(party) = Some(Order {
            message,
            when: now,
            obeyed: false,
        });
        // One that takes the same order again and again has not come any nearer.
        if !again {
            self.stage_begins(now);
        }
    }

    /// What was told before says nothing about what is wanted now: the direction has changed, or
    /// the control queue.
    pub fn forget_orders(&mut self) {
        self.source_told = None;
        self.target_told = None;
    }

    fn told_mut(&mut self, party: Party) -> &mut Option<Order> {
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

    /// What was seen of the time in which nobody took messages.
    #[must_use]
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// The gate has closed.
    pub fn gate_closed(&mut self, now: Duration) {
        self.pauses.gate_closed(now);
    }

    /// The gate is open again: R has stopped growing.
    pub fn gate_reopened(&mut self, now: Duration) {
        self.pauses.gate_reopened();
        self.rate.inflow_ends(now);
    }

    /// Takes a look, and says what a decision may depend on. `limit` is how long what is waited
    /// for may take.
    pub fn seen(&mut self, look: &Look, limit: Duration) -> Seen {
        self.rate.sample(look.at, &look.replay);
        self.pauses.sample(look);
        let fills = [look.primary, look.replay, look.hold]
            .into_iter()
            .zip(self.empty_since.iter_mut())
            .map(|(queue, since)| fill(queue, since, look.at, self.limits.settle))
            .collect::<Vec<_>>();
        let usual = self.usual_consumers.unwrap_or(u64::MAX);
        let line = |index: usize, queue: QueueView| Line {
            fill: fills[index],
            consumed: queue.consumers > 0,
            crowded: queue.consumers > usual,
        };
        let short_enough = self.short_enough(look);
        note_obeyed(&mut self.source_told, look.hold, look.primary);
        note_obeyed(&mut self.target_told, look.replay, look.primary);
        Seen {
            primary: line(0, look.primary),
            replay: line(1, look.replay),
            hold: line(2, look.hold),
            source_told: told(self.source_told, look.source_orders, look.at),
            target_told: told(self.target_told, look.target_orders, look.at),
            target: self.target,
            source_lost: self.source_lost,
            source_silent: self.source_silent(look),
            target_stale: self.target_stale(look),
            short_enough,
            good_moment: self.lull.is_it(short_enough, look.replay, look.at),
            // H grows as long as the gate is closed, so nothing is gained by waiting long.
            good_moment_back: (self.lull_back).is_it(look.hold.consumers > 0, look.hold, look.at),
            overdue: self.waited(look.at) >= limit,
        }
    }

    /// An order has waited in the source's control queue for longer than one that is connected
    /// leaves it there.
    fn source_silent(&mut self, look: &Look) -> bool {
        if look.source_orders == 0 || look.hold.consumers > 0 {
            self.unread_since = None;
            return false;
        }
        let since = *self.unread_since.get_or_insert(look.at);
        look.at.saturating_sub(since) >= UNHEARD
    }

    /// Two listen on the source's control queue; or somebody has connected and is on the primary
    /// queue by habit, and the target's order still waits.
    fn target_stale(&mut self, look: &Look) -> bool {
        let unheard = self.target == TargetPod::Present
            && look.target_orders > 0
            && look.replay.consumers == 0;
        if !unheard {
            self.unheard_since = None;
            return false;
        }
        if look.source_listeners > 1 {
            return true;
        }
        if look.primary.consumers == 0 {
            self.unheard_since = None;
            return false;
        }
        let since = *self.unheard_since.get_or_insert(look.at);
        look.at.saturating_sub(since) >= UNHEARD
    }

    fn short_enough(&self, look: &Look) -> bool {
        let cutoff = self
            .run_side_by_side_since
            .is_some_and(|since| look.at.saturating_sub(since) >= self.limits.replay_cutoff);
        let depth = depth(look.replay);
        let short = match self.rate.take() {
            _ if depth == 0 => true,
            Some(rate) if rate > 0.0 => depth as f64 / rate <= self.limits.max_pause.as_secs_f64(),
            _ => false,
        };
        look.replay.consumers > 0 && (short || cutoff)
    }
}

fn depth(queue: QueueView) -> u64 {
    queue.ready + queue.unacknowledged.unwrap_or(0)
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
    let enough = enough.max(queue.lag);
    if empty_for >= enough {
        Fill::Quiet
    } else {
        Fill::Settling
    }
}

fn told(last: Option<Order>, waiting_orders: u64, now: Duration) -> Told {
    match last {
        _ if waiting_orders > 0 => Told::Waiting,
        None => Told::Nothing,
        Some(order) if !order.obeyed && now.saturating_sub(order.when) < OBEDIENCE => {
            Told::Taken(order.message)
        }
        Some(order) => Told::Old(order.message),
    }
}

/// An order whose effect was seen has been obeyed. If the effect is undone later (a connection was
/// lost), the order may be given again at once.
fn note_obeyed(order: &mut Option<Order>, own: QueueView, primary: QueueView) {
    if let Some(order) = order {
        order.obeyed |= match order.message {
            Message::Ping => false,
            Message::StartReplay => own.consumers > 0,
            Message::EndReplay => own.consumers == 0 && primary.consumers > 0,
        };
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
