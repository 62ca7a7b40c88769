//! A set of numbers kept as ranges: one range as long as nothing is missing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of numbers. Serialised as a list of `[first, last]` pairs.
///
/// Invariant: the ranges are sorted, and between two of them at least one number is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Puts a number in. `false` if it was in already.
    pub fn insert(&mut self, number: u64) -> bool {
        // The index of the first range that begins above the number; what could hold it or
        // end just below it is the one before.
        let above = self.0.partition_point(|&(first, _)| first <= number);
        if let Some(&(_, last)) = above.checked_sub(1).and_then(|below| self.0.get(below))
            && number <= last
        {
            return false;
        }
        let joins_below = above > 0 && self.0[above - 1].1.checked_add(1) == Some(number);
        let joins_above = self
            .0
            .get(above)
            .is_some_and(|&(first, _)| number.checked_add(1) == Some(first));
        match (joins_below, joins_above) {
            (true, true) => {
                self.0[above - 1].1 = self.0[above].1;
                self.0.remove(above);
            }
            (true, false) => self.0[above - 1].1 = number,
            (false, true) => self.0[above].0 = number,
            (false, false) => self.0.insert(above, (number, number)),
        }
        true
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let above = self.0.partition_point(|&(first, _)| first <= number);
        above > 0 && number <= self.0[above - 1].1
    }

    /// How many numbers from `first` to `last`, both included, are in the set.
    pub fn within(&self, first: u64, last: u64) -> u64 {
        self.0
            .iter()
            .map(|&(from, to)| (from.max(first), to.min(last)))
            .filter(|(from, to)| from <= to)
            .map(|(from, to)| to - from + 1)
            .sum()
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.within(0, u64::MAX)
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers, in order. May be as many as were ever put in.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.iter().flat_map(|(first, last)| first..=last)
    }

    /// The ranges, first and last number of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }
}

/// As in `1-4, 7`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        for number in numbers {
            ranges.insert(number);
        }
        ranges
    }
}
