//! Black-box tests of `ms2m-transfer` against a real registry: Debian's `docker-registry`, a
//! private instance for each test, on a port of its own and in a directory that goes with it.

mod archives;
mod arrival;
mod command_line;
mod credentials;
mod direct;
mod faults;
mod image;
mod memory;
mod proxies;
mod resume;
mod scratch;
mod stop;
mod support;
