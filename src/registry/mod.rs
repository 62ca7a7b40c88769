//! The OCI registry, as oci-client sees it: the port `Registry`. Looks at a checkpoint image and
//! deletes it; pushing is the transfer's business.

mod client;
mod credentials;
mod error;

pub use client::OciRegistry;
