//! What surrounds a pod: its owner, its claims, its budgets, the nodes that it may run on; and what
//! its owner is made to do in a migration.

mod again;
mod look;
mod manifest;
mod place;
mod rollout;
mod set;
mod view;

pub(super) use view::controller;
