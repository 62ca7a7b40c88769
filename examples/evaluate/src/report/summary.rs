//! What the runs of a case come to: medians, spreads, and how many were exact.

use std::collections::BTreeMap;

use crate::figures::quantile;
use crate::matrix::Case;
use crate::record::{Outcome, Row};

/// How values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter is not higher.
    pub low: f64,
    /// Half are not higher.
    pub median: f64,
    /// Three quarters are not higher.
    pub high: f64,
    /// The highest.
    pub worst: f64,
}

impl Spread {
    /// Of values in any order; none of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            low: quantile(&values, 0.25)?,
            median: quantile(&values, 0.5)?,
            high: quantile(&values, 0.75)?,
            worst: *values.last()?,
        })
    }
}

/// All runs of one case.
#[derive(Debug)]
pub struct Group<'a> {
    /// The case.
    pub case: Case,
    /// Its runs, failed ones too.
    pub rows: Vec<&'a Row>,
}

impl Group<'_> {
    /// How a figure lies over the runs that have it. Failed runs are counted elsewhere, and have no
    /// time that would mean the same.
    pub fn spread(&self, figure: impl Fn(&Row) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.completed().filter_map(figure))
    }

    /// The sum of a number over all runs.
    pub fn sum(&self, number: impl Fn(&Row) -> Option<u64>) -> u64 {
        self.rows.iter().filter_map(|row| number(row)).sum()
    }

    /// Runs that have failed.
    pub fn failed(&self) -> usize {
        self.rows.len() - self.completed().count()
    }

    /// Runs after which every confirmed message was in the surviving state once and in order, failed
    /// ones too: one that was rolled back has a state to keep as well.
    pub fn exact(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.exact == Some(true))
            .count()
    }

    /// Runs that have completed.
    pub fn completed(&self) -> impl Iterator<Item = &Row> {
        let rows = self.rows.iter().copied();
        rows.filter(|row| row.outcome == Outcome::Completed)
    }
}

/// Seconds of a run: as ms2m tells them, or as they were seen where there is no ms2m.
pub(crate) fn total(row: &Row) -> Option<f64> {
    row.total.or(row.wall)
}

/// The runs by case.
pub fn groups(rows: &[Row]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<Case, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.run().case).or_default().push(row);
    }
    let made = groups.into_iter().map(|(case, rows)| Group { case, rows });
    made.collect()
}

#[cfg(test)]
mod tests {
    //! Tests of what runs come to.

    use super::*;
    use crate::matrix::{default_matrix, plan};

    #[test]
    fn failed_runs_are_counted_and_have_no_times() {
        let cases = default_matrix();
        let runs = plan(&cases[..1], 3, 1);
        let mut rows: Vec<Row> = runs.iter().map(Row::of).collect();
        for (row, total) in rows.iter_mut().zip([1.0, 3.0, 99.0]) {
            row.outcome = Outcome::Completed;
            row.exact = Some(true);
            row.total = Some(total);
            row.lost = Some(2);
        }
        rows[2].outcome = Outcome::Failed;
        rows[2].exact = None;
        let groups = groups(&rows);
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].failed(), groups[0].exact()), (1, 2));
        assert_eq!(groups[0].sum(|row| row.lost), 6);
        let spread = groups[0].spread(total).expect("two have one");
        assert_eq!((spread.median, spread.worst), (2.0, 3.0));
    }
}
