//! Which persistent volumes the node's pods have mounted. The node says so in its status, and the
//! attach-detach controller leaves those alone.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

/// The volumes by their unique names, each with the uids of its pods.
#[derive(Debug, Default)]
pub(crate) struct VolumesInUse(watch::Sender<BTreeMap<String, BTreeSet<String>>>);

impl VolumesInUse {
    /// A pod is going to mount a volume. False if it is to be the only one and is not.
    pub(crate) fn take(&self, volume: &str, pod: &str, alone: bool) -> bool {
        let mut taken = true;
        self.0.send_if_modified(|volumes| {
            let pods = volumes.entry(volume.to_owned()).or_default();
            taken = !alone || pods.iter().all(|other| other == pod);
            taken && pods.insert(pod.to_owned())
        });
        taken
    }

    /// A pod has nothing mounted any more.
    pub(crate) fn release(&self, pod: &str) {
        self.0.send_if_modified(|volumes| {
            let mut changed = false;
            volumes.retain(|_, pods| {
                changed |= pods.remove(pod);
                !pods.is_empty()
            });
            changed
        });
    }

    /// The volumes that are in use.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }

    /// Tells of changes.
    pub(super) fn changes(&self) -> watch::Receiver<BTreeMap<String, BTreeSet<String>>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_in_use_until_its_last_pod_has_gone() {
        let volumes = VolumesInUse::default();
        assert!(volumes.take("v", "1", false));
        assert!(volumes.take("v", "2", false));
        assert!(!volumes.take("v", "3", true));
        volumes.release("1");
        assert_eq!(volumes.names(), ["v"]);
        volumes.release("2");
        assert!(volumes.names().is_empty());
        assert!(volumes.take("v", "3", true));
    }
}
