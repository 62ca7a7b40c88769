//! How long it takes to pack and push a checkpoint archive and what that costs: `ms2m-transfer`
//! beside what a user would take from Debian's packages, and beside floors that nobody who does the
//! work can be under, all in one run. Nothing is asserted; README.md beside this file keeps figures.
//!
//! `run.sh` installs the contenders and runs this. Registry and contenders share the machine, so the
//! registry's work is in every wall time.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod contenders;
mod floors;
mod measure;
mod table;

#[path = "../../../transfer/tests/transfer/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

#[path = "../../../transfer/src/frame.rs"]
#[allow(dead_code, unused_imports, reason = "the transfer uses more of it")]
mod frame;

use std::path::Path;

use contenders::CONTENDERS;
use measure::{Figures, load};
use support::archive;
use table::Row;

const MIB: u64 = 1024 * 1024;
const SIZES: [u64; 3] = [64, 1024, 4096];
const REPEATS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs benchmarks without this argument.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let given: Vec<u64> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = if given.is_empty() {
        SIZES.to_vec()
    } else {
        given
    };
    let repeats = std::env::var("MS2M_BENCH_REPEATS")
        .map_or(REPEATS, |text| text.parse().expect("a number of repeats"));
    let only = std::env::var("MS2M_BENCH_ONLY").unwrap_or_default();
    println!(
        "{} processors, load {} at the beginning, medians of {repeats}\n",
        measure::processors(),
        load()
    );
    for size in sizes {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // A path with colons in it is one that skopeo's transports cannot name.
        let path = directory.path().join("checkpoint.tar");
        std::fs::rename(archive::write(directory.path(), size * MIB), &path).expect("renames");
        table::print(size, &measured(&path, repeats, &only));
        println!("load {} at the end\n", load());
    }
}

/// Measures everybody in turn, as often as asked: what disturbs the machine for a while disturbs
/// all of them.
fn measured(path: &Path, repeats: usize, only: &str) -> Vec<Row> {
    let floors = floors::all();
    let contenders: Vec<_> = CONTENDERS
        .iter()
        .filter(|contender| contender.name.contains(only))
        .collect();
    let mut rows: Vec<Row> = floors
        .iter()
        .map(|floor| Row::floor(floor.name, floor.bounds))
        .chain(contenders.iter().map(|it| Row::contender(it.name, it.kind)))
        .collect();
    for _ in 0..repeats {
        let figures = floors
            .iter()
            .map(|floor| (floor.measure)(path))
            .chain(contenders.iter().map(|it| contenders::run(it, path)))
            .collect::<Vec<Figures>>();
        for (row, figures) in rows.iter_mut().zip(figures) {
            row.figures.push(figures);
        }
    }
    rows
}
