//! The summary as tables in Markdown.

use std::fmt::Write as _;

use super::published::PUBLISHED;
use super::summary::{Group, Spread, groups, total};
use crate::matrix::{Case, Configuration, MIB, RATES, STATE_BYTES, Way};
use crate::record::Row;

/// All tables, each under its heading.
pub fn tables(rows: &[Row]) -> String {
    let groups = groups(rows);
    let mut text = origin(rows);
    for (heading, holds) in SECTIONS {
        let chosen: Vec<&Group<'_>> = groups.iter().filter(|it| holds(&it.case)).collect();
        if !chosen.is_empty() {
            let _ = write!(text, "\n### {heading}\n\n{}", times(&chosen));
            let _ = write!(text, "\n{}", costs(&chosen));
        }
    }
    text.push_str(&beside_published(&groups));
    text.push_str(&failures(rows));
    text
}

type Holds = fn(&Case) -> bool;

/// The headings, and which cases come under each. Every case comes under one of them.
const SECTIONS: [(&str, Holds); 6] = [
    ("By the command line", |it| it.way == Way::Cli && plain(it)),
    ("With a backlog", |it| it.way == Way::Cli && it.backlog > 0),
    ("With a larger or smaller state", |it| {
        it.way == Way::Cli && it.backlog == 0 && it.state_bytes != STATE_BYTES
    }),
    ("By a controller", |it| it.way == Way::Controller),
    ("With the handoff Mirror", |it| it.way == Way::Mirror),
    ("Deleted, and started elsewhere", |it| {
        it.way == Way::Recreate
    }),
];

fn plain(case: &Case) -> bool {
    case.backlog == 0 && case.state_bytes == STATE_BYTES
}

/// What was run, where, and how much of it was exact.
fn origin(rows: &[Row]) -> String {
    let mut commits: Vec<&str> = rows.iter().map(|row| row.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let mut worlds: Vec<&str> = rows.iter().map(|row| row.world.as_str()).collect();
    worlds.sort_unstable();
    worlds.dedup();
    let gate = |row: &&Row| matches!(row.way, Way::Cli | Way::Controller);
    let exact = |row: &&Row| row.exact == Some(true);
    let of_gate = rows.iter().filter(gate).count();
    let exact_of_gate = rows.iter().filter(gate).filter(exact).count();
    let first = rows.iter().map(|row| row.started.as_str()).min();
    format!(
        "{} runs ({}, commit {}, from {}). With the handoff Gate {exact_of_gate} of {of_gate} are exact.\n\
         Times are in seconds: median (quartiles) worst, of the runs that completed.\n",
        rows.len(),
        worlds.join(", "),
        commits.join(", "),
        first.unwrap_or_default(),
    )
}

fn times(groups: &[&Group<'_>]) -> String {
    let mut text = "| pod | rate | more | total | gap | unavailable | age p99 during | runs | failed | exact | lost | doubled | out of order |\n\
                    |---|--:|---|---|---|---|---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for group in groups {
        let case = &group.case;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            case.configuration.name(),
            case.rate,
            more(case),
            show(group.spread(total)),
            show(group.spread(|row| row.gap)),
            show(group.spread(|row| row.unavailable)),
            show(group.spread(|row| row.age_during_p99)),
            group.rows.len(),
            group.failed(),
            group.exact(),
            group.sum(|row| row.lost),
            group.sum(|row| row.doubled),
            group.sum(|row| row.out_of_order),
        );
    }
    text
}

/// What it costs; nothing where there is no ms2m.
fn costs(groups: &[&Group<'_>]) -> String {
    if groups.iter().all(|it| it.case.way == Way::Recreate) {
        return String::new();
    }
    let mut text = "<details><summary>what it takes</summary>\n\n\
                    | pod | rate | more | checkpoint MiB | moved MiB | API requests | CPU s | memory MiB |\n\
                    |---|--:|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for group in groups {
        let case = &group.case;
        let median = |figure: fn(&Row) -> Option<f64>| group.spread(figure).map(|it| it.median);
        let mebibytes = |bytes: Option<f64>| number(bytes.map(|it| it / MIB as f64), 1);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case.configuration.name(),
            case.rate,
            more(case),
            mebibytes(median(|row| row.archive_bytes.map(|it| it as f64))),
            mebibytes(median(|row| row.moved_bytes.map(|it| it as f64))),
            number(median(|row| row.requests.map(|it| it as f64)), 0),
            number(median(|row| row.cpu), 2),
            mebibytes(median(|row| row.memory_bytes.map(|it| it as f64))),
        );
    }
    text.push_str("\n</details>\n");
    text
}

/// What is not the usual of a case.
fn more(case: &Case) -> String {
    let mut words = Vec::new();
    if case.backlog > 0 {
        words.push(format!("backlog {}", case.backlog));
    }
    if case.state_bytes != STATE_BYTES {
        words.push(format!("{} MiB", case.state_bytes / MIB));
    }
    if case.processing_ms != crate::matrix::PROCESSING_MS {
        words.push(format!("{} ms a message", case.processing_ms));
    }
    words.join(", ")
}

/// Our medians and the published ones, one rate a column.
fn beside_published(groups: &[Group<'_>]) -> String {
    let rates: Vec<String> = RATES.iter().map(u32::to_string).collect();
    let mut text = format!(
        "\n### Beside the published figures\n\n\
         Medians of the total in seconds by messages a second, here and in arXiv 2603.25484, whose limit of\n\
         the replay is 120 s, on three machines: compare shapes, not seconds.\n\n\
         | | {} |\n|---|{}\n",
        rates.join(" | "),
        "--:|".repeat(rates.len())
    );
    for published in PUBLISHED {
        let ours = RATES.map(|rate| number(median_total(groups, published.like, rate), 1));
        let theirs = published.totals.map(|it| number(Some(it), 1));
        let _ = writeln!(
            text,
            "| {} | {} |\n| published: {} | {} |",
            published.like.name(),
            ours.join(" | "),
            published.name,
            theirs.join(" | ")
        );
    }
    text
}

/// The median total of the cases of the command line without anything special.
pub(super) fn median_total(
    groups: &[Group<'_>],
    configuration: Configuration,
    rate: u32,
) -> Option<f64> {
    let of = |it: &&Group<'_>| {
        let case = &it.case;
        case.way == Way::Cli
            && plain(case)
            && (case.configuration, case.rate) == (configuration, rate)
    };
    let group = groups.iter().find(of)?;
    group.spread(total).map(|it| it.median)
}

/// Every run that failed, with its reason.
fn failures(rows: &[Row]) -> String {
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| row.outcome == crate::record::Outcome::Failed)
        .map(|row| format!("- {}: {}\n", row.run(), row.reason))
        .collect();
    if failed.is_empty() {
        return "\nNo run failed.\n".to_owned();
    }
    format!("\n### Runs that failed\n\n{}", failed.concat())
}

fn show(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |it| {
            format!(
                "{:.2} ({:.2}–{:.2}) {:.2}",
                it.median, it.low, it.high, it.worst
            )
        },
    )
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |it| format!("{it:.digits$}"))
}

#[cfg(test)]
mod tests {
    //! Tests of the tables.

    use super::*;
    use crate::matrix::{default_matrix, plan};
    use crate::record::Outcome;

    #[test]
    fn every_case_is_in_exactly_one_table() {
        for case in default_matrix() {
            let under = SECTIONS.iter().filter(|(_, holds)| holds(&case)).count();
            assert_eq!(under, 1, "{case:?}");
        }
    }

    #[test]
    fn a_loss_and_a_failure_show() {
        let runs = plan(&default_matrix()[..1], 2, 1);
        let mut rows: Vec<Row> = runs.iter().map(Row::of).collect();
        rows[0].outcome = Outcome::Completed;
        rows[0].total = Some(1.5);
        rows[0].lost = Some(1);
        rows[0].exact = Some(false);
        rows[1].reason = "it would not".to_owned();
        let text = tables(&rows);
        assert!(text.contains("0 of 2 are exact"), "{text}");
        let line = "| pod | 10 |  | 1.50 (1.50–1.50) 1.50 | – | – | – | 2 | 1 | 0 | 1 | 0 | 0 |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("it would not"), "{text}");
    }
}
