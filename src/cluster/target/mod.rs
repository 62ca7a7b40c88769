//! The target pod: made from the source pod's manifest and the checkpoint image.

mod base_image;
mod build;
mod labels;

pub(super) use base_image::{has_image_volumes, with_base_image};
pub(super) use build::target_pod;
pub(super) use labels::handed_over;
