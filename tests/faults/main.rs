//! The fault matrix: the real `ms2m` moves a pod under load while something fails, and afterwards
//! the audit and a listing of everything decide. Sandbox only, since the faults are ordered.
//!
//! A harness of its own, since cases wait for most of their time: far more than there are cores
//! run side by side, each in a namespace with a queue and a user of its own. Those that disturb
//! everybody have a sandbox of their own and come one after the other.

#![allow(
    clippy::print_stderr,
    reason = "a case that failed tells what was said"
)]

#[path = "../support/mod.rs"]
mod support;

mod aborts;
mod boundary;
mod broker;
mod calls;
mod case;
mod crashes;
mod kills;
mod manners;
mod nodes;
mod owners;
mod place;
mod registry;
mod restores;
mod soak;
mod trials;
mod verdict;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = trials::Trials::default();
    let turns = trials::Turns::default();
    trials.add_in_turn(&turns, "soak::ten_rounds", || {
        soak::soak(soak::SEED, soak::ROUNDS)
    });
    broker::add(&mut trials, &turns);
    calls::add(&mut trials);
    kills::add(&mut trials);
    aborts::add(&mut trials);
    restores::add(&mut trials);
    registry::add(&mut trials);
    crashes::add(&mut trials);
    nodes::add(&mut trials);
    manners::add(&mut trials);
    owners::add(&mut trials, &turns);
    trials.run(arguments);
}
