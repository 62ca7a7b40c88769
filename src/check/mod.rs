//! Checks of a cluster and of a migration: facts → grouped results, each failure with its meaning and
//! its remedy. Pure: what gathers the facts is in the adapters, what shows the results in `cli`.
//!
//! What a migration would refuse is decided by [`crate::migration::plan`] alone; here its findings are
//! only arranged. What no plan looks at (permissions one by one, kubelets, admission, the registry,
//! what the broker lets the user do) is judged here.

mod broker;
mod cluster;
mod migration;
mod nodes;
mod permissions;
mod probe;
mod registry;

use serde::{Serialize, Serializer};

pub use broker::{at_hand, refusals};
pub use cluster::{admission, api};
pub use migration::{base_image, findings, ports, unseen};
pub use nodes::{NodeFacts, node, partners, source};
pub use permissions::{Wanted, permissions};
pub use probe::{Memory, probe, same_low_level};
pub use registry::registry;

use crate::explain::Code;
use crate::migration::error::Error;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It holds, or may hold, and something about it should be known.
    Warn,
    /// It does not hold, and a migration fails or is refused.
    Fail,
    /// It could not be made.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What should hold.
    pub name: String,
    /// Whether it does.
    pub outcome: Outcome,
    /// What `ms2m explain` tells about it, if it does not hold.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_code")]
    pub code: Option<Code>,
    /// What is wrong and what that means, a line each; or why it could not be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub meaning: Vec<String>,
    /// What to do about it, a line each: where it is a command, it can be run as it stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<String>,
}

impl Check {
    fn new(outcome: Outcome, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome,
            code: None,
            meaning: Vec::new(),
            remedies: Vec::new(),
        }
    }

    /// One that holds.
    pub fn pass(name: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, name)
    }

    /// One that could not be made, and why.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, name).because(why)
    }

    /// One that holds, or may hold, with something to know.
    pub fn warn(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Outcome::Warn, name).because(what)
    }

    /// One that does not hold, and what explains that.
    pub fn fail(name: impl Into<String>, code: Code, what: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::new(Outcome::Fail, name)
        }
        .because(what)
    }

    /// One that does not hold, in the words of the refusal that a migration would meet.
    pub fn refused(name: impl Into<String>, error: &Error) -> Self {
        let mut check = Self::fail(name, error.code, error.what.clone());
        check.meaning.extend(
            error
                .meaning
                .map(str::to_owned)
                .into_iter()
                .chain(error.cause.clone()),
        );
        check.remedies.clone_from(&error.hints);
        check
    }

    /// Adds a line of what it means.
    #[must_use]
    pub fn because(mut self, meaning: impl Into<String>) -> Self {
        self.meaning.push(meaning.into());
        self
    }

    /// Adds a line of what to do.
    #[must_use]
    pub fn hint(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }
}

fn as_code<S: Serializer>(code: &Option<Code>, serializer: S) -> Result<S::Ok, S::Error> {
    code.map(|it| it.code).serialize(serializer)
}

/// Checks of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What they are about.
    pub name: String,
    /// The checks, in the order in which they build on each other.
    pub checks: Vec<Check>,
}

impl Group {
    /// A group of these checks.
    pub fn new(name: impl Into<String>, checks: Vec<Check>) -> Self {
        Self {
            name: name.into(),
            checks,
        }
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether none failed. What could not be made is in neither.
    pub ok: bool,
    /// How many there are of each outcome.
    pub counts: Counts,
    /// The groups.
    pub groups: Vec<Group>,
}

/// How many checks there are of each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // As the outcomes.
pub struct Counts {
    pub passed: usize,
    pub warned: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Report {
    /// The groups that have any checks, counted.
    #[must_use]
    pub fn new(groups: Vec<Group>) -> Self {
        let mut counts = Counts::default();
        for check in groups.iter().flat_map(|group| &group.checks) {
            *match check.outcome {
                Outcome::Pass => &mut counts.passed,
                Outcome::Warn => &mut counts.warned,
                Outcome::Fail => &mut counts.failed,
                Outcome::Skipped => &mut counts.skipped,
            } += 1;
        }
        Self {
            ok: counts.failed == 0,
            counts,
            groups: groups
                .into_iter()
                .filter(|group| !group.checks.is_empty())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_made_counts_for_neither_side() {
        let report = Report::new(vec![
            Group::new("empty", Vec::new()),
            Group::new(
                "full",
                vec![
                    Check::pass("a"),
                    Check::skipped("b", "no right to look"),
                    Check::warn("c", "known"),
                ],
            ),
        ]);
        assert!(report.ok);
        assert_eq!(report.groups.len(), 1);
        let counts = report.counts;
        assert_eq!((counts.passed, counts.warned, counts.skipped), (1, 1, 1));
        let failed = Report::new(vec![Group::new(
            "it",
            vec![Check::fail("d", &crate::explain::REFUSED, "no")],
        )]);
        assert!(!failed.ok);
    }

    #[test]
    fn a_refusal_keeps_its_words() {
        let error = Error::refused("there is no queue q")
            .because("why")
            .hint("do this");
        let check = Check::refused("the queue is there", &error);
        assert_eq!(check.meaning, ["there is no queue q", "why"]);
        assert_eq!(check.remedies, ["do this"]);
    }
}
