//! How fast the replay queue fills and is emptied, from looks at its depth.

use std::time::Duration;

use crate::migration::ports::QueueView;

/// How fast R fills and how fast it is emptied.
///
/// While nobody consumes R its growth is the inflow. Afterwards only the difference of inflow and
/// outflow shows, so the outflow is that difference and the inflow as it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    first: Option<(Duration, u64)>,
    last: Option<(Duration, u64)>,
    inflow: Option<f64>,
    attached: Option<(Duration, u64)>,
    inflow_ended: Option<Duration>,
}

/// Shortest time between two looks from which a rate is taken.
const RATE_WINDOW: Duration = Duration::from_millis(100);

impl Rate {
    /// Takes a look at R.
    pub(super) fn sample(&mut self, at: Duration, replay: &QueueView) {
        let depth = replay.ready + replay.unacknowledged.unwrap_or(0);
        if replay.consumers == 0 && self.attached.is_none() {
            let (begin, before) = *self.first.get_or_insert((at, depth));
            if at.saturating_sub(begin) >= RATE_WINDOW {
                let seconds = (at - begin).as_secs_f64();
                self.inflow = Some(depth.saturating_sub(before) as f64 / seconds);
            }
        } else if replay.consumers > 0 {
            // What was taken between the last look without a consumer and this one counts too.
            let before = self.last.unwrap_or((at, depth));
            self.attached.get_or_insert(before);
        }
        self.last = Some((at, depth));
    }

    /// Nothing comes in any more.
    pub(super) fn inflow_ends(&mut self, at: Duration) {
        self.inflow_ended.get_or_insert(at);
    }

    /// Messages a second that are taken, once known.
    pub(super) fn take(&self) -> Option<f64> {
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

    /// About how many were taken, and whether that was counted.
    pub(super) fn replayed(&self) -> (u64, bool) {
        let (Some((begin, before)), Some((end, now))) = (self.attached, self.last) else {
            return (0, true);
        };
        let came_in = self.inflow.unwrap_or(0.0) * self.inflow_seconds(begin, end);
        let taken = (before as f64 + came_in - now as f64).max(0.0).round() as u64;
        (taken, came_in == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rate: &mut Rate, millis: u64, ready: u64, consumers: u64) {
        let replay = QueueView {
            ready,
            unacknowledged: Some(0),
            consumers,
            ..QueueView::default()
        };
        rate.sample(Duration::from_millis(millis), &replay);
    }

    /// A target that empties R between two looks has taken what was in it.
    #[test]
    fn what_is_taken_before_the_first_look_at_the_target_is_counted() {
        let mut rate = Rate::default();
        look(&mut rate, 0, 0, 0);
        look(&mut rate, 1000, 100, 0);
        look(&mut rate, 1100, 0, 1);
        look(&mut rate, 1200, 0, 1);
        assert_eq!(rate.replayed(), (120, false));
        rate.inflow_ends(Duration::from_millis(1200));
        look(&mut rate, 1500, 0, 1);
        assert_eq!(rate.replayed(), (120, false));
    }

    #[test]
    fn without_an_inflow_it_is_counted() {
        let mut rate = Rate::default();
        look(&mut rate, 0, 7, 0);
        look(&mut rate, 1000, 7, 0);
        look(&mut rate, 1500, 0, 1);
        assert_eq!(rate.replayed(), (7, true));
    }
}
