//! The harness itself, in a sandbox: a small matrix whose runs are all there and exact, results that
//! are gone on with, and a message that is lost on purpose, which has to show. A column that never
//! shows anything proves nothing.

use std::path::Path;
use std::process::Command;

use ms2m_evaluate::matrix::Configuration;
use ms2m_evaluate::record::{Outcome, Row, read};

/// Runs `ms2m-evaluate` with these words, and gives what it said.
fn evaluate(out: &Path, words: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ms2m-evaluate"))
        .args(words.split_whitespace())
        .arg("--out")
        .arg(out)
        .output()
        .expect("the program was built for this test");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}:\n{said}");
    said
}

/// Runs these cases once each, and gives all results.
fn run(out: &Path, words: &str) -> Vec<Row> {
    let usual = "run --repetitions 1 --discard 0 --warm-up 1s --after 500ms";
    let said = evaluate(out, &format!("{usual} {words}"));
    let rows = read(&out.join("runs.csv")).expect("there are results");
    assert!(
        rows.iter().all(|row| row.outcome == Outcome::Completed),
        "{rows:#?}\n{said}"
    );
    rows
}

#[test]
fn a_small_matrix_is_exact_and_a_lost_message_shows() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path();
    let rows = run(
        out,
        "--rates 20,40 --configurations pod,statefulset-sequential --seed 7",
    );
    assert_eq!(rows.len(), 4);
    for row in &rows {
        looked_at(row);
        let faults = (row.exact, row.lost, row.doubled, row.out_of_order);
        assert_eq!(faults, (Some(true), Some(0), Some(0), Some(0)), "{row:#?}");
    }

    let more = "--rates 20 --configurations pod --backlogs 0,150 --steal 1";
    let rows = run(out, more);
    assert_eq!(rows.len(), 5, "what is there is not run again");
    assert!(rows.iter().all(|row| row.seed == 7));
    let last = &rows[4];
    assert_eq!(
        (last.backlog, last.exact, last.lost),
        (150, Some(false), Some(1)),
        "{last:#?}"
    );

    evaluate(out, "report");
    let summary = std::fs::read_to_string(out.join("summary.md")).expect("there is a summary");
    assert!(summary.contains("4 of 5 are exact"), "{summary}");
    for plot in ["phases", "total", "gap", "ecdf"] {
        for extension in ["svg", "png"] {
            let path = out.join(format!("plots/{plot}.{extension}"));
            assert!(path.is_file(), "{} is not there", path.display());
        }
    }
}

/// Every observer has seen something, and what it saw is possible.
fn looked_at(row: &Row) {
    let seconds = |value: Option<f64>| value.unwrap_or_else(|| panic!("missing in {row:#?}"));
    let total = seconds(row.total);
    assert!(
        total > 0.2 && total <= seconds(row.wall) + 0.001,
        "{row:#?}"
    );
    assert!(
        seconds(row.gap) > seconds(row.gap_before) / 2.0 && seconds(row.gap) < total,
        "{row:#?}"
    );
    assert!(
        seconds(row.age_during_max) >= seconds(row.age_during_p50),
        "{row:#?}"
    );
    assert!(
        row.confirmed > Some(20) && row.confirmed == row.applied,
        "{row:#?}"
    );
    assert!(row.probes > Some(50), "{row:#?}");
    if row.configuration == Configuration::StatefulsetSequential {
        assert!(
            seconds(row.unavailable) > 0.1,
            "nobody serves while its copy comes: {row:#?}"
        );
    }
    assert!(
        row.archive_bytes > Some(1024 * 1024) && row.moved_bytes > Some(1024),
        "{row:#?}"
    );
    assert!(row.requests > Some(20), "{row:#?}");
    assert!(
        row.cpu > Some(0.0) && row.memory_bytes > Some(1024 * 1024),
        "{row:#?}"
    );
}
