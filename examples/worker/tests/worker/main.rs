//! Tests of the real binaries on a real broker. One binary, so that one broker serves them all.

mod audit;
mod contract;
mod manners;
mod minimal;
mod reconnect;
mod snapshot;
mod support;
mod switch;
