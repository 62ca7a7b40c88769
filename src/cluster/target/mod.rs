//! The target pod: made from the source pod's manifest and the checkpoint image.

mod build;
mod labels;

pub(super) use build::target_pod;
pub(super) use labels::handed_over;
