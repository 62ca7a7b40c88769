//! What surrounds a pod: its owner, its claims, its budgets, the nodes that it may run on; and what
//! its owner is made to do in a migration.

mod look;
mod manifest;
mod place;
mod set;
mod view;

pub(super) use view::controller;
