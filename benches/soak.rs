//! The long soak: migrations there and back under load, with a fault drawn by lot each time.
//!
//! `MS2M_SOAK_ROUNDS` (200) says how many, `MS2M_SOAK_SEED` (drawn by the clock, and printed) which
//! faults: the same seed draws the same ones. The tests run a short one.

#![allow(clippy::print_stderr, reason = "a soak tells how far it is")]
#![allow(
    dead_code,
    reason = "it has the cases' support in common with the fault matrix and uses a part of it"
)]

#[path = "../tests/faults/case.rs"]
mod case;
#[path = "../tests/faults/place.rs"]
mod place;
#[path = "../tests/faults/soak.rs"]
mod soak;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/faults/verdict.rs"]
mod verdict;

/// Rounds where nobody says how many.
const ROUNDS: u64 = 200;

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("MS2M_SOAK_SEED").unwrap_or_else(by_the_clock);
    let rounds = number("MS2M_SOAK_ROUNDS").unwrap_or(ROUNDS);
    let rounds = u32::try_from(rounds).expect("MS2M_SOAK_ROUNDS is a number of rounds");
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(soak::soak(seed, rounds));
}

fn by_the_clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
