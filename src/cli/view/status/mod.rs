//! Migrations that are remembered: one line each here, one in full in [`details`].

mod details;
mod next;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;

use jiff::Timestamp;

pub use self::details::{Detail, Worker, details};
use super::bare;
use crate::api::{Phase, conditions};
use crate::cli::format;
use crate::migration::record::Record;

/// Shown where nothing is known.
const NOTHING: &str = "-";

/// Which columns a list has besides the usual ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    /// What it came to, in figures and words.
    pub wide: bool,
    /// The namespace.
    pub namespace: bool,
}

/// A line a migration.
#[must_use]
pub fn list<T: Borrow<Record>>(records: &[T], columns: Columns, now: Timestamp) -> String {
    let mut table = bare();
    table.set_header(header(columns));
    for record in records {
        table.add_row(row(record.borrow(), columns, now));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// The header of a list.
#[must_use]
pub fn header(columns: Columns) -> Vec<&'static str> {
    let mut header = vec!["NAME", "POD", "FROM", "TO", "STRATEGY", "PHASE", "AGE"];
    if columns.namespace {
        header.insert(0, "NAMESPACE");
    }
    if columns.wide {
        header.extend(["DOWNTIME", "REPLAYED", "TOTAL", "MESSAGE"]);
    }
    header
}

/// The line of one migration in a list.
#[must_use]
pub fn row(record: &Record, columns: Columns, now: Timestamp) -> Vec<String> {
    let status = &record.status;
    let mut row = vec![
        record.name.clone(),
        record.spec.source_pod.clone(),
        or_nothing(status.source_node.as_deref()),
        or_nothing(target_node(record)),
        or_nothing(strategy(record).as_deref()),
        if is_stuck(record) {
            "Stuck".to_owned()
        } else {
            phase(record).to_string()
        },
        format::age(record.created, now),
    ];
    if columns.namespace {
        row.insert(0, record.namespace.clone());
    }
    if columns.wide {
        let receipt = status.receipt.as_ref();
        row.extend([
            or_nothing(receipt.map(|receipt| receipt.downtime.as_str())),
            or_nothing(
                receipt
                    .map(|receipt| receipt.messages_replayed.to_string())
                    .as_deref(),
            ),
            or_nothing(receipt.map(|receipt| receipt.total.as_str())),
            // One line is one migration.
            or_nothing(status.message.as_deref()).replace('\n', " "),
        ]);
    }
    row
}

fn or_nothing(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or(NOTHING)
        .to_owned()
}

fn phase(record: &Record) -> Phase {
    record.status.phase.unwrap_or_default()
}

fn is_stuck(record: &Record) -> bool {
    record.status.condition_holds(conditions::STUCK)
}

fn target_node(record: &Record) -> Option<&str> {
    let settled = record.status.target_node.as_deref();
    settled.or(record.spec.target_node.as_deref())
}

fn strategy(record: &Record) -> Option<String> {
    let settled = record.status.strategy.or(record.spec.migration_strategy);
    settled.map(|strategy| strategy.to_string())
}
