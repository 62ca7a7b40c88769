//! What people read on stdout: pure functions from data to text.

pub mod aborted;
pub mod check;
pub mod checkpoint;
pub mod created;
pub mod drain;
pub mod estimate;
pub mod explain;
pub mod plan;
pub mod status;
pub mod summary;

use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{ContentArrangement, Table};

/// A table with borders for one result.
fn boxed(columns: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(columns);
    table
}

/// A table without borders for lists, as kubectl prints them. It is never wrapped: a line is an
/// object, for eyes and for grep.
fn bare() -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Lines of `name  value`, the values in one column.
fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The part of a downtime in which there was neither source nor target, where there was one.
fn absence(seconds: &str) -> String {
    if matches!(seconds, "" | "0.000s") {
        String::new()
    } else {
        format!(" + {seconds} between source and target")
    }
}
