//! The contract between `ms2m` and the transfer Job: how the Job's container is configured, what
//! it prints, what it leaves as its termination message and how it exits.
//!
//! Both sides use these types: the binary `ms2m-transfer` writes them, the engine of `ms2m`
//! builds the Job from them and reads them back. No type of the registry client shows in them.
//!
//! | module         | side of the contract                                              |
//! |----------------|-------------------------------------------------------------------|
//! | [`mod@env`]    | environment variables of the Job's container                      |
//! | [`event`]      | one JSON object a line on stdout                                  |
//! | [`report`]     | the result, also the container's termination message              |
//! | [`exit`]       | exit codes                                                        |
//! | [`direct`]     | what a sender and a receiver know of each other                   |
//! | [`mod@node`]   | what a probe reports of its node                                  |
//! | [`annotation`] | keys of the manifest's annotations, which make an image restorable |
//!
//! Beside the contract are the readers of what others have written, which the binary uses, and
//! `ms2m` and the fuzz targets (`fuzz/`) too:
//!
//! | module         | reads                                                             |
//! |----------------|-------------------------------------------------------------------|
//! | [`archive`]    | checkpoint archives, whole and checked                            |
//! | [`checkpoint`] | what is in one, for people                                        |
//! | [`metadata`]   | `config.dump` and `spec.dump`                                     |
//! | [`mod@reference`] | image references                                                  |

pub mod annotation;
pub mod archive;
pub mod checkpoint;
pub mod direct;
pub mod env;
pub mod event;
pub mod exit;
pub mod metadata;
pub mod node;
pub mod pool;
pub mod reference;
pub mod report;
mod tap;

pub use event::Event;
pub use exit::ExitCode;
pub use report::{Failed, FailureCode, Pushed, Report};
