//! Whose turn it is, of several pods that move. Pure.

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun.
    Waits,
    /// It is under way.
    Moves,
    /// It has ended.
    Ended,
}

/// The next pod to begin, if any may: no more than `at_once`, and never two that have something in
/// common. Of one owner's pods only one is missing at a time, and one queue takes one gate.
pub(super) fn next(stages: &[Stage], shares: &[Vec<String>], at_once: usize) -> Option<usize> {
    let under_way: Vec<&Vec<String>> = stages
        .iter()
        .zip(shares)
        .filter(|(stage, _)| **stage == Stage::Moves)
        .map(|(_, shares)| shares)
        .collect();
    if under_way.len() >= at_once {
        return None;
    }
    let is_free = |mine: &[String]| {
        let mut others = under_way.iter().flat_map(|shares| shares.iter());
        !others.any(|other| mine.contains(other))
    };
    stages
        .iter()
        .zip(shares)
        .position(|(stage, mine)| *stage == Stage::Waits && is_free(mine))
}

#[cfg(test)]
mod tests {
    use super::Stage::{Ended, Moves, Waits};
    use super::*;

    fn shares(names: &[&str]) -> Vec<Vec<String>> {
        names.iter().map(|name| vec![(*name).to_owned()]).collect()
    }

    #[test]
    fn no_more_than_allowed_are_under_way() {
        let shares = shares(&["a", "b", "c"]);
        assert_eq!(next(&[Waits, Waits, Waits], &shares, 2), Some(0));
        assert_eq!(next(&[Moves, Waits, Waits], &shares, 2), Some(1));
        assert_eq!(next(&[Moves, Moves, Waits], &shares, 2), None);
        assert_eq!(next(&[Ended, Moves, Waits], &shares, 2), Some(2));
        assert_eq!(next(&[Ended, Ended, Ended], &shares, 2), None);
    }

    #[test]
    fn those_of_one_owner_go_one_after_the_other() {
        let shares = shares(&["set", "set", "c"]);
        assert_eq!(next(&[Moves, Waits, Waits], &shares, 3), Some(2));
        assert_eq!(next(&[Moves, Waits, Moves], &shares, 3), None);
        assert_eq!(next(&[Ended, Waits, Moves], &shares, 3), Some(1));
    }
}
