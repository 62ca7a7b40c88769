//! The black-box tests of the command line once more, by the other front: `ms2m migrate
//! --via-controller` makes a resource, and a real `ms2m controller` carries it out, with the rights that
//! are exported for it and no others.

#[path = "../support/mod.rs"]
mod support;

#[path = "../owners/deployment.rs"]
mod deployment;
#[path = "../migrate/moves.rs"]
mod moves;
#[path = "../owners/scene.rs"]
mod scene;
#[path = "../owners/stateful_set.rs"]
mod stateful_set;
#[path = "../owners/volumes.rs"]
mod volumes;
