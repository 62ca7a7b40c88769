//! Names, labels and annotations of the objects that ms2m makes. Pure.

use std::collections::BTreeMap;

use crate::api::{MIGRATION_LABEL, ROLE_LABEL};

/// Annotation of a target pod: the labels that it takes over at the commit, as JSON.
pub const SOURCE_LABELS: &str = "migration.ms2m.io/source-labels";
/// Annotation of a target pod: the pod that it was made from.
pub const SOURCE_POD: &str = "migration.ms2m.io/source-pod";
/// Annotation of a target pod: the container that carries the state.
pub const CONTAINER: &str = "migration.ms2m.io/restored-container";
/// Label on a transfer's pod; its value names the Job.
pub(in crate::cluster) const TRANSFER_LABEL: &str = "migration.ms2m.io/transfer";

/// Values of the label [`ROLE_LABEL`].
pub(super) mod role {
    pub(in super::super) const JOURNAL: &str = "journal";
    pub(in super::super) const KEPT: &str = "kept";
    pub(in super::super) const TRANSFER: &str = "transfer";
    pub(in super::super) const RECEIVER: &str = "receiver";
    pub(in super::super) const IMAGE_PULL: &str = "image-pull";
    pub(in super::super) const TARGET: &str = "target";
}

/// A label's value may have 63 characters.
const LABEL_VALUE: usize = 63;

/// The labels of an object that ms2m makes for `migration`.
pub(super) fn labels(migration: &str, role: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            MIGRATION_LABEL.to_owned(),
            shortened(migration, LABEL_VALUE),
        ),
        (ROLE_LABEL.to_owned(), role.to_owned()),
    ])
}

/// `name`, cut to `length` characters if need be, with a hash so that it stays unlike others.
pub(super) fn shortened(name: &str, length: usize) -> String {
    if name.len() <= length {
        return name.to_owned();
    }
    let tail = format!("-{:08x}", fnv1a(name));
    // Names of Kubernetes objects are ASCII.
    let head: String = name.chars().take(length - tail.len()).collect();
    format!("{}{tail}", head.trim_end_matches(['.', '-', '_']))
}

/// FNV-1a, 32 bits: the same in every version of ms2m, as a name that others look for must be.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_makes_a_label_that_is_its_own() {
        let one = shortened(&"a".repeat(80), 63);
        let two = shortened(&format!("{}b", "a".repeat(80)), 63);
        assert_eq!(one.len(), 63);
        assert_ne!(one, two);
        assert_eq!(shortened("web-0", 63), "web-0");
    }
}
