//! The pods of a node that is emptied: what is to be done about each, and what came of it.

mod document;

use std::collections::BTreeMap;
use std::fmt;

pub use self::document::document;
use super::{bare, boxed};
use crate::cli::exit;
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::plan::Plan;
use crate::migration::record::Record;
use crate::migration::summary::Summary;

/// What is to be done about the pods of a node.
#[derive(Debug)]
pub struct Survey {
    /// The node.
    pub node: String,
    /// Those that move, in the order in which they begin.
    pub moves: Vec<Move>,
    /// Those that cannot.
    pub stays: Vec<Stay>,
    /// Those that are nobody's concern, counted.
    pub aside: BTreeMap<Aside, usize>,
}

/// A pod that moves.
#[derive(Debug)]
pub struct Move {
    /// The pod, with its namespace where there are several.
    pub label: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// How.
    pub how: How,
}

/// How a pod moves.
#[derive(Debug)]
pub enum How {
    /// By a migration of this plan.
    Begins(Box<Plan>),
    /// By this migration, which has not ended.
    GoesOn(Box<Record>),
}

/// A pod that cannot move.
#[derive(Debug)]
pub struct Stay {
    /// The pod, with its namespace where there are several.
    pub label: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Why not.
    pub error: Error,
}

/// Why a pod is left where it is, and nobody minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aside {
    /// A DaemonSet has it there.
    DaemonSet,
    /// The node's kubelet has it there.
    Static,
    /// It has ended.
    Finished,
    /// It is being deleted.
    Terminating,
    /// It works for a migration.
    Helper,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DaemonSet => "of a DaemonSet",
            Self::Static => "static",
            Self::Finished => "finished",
            Self::Terminating => "being deleted",
            Self::Helper => "of ms2m itself",
        })
    }
}

/// What came of one pod.
#[derive(Debug)]
pub enum Ending {
    /// It moved.
    Moved(Box<Summary>),
    /// It did not, or not in full.
    Failed(Box<Error>),
    /// Nobody tried, and why.
    NotBegun(&'static str),
}

impl Move {
    fn target_node(&self) -> &str {
        match &self.how {
            How::Begins(plan) => &plan.target_node,
            How::GoesOn(record) => record.status.target_node.as_deref().unwrap_or_default(),
        }
    }

    fn source_node(&self) -> &str {
        match &self.how {
            How::Begins(plan) => &plan.source_node,
            How::GoesOn(record) => record.status.source_node.as_deref().unwrap_or_default(),
        }
    }

    /// The queue that it consumes.
    #[must_use]
    pub fn queue(&self) -> &str {
        match &self.how {
            How::Begins(plan) => &plan.queue,
            How::GoesOn(record) => &record.spec.message_queue_config.queue_name,
        }
    }

    fn row(&self) -> Vec<String> {
        let (strategy, how) = match &self.how {
            How::Begins(plan) => (Some(plan.strategy), "moves".to_owned()),
            How::GoesOn(record) => (
                record.status.strategy,
                format!(
                    "goes on with {}, {}",
                    record.name,
                    record.status.phase.unwrap_or_default()
                ),
            ),
        };
        vec![
            self.label.clone(),
            self.target_node().to_owned(),
            strategy.map(|it| it.to_string()).unwrap_or_default(),
            self.queue().to_owned(),
            how,
        ]
    }
}

/// The plan for people: what moves, what cannot and why, what is left out, what is to be known.
#[must_use]
pub fn plan(survey: &Survey, paint: Paint) -> String {
    let mut parts = Vec::new();
    if survey.moves.is_empty() && survey.stays.is_empty() {
        parts.push(format!("no pods to move on node {}", survey.node));
    }
    if !survey.moves.is_empty() {
        let mut table = bare();
        table.set_header(vec!["POD", "TO", "STRATEGY", "QUEUE", "PLAN"]);
        for it in &survey.moves {
            table.add_row(it.row());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        parts.push(table.trim_fmt());
    }
    if !survey.stays.is_empty() {
        parts.push(paint.tone(Tone::Strong, "Cannot move"));
        parts.extend(survey.stays.iter().map(|stay| stay_text(stay, paint)));
    }
    if !survey.aside.is_empty() {
        let counts: Vec<String> = survey
            .aside
            .iter()
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        parts.push(format!("Not concerned: {}", counts.join(", ")));
    }
    let warning = paint.tone(Tone::Warning, "warning");
    for it in &survey.moves {
        if let How::Begins(plan) = &it.how {
            let label = &it.label;
            parts.extend(
                plan.warnings
                    .iter()
                    .map(|text| format!("{warning}: {label}: {text}")),
            );
        }
    }
    parts.join("\n")
}

fn stay_text(stay: &Stay, paint: Paint) -> String {
    let mut text = format!("  {}: {}", stay.label, stay.error.what);
    for why in stay
        .error
        .meaning
        .iter()
        .copied()
        .chain(stay.error.cause.as_deref())
    {
        text.push_str(&format!("\n    because: {why}"));
    }
    for hint in &stay.error.hints {
        text.push_str(&format!("\n    {}: {hint}", paint.tone(Tone::Dim, "next")));
    }
    let see = paint.tone(Tone::Dim, "see");
    text.push_str(&format!("\n    {see}: {}", stay.error.code.command()));
    text
}

/// What came of each pod, for people.
#[must_use]
pub fn results(survey: &Survey, endings: &[Ending], columns: u16) -> String {
    let mut table = boxed(columns);
    table.set_header(vec!["Pod", "From", "To", "Result", "Total", "Downtime"]);
    for (it, ending) in survey.moves.iter().zip(endings) {
        let (from, to, result, total, downtime) = match ending {
            Ending::Moved(summary) => (
                summary.source_node.as_str(),
                summary.target_node.as_str(),
                result_words(ending),
                format::seconds(summary.total_seconds),
                format::seconds(summary.downtime_seconds),
            ),
            other => (
                it.source_node(),
                it.target_node(),
                result_words(other),
                String::new(),
                String::new(),
            ),
        };
        table.add_row(vec![&it.label, from, to, &result, &total, &downtime]);
    }
    table.trim_fmt()
}

fn result_words(ending: &Ending) -> String {
    match ending {
        Ending::Moved(summary) if !summary.doubts.is_empty() => {
            format!("moved, in doubt: {}", summary.doubts.join("; "))
        }
        Ending::Moved(_) => "moved".to_owned(),
        Ending::NotBegun(why) => format!("not begun: {why}"),
        Ending::Failed(error) => format!("{}: {}", kind_words(error.kind), error.what),
    }
}

fn kind_words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage | ErrorKind::Refused => "refused",
        ErrorKind::RolledBack => "rolled back",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Unfinished => "unfinished",
        ErrorKind::Stuck => "stuck",
        ErrorKind::LockLost => "lock lost",
        ErrorKind::Left => "left",
        ErrorKind::TooLate => "too late",
        ErrorKind::SourceLost => "source lost",
        ErrorKind::TargetLost => "target lost",
        ErrorKind::TimedOut => "timed out",
        ErrorKind::InDoubt => "in doubt",
    }
}

/// The exit code: that of the gravest failure; `stopped` when pods were left out on request alone.
#[must_use]
pub fn exit_code(endings: &[Ending], stopped: bool) -> u8 {
    let failures = endings.iter().filter_map(|ending| match ending {
        Ending::Failed(error) => Some(error.kind),
        Ending::Moved(summary) if !summary.doubts.is_empty() => Some(ErrorKind::InDoubt),
        _ => None,
    });
    match failures.max_by_key(|kind| gravity(*kind)) {
        Some(kind) => kind.exit_code(),
        None if stopped && endings.iter().any(is_not_begun) => exit::INTERRUPTED,
        None => 0,
    }
}

fn is_not_begun(ending: &Ending) -> bool {
    matches!(ending, Ending::NotBegun(_))
}

/// How much somebody has to worry.
fn gravity(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 0,
        ErrorKind::Refused => 1,
        ErrorKind::Interrupted => 2,
        ErrorKind::RolledBack => 3,
        ErrorKind::TooLate => 4,
        ErrorKind::LockLost | ErrorKind::Left => 5,
        ErrorKind::Unfinished => 6,
        ErrorKind::Stuck => 7,
        ErrorKind::SourceLost | ErrorKind::TargetLost => 8,
        ErrorKind::InDoubt => 9,
        ErrorKind::TimedOut => 2,
    }
}

#[cfg(test)]
mod tests;
