//! Container runtimes by their versions → whether they take and restore checkpoints (facts.md, Which
//! runtimes restore; read in the sources of containerd and CRI-O in autumn 2026). Pure.

use crate::migration::error::Error;
use crate::migration::ports::NodeView;

/// What a runtime can do, by its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Can {
    /// It can.
    Yes,
    /// It can where this is configured, which its version does not tell.
    With(&'static str),
    /// It cannot.
    No(&'static str),
    /// Nobody has looked.
    Unknown,
}

/// A version, as far as it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
}

/// The runtime's name in `containerRuntimeVersion`, as `cri-o` of `cri-o://1.36.3`.
pub(super) fn product(runtime: &str) -> &str {
    runtime.split("://").next().unwrap_or_default()
}

/// The numbers that a version begins with: `2.1.9` of `containerd://2.1.9-k3s1`, `6.12.0` of
/// `6.12-amd64`.
pub(super) fn version(text: &str) -> Option<Version> {
    let text = text.rsplit("://").next().unwrap_or_default();
    let text = text.trim_start_matches('v');
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
    let text = text.get(..end.unwrap_or(text.len()))?;
    let mut numbers = text.split('.').map(str::parse::<u64>);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next()?.ok()?;
    let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
    Some(Version {
        major,
        minor,
        patch,
    })
}

/// Whether it takes checkpoints of containers.
pub(super) fn checkpoints(runtime: &str) -> Can {
    let Some(version) = version(runtime) else {
        return Can::Unknown;
    };
    match (product(runtime), version.major, version.minor) {
        ("containerd", 0..=1, _) => Can::No("containerd takes checkpoints since 2.0"),
        ("cri-o", 0, _) | ("cri-o", 1, 0..=24) => Can::No("CRI-O takes checkpoints since 1.25"),
        ("containerd" | "cri-o", _, _) => Can::Yes,
        ("docker", _, _) => Can::No("the kubelet cannot have Docker take checkpoints"),
        _ => Can::Unknown,
    }
}

/// Whether it restores them from images.
pub(super) fn restores(runtime: &str) -> Can {
    let Some(version) = version(runtime) else {
        return Can::Unknown;
    };
    match product(runtime) {
        "containerd" => containerd(version),
        "cri-o" => crio(version),
        "docker" => Can::No("Docker restores no checkpoint images"),
        _ => Can::Unknown,
    }
}

fn containerd(version: Version) -> Can {
    const SWITCH: &str =
        "enable_experimental_restore_via_create = true in containerd's config.toml";
    let Version {
        major,
        minor,
        patch,
    } = version;
    match (major, minor, patch) {
        (0..=1, _, _) | (2, 0, _) => Can::No("containerd restores them from images since 2.1"),
        (2, 1, 0..=9) | (2, 2, 0..=6) | (2, 3, 0..=3) => Can::Yes,
        (2, 2..=3, _) => Can::With(SWITCH),
        (2, 1, _) => Can::Unknown,
        _ => Can::No(
            "containerd 2.4 has dropped it and starts such an image as an ordinary container",
        ),
    }
}

fn crio(version: Version) -> Can {
    const SWITCH: &str =
        "container_level_enabled = \"checkpoint_restore\" under [crio.checkpoint_restore]";
    let Version {
        major,
        minor,
        patch,
    } = version;
    match (major, minor, patch) {
        (1, 30..=35, _) | (1, 36, 0..=3) => Can::Yes,
        (0, _, _) | (1, 0..=24, _) => Can::No("CRI-O restores them since 1.25"),
        (1, 25..=29, _) => Can::Unknown,
        _ => Can::With(SWITCH),
    }
}

/// Refuses what `node`'s runtime cannot do, and warns of what its version does not tell.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Refused`]: it certainly cannot.
pub(super) fn allows(node: &NodeView, can: Can, warnings: &mut Vec<String>) -> Result<(), Error> {
    let NodeView { name, runtime, .. } = node;
    match can {
        Can::Yes => Ok(()),
        Can::With(switch) => {
            warnings.push(format!(
                "{runtime} on node {name} restores checkpoints only with {switch}, which cannot be seen from here"
            ));
            Ok(())
        }
        Can::Unknown => {
            warnings.push(format!(
                "nobody has tried whether {runtime} on node {name} takes and restores checkpoints"
            ));
            Ok(())
        }
        Can::No(why) => Err(Error::refused(format!(
            "{runtime} on node {name} does not do for a migration"
        ))
        .because(why)
        .hint("choose a node with CRI-O 1.30 or later, or containerd 2.1 to 2.3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_what_distributions_add() {
        let numbers = |text: &str| version(text).map(|it| (it.major, it.minor, it.patch));
        assert_eq!(numbers("containerd://2.1.9-k3s1"), Some((2, 1, 9)));
        assert_eq!(numbers("cri-o://1.36.3"), Some((1, 36, 3)));
        assert_eq!(numbers("v1.36.2+k3s1"), Some((1, 36, 2)));
        assert_eq!(numbers("6.12-amd64"), Some((6, 12, 0)));
        assert_eq!(numbers("6.1.0-44-amd64"), Some((6, 1, 0)));
        assert_eq!(numbers(""), None);
        assert_eq!(numbers("containerd://unknown"), None);
    }

    #[test]
    fn the_table_of_runtimes_holds() {
        for (runtime, expected) in [
            ("containerd://1.7.27", "no"),
            ("containerd://2.0.5", "no"),
            ("containerd://2.1.0", "yes"),
            ("containerd://2.1.9", "yes"),
            ("containerd://2.1.10", "unknown"),
            ("containerd://2.2.6", "yes"),
            ("containerd://2.2.7", "with"),
            ("containerd://2.3.3", "yes"),
            ("containerd://2.3.4", "with"),
            ("containerd://2.4.0", "no"),
            ("cri-o://1.29.1", "unknown"),
            ("cri-o://1.30.0", "yes"),
            ("cri-o://1.36.3", "yes"),
            ("cri-o://1.36.4", "with"),
            ("cri-o://1.37.0", "with"),
            ("docker://27.1.0", "no"),
            ("frakti://1.0.0", "unknown"),
            ("", "unknown"),
        ] {
            let found = match restores(runtime) {
                Can::Yes => "yes",
                Can::With(_) => "with",
                Can::No(_) => "no",
                Can::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{runtime}");
        }
        assert!(matches!(checkpoints("containerd://1.7.27"), Can::No(_)));
        assert_eq!(checkpoints("containerd://2.0.5"), Can::Yes);
    }
}
