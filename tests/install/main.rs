//! `ms2m install` and `ms2m uninstall` on an API server, seen through real kubectl: the export, what
//! comes into the cluster and what goes, and the rights that it gives, each rule of them.

#[path = "../support/mod.rs"]
mod support;

mod export;
mod installs;
mod place;
mod rights;
mod serves;
mod uninstalls;
