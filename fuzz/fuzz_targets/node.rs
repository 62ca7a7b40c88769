//! `cargo fuzz run node`: see `node` in targets.rs.
#![no_main]

#[allow(dead_code, reason = "every target has a binary of its own")]
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::node(data));
