//! `ms2m check`: each check in a case in which it holds and in one in which it does not, and each
//! remedy that is a command, run as it is printed.

#[path = "../support/mod.rs"]
mod support;

mod around;
mod broker;
mod cluster;
mod every;
mod least;
mod nodes;
mod plan;
mod pod;
mod probe;
mod remedies;
mod rights;
mod shown;
mod terminal;
mod tunnel;
