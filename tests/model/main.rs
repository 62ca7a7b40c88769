//! The handoff, checked exhaustively: the engine's own decisions against every interleaving of
//! publishers, source, target and ms2m, with a crash of ms2m between any two effects, effects whose
//! answer is lost, lost connections, crashes of source and target, and an abort at any moment.
//!
//! What is shown: whoever serves has applied every message exactly once and in order; the source
//! is removed only after the target was seen on the (silent) primary queue; no state is without a way to an
//! end; nothing is left at the broker. And that the checker would find mistakes: each of those in
//! `mistakes` is found, with the shortest way to it printed.
//!
//! What the model does not have: time (a queue that is seen quiet is quiet), several publishers
//! (the order that is promised is that of each), and the watch that turns depths into what is
//! decided on, which has tests of its own.

#![allow(
    clippy::print_stdout,
    reason = "the shortest way to a mistake is for people to read"
)]

mod migration;
mod mistakes;
mod model;
mod reach;
mod world;

use model::{Application, Setup};
use ms2m::api::{Handoff, StaleIdentity};
use ms2m::migration::handoff::Rules;

#[test]
fn a_migration_of_an_obedient_application() {
    reach::check("obedient", Setup::default());
}

#[test]
fn messages_that_slip_in_late() {
    reach::check(
        "slipping",
        Setup {
            late: true,
            ..Setup::default()
        },
    );
}

#[test]
fn connections_that_are_lost() {
    reach::check(
        "lost connections",
        Setup {
            losses: 1,
            ..Setup::default()
        },
    );
}

#[test]
fn a_source_that_crashes() {
    reach::check(
        "source crashes",
        Setup {
            source_crashes: true,
            // What a crash leaves of the state is not asked; that there is a way to an end is.
            messages: 1,
            ..Setup::default()
        },
    );
}

#[test]
fn a_target_that_crashes() {
    reach::check(
        "target crashes",
        Setup {
            target_crashes: true,
            ..Setup::default()
        },
    );
}

#[test]
fn a_source_that_does_not_read_its_orders() {
    reach::check(
        "deaf source",
        Setup {
            source: Application::Deaf,
            ..Setup::default()
        },
    );
}

#[test]
fn a_source_that_reads_its_orders_and_ignores_them() {
    reach::check(
        "stubborn source",
        Setup {
            source: Application::Stubborn,
            ..Setup::default()
        },
    );
}

#[test]
fn a_target_that_goes_by_the_sources_name() {
    for stale_identity in [StaleIdentity::RollBack, StaleIdentity::StopSource] {
        reach::check(
            "stale target",
            Setup {
                stale_target: true,
                rules: Rules {
                    stale_identity,
                    ..Rules::default()
                },
                ..Setup::default()
            },
        );
    }
}

#[test]
fn a_target_in_the_place_of_the_source() {
    let rules = Rules {
        sequential: true,
        ..Rules::default()
    };
    for (name, setup) in [
        ("sequential", Setup::default()),
        (
            "sequential, lost connections",
            Setup {
                losses: 1,
                ..Setup::default()
            },
        ),
        (
            "sequential, target crashes",
            Setup {
                target_crashes: true,
                ..Setup::default()
            },
        ),
        (
            "sequential, source crashes",
            Setup {
                source_crashes: true,
                messages: 1,
                ..Setup::default()
            },
        ),
    ] {
        reach::check(name, Setup { rules, ..setup });
    }
}

#[test]
fn the_handoff_mirror() {
    reach::check(
        "mirror",
        Setup {
            rules: Rules {
                handoff: Handoff::Mirror,
                ..Rules::default()
            },
            source: Application::Deaf,
            ..Setup::default()
        },
    );
}
