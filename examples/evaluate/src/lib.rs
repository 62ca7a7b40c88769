//! The evaluation of migrations: a matrix of message rates and configurations, measured from outside,
//! with the column that says whether the state that survives is exact.
//!
//! It drives the real `ms2m`, in a sandbox or on a cluster, and trusts nothing that it says. What it is
//! not: a test (nothing is asserted; what fails is a line of the results), and a benchmark of the
//! machine (a sandbox's checkpoint and network are not a cluster's).
//!
//! - [`matrix`]: what is measured, and in which order.
//! - [`world`], [`app`], [`mover`], [`observe`]: where, what, by what, and who looks.
//! - [`measure`]: one run. [`figures`]: what its observations come to.
//! - [`record`], [`series`]: the files that it is kept in.
//! - [`report`]: tables and plots. [`cli`]: the command line.

pub mod app;
pub mod cli;
pub mod figures;
pub mod matrix;
pub mod measure;
pub mod mover;
pub mod observe;
pub mod record;
pub mod report;
pub mod series;
pub mod world;
