//! What is seen of the world at one moment, reduced to what a decision may depend on.
//!
//! No numbers and no clocks: [`super::watch`] turns depths and durations into these booleans, so
//! that a model checker can enumerate them.

use super::moves::Message;

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fill {
    /// Messages are ready for delivery.
    #[default]
    Waiting,
    /// None is ready, but some may be unacknowledged, or it has not been so for long enough.
    Settling,
    /// None is ready, none is unacknowledged, and no message can still be on its way into it.
    Quiet,
}

/// A queue and who is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Line {
    /// How full it is.
    pub fill: Fill,
    /// Whether it has a consumer.
    pub consumed: bool,
    /// Whether it has more consumers than it had before the migration.
    pub crowded: bool,
}

/// What became of the last order to a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Told {
    /// Nothing was said by this process, and nothing waits in the control queue.
    #[default]
    Nothing,
    /// An order waits in the control queue.
    Waiting,
    /// This order was taken so recently that it may still be obeyed.
    Taken(Message),
    /// This order was taken long ago, or was obeyed: if its effect is not seen, it may be said
    /// again.
    Old(Message),
}

impl Told {
    /// Whether `order` may still take effect, so that it must not be said again; or another one
    /// was not heard yet, so that `order` must wait its turn.
    #[must_use]
    pub fn is_under_way(self, order: Message) -> bool {
        match self {
            Self::Waiting => true,
            Self::Taken(taken) => taken == order,
            Self::Nothing | Self::Old(_) => false,
        }
    }

    /// Whether `order` was the last one, and was taken.
    #[must_use]
    pub fn has_taken(self, order: Message) -> bool {
        matches!(self, Self::Taken(taken) | Self::Old(taken) if taken == order)
    }
}

/// The target pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetPod {
    /// It was not made yet.
    #[default]
    NotMade,
    /// It was made and has not ended.
    Present,
    /// It was made and is gone or has ended. It is never made again: a second restore of the
    /// same checkpoint would go back in time.
    Lost,
}

/// What is seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// The primary queue, Q.
    pub primary: Line,
    /// The target's replay queue, R.
    pub replay: Line,
    /// The source's replay queue, H.
    pub hold: Line,
    /// The last order to the source.
    pub source_told: Told,
    /// The last order to the target.
    pub target_told: Told,
    /// The target pod.
    pub target: TargetPod,
    /// The source pod is gone, or its node is.
    pub source_lost: bool,
    /// The source has not read an order that one that is connected would have read.
    pub source_silent: bool,
    /// The restored process listens on the source's control queue.
    pub target_stale: bool,
    /// What waits in R takes the target no longer than the pause that is aimed at, or source and
    /// target have run side by side for as long as they may.
    pub short_enough: bool,
    /// R is empty, or as empty as it was seen for a while, or has been short enough for so long that it
    /// will hardly be emptier.
    pub good_moment: bool,
    /// The same of H.
    pub good_moment_back: bool,
    /// The wait in this stage has taken as long as it may.
    pub overdue: bool,
}
