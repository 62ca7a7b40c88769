//! Black-box tests of `ms2m controller`: the real binary, real kubectl, the real worker, the real broker
//! and registry, in the sandbox.

#[path = "../support/mod.rs"]
mod support;

mod carries;
mod ends;
mod kills;
mod leaders;
mod turns;
