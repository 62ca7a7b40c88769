//! Direct transfers: what they are called, and which migrations they are not for. Pure.

use ms2m_transfer::direct::DEFAULT_PORT;

use crate::api::{StatefulMigrationSpec, Strategy, TransferConfig};
use crate::migration::error::Error;

/// The port of a direct transfer; `None` when there is a registry.
#[must_use]
pub fn direct_port(spec: &StatefulMigrationSpec) -> Option<u16> {
    port_of(spec.transfer.as_ref()?)
}

/// The same of a spec's `transfer`.
#[must_use]
pub fn port_of(transfer: &TransferConfig) -> Option<u16> {
    let port = transfer.direct_port.unwrap_or(DEFAULT_PORT);
    transfer.direct.unwrap_or(false).then_some(port)
}

/// What stands in `checkpointImageRepository` where nobody has a registry to name: the receiver's.
#[must_use]
pub fn receivers_registry(port: u16) -> String {
    format!("localhost:{port}/ms2m")
}

/// The one repository of a migration's receiver.
#[must_use]
pub fn receivers_repository(migration: &str) -> String {
    format!("ms2m/{migration}")
}

/// The checkpoint image as it is named: by the registry, or by the receiver on the target node.
#[must_use]
pub fn image_of(spec: &StatefulMigrationSpec, migration: &str, source_uid: &str) -> String {
    match direct_port(spec) {
        Some(port) => format!(
            "localhost:{port}/{}:{migration}",
            receivers_repository(migration)
        ),
        None => super::checkpoint_image(&spec.checkpoint_image_repository, migration, source_uid),
    }
}

/// Refuses what a direct transfer is not for.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Refused`]: the pod would be gone before its copy runs, with
/// its state nowhere but in the receiver's memory.
pub(super) fn suits(
    spec: &StatefulMigrationSpec,
    strategy: Strategy,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if direct_port(spec).is_none() {
        return Ok(());
    }
    if strategy == Strategy::Sequential {
        return Err(Error::refused(
            "a direct transfer cannot be combined with the strategy Sequential",
        )
        .because(
            "the source is removed before the target runs, and the checkpoint would be nowhere but on the target node, \
             with no way back",
        )
        .hint("keep the source until its copy serves: --strategy ShadowPod")
        .hint("or let the checkpoint travel by a registry: leave --direct out"));
    }
    let keeps = spec.transfer.as_ref().and_then(|it| it.keep_checkpoint);
    if keeps == Some(true) {
        warnings.push(
            "the archive is kept on the source node, but the image goes with its receiver: there is no registry to \
             keep it in"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(direct: Option<bool>, port: Option<u16>) -> StatefulMigrationSpec {
        StatefulMigrationSpec {
            transfer: Some(TransferConfig {
                direct,
                direct_port: port,
                ..TransferConfig::default()
            }),
            ..StatefulMigrationSpec::sample("w")
        }
    }

    #[test]
    fn an_image_is_named_by_what_serves_it() {
        const UID: &str = "3056abea-8b7d-42f8-9d23-9f322cc78a47";
        let in_registry = "reg/cp:m-1.3056abea8b7d";
        assert_eq!(image_of(&spec(None, None), "m-1", UID), in_registry);
        let told = spec(Some(false), Some(7000));
        assert_eq!(image_of(&told, "m-1", UID), in_registry);
        let direct = image_of(&spec(Some(true), None), "m-1", UID);
        assert_eq!(direct, "localhost:5351/ms2m/m-1:m-1");
        assert_eq!(direct_port(&spec(Some(true), Some(7000))), Some(7000));
    }

    #[test]
    fn a_pod_that_goes_before_its_copy_runs_needs_a_registry() {
        let mut warnings = Vec::new();
        let direct = spec(Some(true), None);
        assert!(suits(&direct, Strategy::Sequential, &mut warnings).is_err());
        assert!(suits(&direct, Strategy::ShadowPod, &mut warnings).is_ok());
        let registry = spec(None, None);
        assert!(suits(&registry, Strategy::Sequential, &mut warnings).is_ok());
        assert!(warnings.is_empty());
    }
}
