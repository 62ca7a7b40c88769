//! The transfer Job: made, followed, removed.

mod follow;
mod following;
mod job;
mod job_pods;
mod progress;

pub(super) use following::{Following, View as TransferView};
pub(super) use job::{label_value as job_label, transfer_job};
pub(super) use job_pods::MadeJob;
