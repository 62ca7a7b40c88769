//! The verdict for people: a table by publisher, what is wrong, and one line that says it all.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, LineStyle, Table, presets};

use super::{Hash, Verdict};
use crate::state::Ranges;

/// The verdict as text of several lines.
pub fn table(verdict: &Verdict) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "Publisher",
        "Confirmed",
        "Applied",
        "Lost",
        "Doubled",
        "Out of order",
        "Hash",
    ]);
    for (name, publisher) in &verdict.publishers {
        table.add_row([
            name.clone(),
            publisher.confirmed.to_string(),
            publisher.applied.to_string(),
            publisher.lost.len().to_string(),
            publisher.doubled.to_string(),
            publisher.out_of_order.len().to_string(),
            hash(publisher.hash).to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n");
    details(verdict, &mut text);
    summary(verdict, &mut text);
    text
}

fn hash(hash: Hash) -> &'static str {
    match hash {
        Hash::Matches => "matches",
        Hash::NotComparable => "-",
        Hash::Differs => "DIFFERS",
    }
}

/// Which messages are wrong, one line a kind and publisher.
fn details(verdict: &Verdict, text: &mut String) {
    for (name, publisher) in &verdict.publishers {
        for (what, numbers) in [
            ("lost", &publisher.lost),
            ("applied again", &publisher.doubled_numbers),
            ("out of order", &publisher.out_of_order),
            ("never published", &publisher.unexpected),
        ] {
            if !numbers.is_empty() {
                writeln!(text, "{name} {what}: {}", shortened(numbers))
                    .expect("a string takes everything");
            }
        }
    }
}

/// The numbers, cut where a line would get unreadable.
fn shortened(numbers: &Ranges) -> String {
    let full = numbers.to_string();
    match full.char_indices().nth(200) {
        Some((at, _)) => format!("{} … ({} in all)", &full[..at], numbers.len()),
        None => full,
    }
}

fn summary(verdict: &Verdict, text: &mut String) {
    let Verdict {
        lost,
        doubled,
        out_of_order,
        unexpected,
        excused,
        ..
    } = verdict;
    let mut line = format!("{lost} lost, {doubled} doubled, {out_of_order} out of order");
    let mut more = |count: u64, what: &str| {
        if count > 0 {
            write!(line, ", {count} {what}").expect("a string takes everything");
        }
    };
    more(*unexpected, "never published");
    more(*excused, "doubled but excused");
    let hash = if verdict.hash == Hash::Differs {
        ", a hash differs"
    } else {
        ""
    };
    let word = if verdict.exact { "exact" } else { "NOT EXACT" };
    writeln!(
        text,
        "{line}{hash}: {word} ({} confirmed, {} applied)",
        verdict.confirmed, verdict.applied
    )
    .expect("a string takes everything");
}
