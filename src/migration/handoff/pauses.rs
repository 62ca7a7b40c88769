//! The time in which messages waited and nobody took any, from looks at the queues.
//!
//! Both ends of a pause are seen, not known: each may be off by the time between two looks.

use std::time::Duration;

use super::watch::Look;
use crate::migration::ports::QueueView;

/// The two pauses of a handoff, as far as they were seen by this process.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    closed: bool,
    reopened: bool,
    primary_idle_since: Option<Duration>,
    replay_idle_since: Option<Duration>,
    cut: Option<Duration>,
    handoff: Option<Duration>,
}

impl Pauses {
    /// The gate has closed.
    pub fn gate_closed(&mut self, now: Duration) {
        self.closed = true;
        self.primary_idle_since = Some(now);
    }

    /// The gate has opened again.
    pub fn gate_reopened(&mut self) {
        self.reopened = true;
        self.replay_idle_since = None;
    }

    /// From the last message that the source took from the primary queue until it was seen on its
    /// replay queue: the pause around the checkpoint.
    #[must_use]
    pub fn cut(&self) -> Option<Duration> {
        self.cut
    }

    /// From the last message that the target took from its replay queue until it was seen on the
    /// primary queue: the pause around the commit.
    #[must_use]
    pub fn handoff(&self) -> Option<Duration> {
        self.handoff
    }

    pub(super) fn sample(&mut self, look: &Look) {
        if self.closed && self.cut.is_none() {
            idle(&mut self.primary_idle_since, look.primary, look.at);
            if look.hold.consumers > 0 {
                self.cut = self
                    .primary_idle_since
                    .map(|since| look.at.saturating_sub(since));
            }
        }
        if self.reopened && self.handoff.is_none() {
            let left = look.replay.consumers == 0 && look.primary.consumers > 0;
            if left {
                self.handoff = self
                    .replay_idle_since
                    .map(|since| look.at.saturating_sub(since));
            }
            idle(&mut self.replay_idle_since, look.replay, look.at);
        }
    }
}

fn idle(since: &mut Option<Duration>, queue: QueueView, now: Duration) {
    if queue.ready > 0 || queue.unacknowledged.unwrap_or(0) > 0 {
        *since = None;
    } else {
        since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(ready: u64, consumers: u64) -> QueueView {
        QueueView {
            ready,
            unacknowledged: Some(0),
            consumers,
            ..QueueView::default()
        }
    }

    fn look(millis: u64, primary: QueueView, replay: QueueView, hold: QueueView) -> Look {
        Look {
            at: Duration::from_millis(millis),
            primary,
            replay,
            hold,
            ..Look::default()
        }
    }

    #[test]
    fn the_pauses_begin_with_the_last_message_and_end_with_the_next_consumer() {
        let mut pauses = Pauses::default();
        pauses.gate_closed(Duration::from_millis(100));
        pauses.sample(&look(150, queue(3, 1), queue(1, 0), queue(1, 0)));
        pauses.sample(&look(200, queue(0, 1), queue(2, 0), queue(2, 0)));
        pauses.sample(&look(500, queue(0, 0), queue(9, 0), queue(9, 1)));
        assert_eq!(pauses.cut(), Some(Duration::from_millis(300)));
        pauses.gate_reopened();
        pauses.sample(&look(900, queue(1, 0), queue(2, 1), queue(0, 1)));
        pauses.sample(&look(1000, queue(2, 0), queue(0, 1), queue(0, 1)));
        pauses.sample(&look(1200, queue(4, 1), queue(0, 0), queue(0, 1)));
        assert_eq!(pauses.handoff(), Some(Duration::from_millis(200)));
    }

    #[test]
    fn what_this_process_did_not_see_is_not_told() {
        let mut pauses = Pauses::default();
        pauses.sample(&look(500, queue(0, 0), queue(9, 0), queue(9, 1)));
        assert_eq!((pauses.cut(), pauses.handoff()), (None, None));
    }
}
