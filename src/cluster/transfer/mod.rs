//! The transfer Job: made, followed, removed.

mod follow;
mod job;
mod progress;

pub(super) use follow::Follow;
pub(super) use job::{label_value as job_label, transfer_job};
