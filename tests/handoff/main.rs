//! Properties of the handoff on a real RabbitMQ.
//!
//! Random schedules of inserting, closing, opening and removing the gate, under publishers on
//! several connections and consumers that come and go, with requests repeated as after a lost
//! answer or a crash of ms2m. Whatever the schedule: each confirmed message is in Q, or in both R
//! and H, as the gate stood when it was published; none is lost, none doubled, and the order of
//! each publisher is kept.
//!
//! The requests to the broker are the engine's own (`ms2m::migration::handoff`), carried out by
//! the adapter that ships. The parties' obedience is not here: that is the model's.

#[path = "../support/mod.rs"]
mod support;

mod consumers;
mod layout;
mod ledger;
mod publishers;
mod rig;
mod schedule;

use layout::{Shape, Wiring};

/// Random schedules for each wiring; one takes about a second.
const CASES: u32 = 4;

#[test]
fn exact_on_classic_queues() {
    for wiring in Wiring::ALL {
        schedule::check(
            Shape {
                wiring,
                quorum: false,
            },
            CASES,
        );
    }
}

#[test]
fn exact_on_quorum_queues() {
    for wiring in Wiring::ALL {
        schedule::check(
            Shape {
                wiring,
                quorum: true,
            },
            CASES,
        );
    }
}
