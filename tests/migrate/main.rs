//! Black-box tests of `ms2m migrate` and `ms2m status`: the real binary, the real worker, the real
//! broker and registry, in the sandbox or on a real cluster.

#[path = "../support/mod.rs"]
mod support;

mod direct;
mod discover;
mod fails;
mod kept;
mod manners;
mod moves;
mod recovery;
mod refuses;
mod status;
mod stops;
mod tunnel;
