//! Entry point: set-up and exit code, nothing else.

fn main() {}
