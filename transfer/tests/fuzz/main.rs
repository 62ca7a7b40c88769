//! A short run of the fuzz targets on the stable toolchain: everything that is saved in
//! `fuzz/corpus`, and changes of it drawn by lot. cargo-fuzz, which sees what code an input reaches,
//! is for whoever has time (`fuzz/README.md`).
//!
//! `MS2M_FUZZ_SECONDS` says for how long each target is run, `MS2M_SEED` repeats a run. An input
//! that fails is saved, and its path is told.

mod mutate;

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mutate::{Chance, mutated};
use targets::Target;

/// For how long each target is run, seconds.
const SECONDS: u64 = 2;

/// No input of the size of ours may take longer, even in an unoptimised build on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

#[test]
fn the_corpus_and_changes_of_it_pass() {
    let seconds = number("MS2M_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = number("MS2M_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("it is after 1970").subsec_nanos().into()
    });
    for (name, target) in targets::ALL {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} has something saved");
        for input in &corpus {
            check(name, *target, input, seed);
        }
        let mut chance = Chance::new(seed);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut runs = 0_u64;
        while Instant::now() < end {
            check(name, *target, &mutated(&mut chance, &corpus), seed);
            runs += 1;
        }
        tell(&format!("{name}: {runs} inputs, MS2M_SEED={seed}"));
    }
}

#[expect(clippy::print_stderr, reason = "whoever repeats the run needs it")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// What is saved for a target, in the order of the names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)
        .expect("the corpus is in the repository")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("it can be read"))
        .collect()
}

fn check(name: &str, target: Target, input: &[u8], seed: u64) {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let taken = start.elapsed();
    if outcome.is_ok() && taken < LONGEST {
        return;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    std::fs::write(&path, input).expect("the input can be saved");
    panic!(
        "{name} failed after {taken:?} with {} (MS2M_SEED={seed}); put it into fuzz/corpus/{name}",
        path.display()
    );
}
