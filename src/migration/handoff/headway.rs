//! How long messages are put back from a replay queue that goes on growing while the gate is closed.
//!
//! The gate opens when the queue is empty, so that nothing newer comes before what is put back. But more may
//! come in than can be put back, and then it never is: so it is gone on with for as long as it gets less.

/// So many messages may be put back in a round however few there were: with next to nothing in the queue the
/// count says nothing about headway, and it is soon seen empty.
pub const ROUND: u64 = 100;

/// No queue that gets less is gone on with for longer: each round may take but one message off it.
const ROUNDS: u32 = 30;

/// What was seen of the queue before each round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headway {
    before: Option<u64>,
    rounds: u32,
}

impl Headway {
    /// How many messages to put back at most in the next round, with `waiting` in the queue; `None` when it
    /// does not get less, and the gate has to open with some in it.
    #[must_use]
    pub fn next_round(&mut self, waiting: u64) -> Option<u64> {
        let less = |before| waiting < ROUND.max(before);
        let goes_on = self.rounds < ROUNDS && self.before.is_none_or(less);
        self.before = Some(waiting);
        self.rounds += 1;
        goes_on.then_some(waiting.max(ROUND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounds with `share` of what is put back coming in meanwhile, and what is left at the end.
    fn rounds(mut waiting: u64, share: f64) -> (u32, u64) {
        let mut headway = Headway::default();
        let mut count = 0;
        while waiting > 0 {
            let Some(at_most) = headway.next_round(waiting) else {
                break;
            };
            count += 1;
            let put_back = waiting.min(at_most);
            waiting = waiting - put_back + (put_back as f64 * share) as u64;
        }
        (count, waiting)
    }

    #[test]
    fn what_gets_less_is_put_back_to_the_end() {
        assert_eq!(rounds(10_000, 0.0), (1, 0));
        assert_eq!(rounds(10_000, 0.5).1, 0);
        assert_eq!(rounds(10_000, 0.7).1, 0);
    }

    #[test]
    fn what_does_not_is_given_up_after_what_was_there() {
        assert_eq!(rounds(10_000, 1.0), (1, 10_000));
        assert_eq!(rounds(10_000, 2.0), (1, 20_000));
    }

    #[test]
    fn a_trickle_is_gone_on_with_and_not_for_ever() {
        let mut headway = Headway::default();
        for _ in 0..ROUNDS {
            assert_eq!(headway.next_round(1), Some(ROUND));
        }
        assert_eq!(headway.next_round(1), None);
    }
}
