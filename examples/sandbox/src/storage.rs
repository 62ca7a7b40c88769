//! Where the data of persistent volumes lies, and the names of the two kinds of storage that a
//! sandbox has. Not here: which claim gets which volume, and who may mount it when.

use std::path::{Component, Path, PathBuf};

/// The default class: network storage, which any node can mount.
pub const STANDARD: &str = "standard";
/// The class of volumes that lie on one node's disk.
pub const LOCAL: &str = "local";
/// Provisioner of [`STANDARD`], and the CSI driver of its volumes.
pub const NETWORK_DRIVER: &str = "network.sandbox.ms2m.dev";
/// Provisioner of [`LOCAL`].
pub const LOCAL_DRIVER: &str = "local.sandbox.ms2m.dev";
/// Where local volumes lie on their node.
pub const LOCAL_DIRECTORY: &str = "/var/lib/local-volumes";

/// All disks of the sandbox: the one behind the network and those of the nodes.
#[derive(Clone, Debug)]
pub struct Storage {
    root: PathBuf,
}

impl Storage {
    /// The storage of the sandbox in that directory.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The data of a network volume. Nothing for a handle that leads elsewhere.
    pub fn network(&self, handle: &str) -> Option<PathBuf> {
        let mut parts = Path::new(handle).components();
        let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else {
            return None;
        };
        Some(self.root.join("volumes").join(name))
    }

    /// A node's own file system.
    pub fn node(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(node)
    }

    /// A path of a node as a path of this machine. Nothing for one that leads out of the node.
    pub fn on_node(&self, node: &str, path: &str) -> Option<PathBuf> {
        let relative = path.trim_start_matches('/');
        let inside = Path::new(relative)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| self.node(node).join(relative))
    }
}

/// The name by which nodes and controllers know a volume of a CSI driver.
pub fn unique_name(driver: &str, handle: &str) -> String {
    format!("kubernetes.io/csi/{driver}^{handle}")
}

/// The name of the object that says whether such a volume is attached to a node.
pub fn attachment_name(driver: &str, handle: &str, node: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("{handle}{driver}{node}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("csi-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_stay_in_the_sandbox() {
        let storage = Storage::new(Path::new("/s"));
        assert_eq!(storage.network("v"), Some(PathBuf::from("/s/volumes/v")));
        assert_eq!(
            storage.on_node("n", "/var/x"),
            Some(PathBuf::from("/s/nodes/n/var/x"))
        );
        for handle in ["", "..", "a/b", "/a"] {
            assert_eq!(storage.network(handle), None, "{handle:?}");
        }
        assert_eq!(storage.on_node("n", "/../x"), None);
    }
}
