//! The room for an archive.

use ms2m_transfer::node::NodeReport;

use super::ARCHIVES;
use crate::check::Check;
use crate::explain;

/// The kubelet begins to evict pods when less than a tenth of its file system is free, unless it is
/// configured otherwise (`nodefs.available`, Kubernetes 1.36).
const EVICTS_BELOW: u64 = 10;

/// What a checkpoint would hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// None is taken on this node, or nobody knows of which pod.
    None,
    /// So many bytes are in use.
    Bytes(u64),
    /// The kubelet does not tell.
    Untold,
}

pub(super) fn room(report: &NodeReport, memory: Memory) -> Check {
    let name = format!("there is room for a checkpoint in {ARCHIVES}");
    let Some(space) = report.space else {
        return Check::skipped(name, "its file system does not tell");
    };
    let free = space.free_bytes;
    let needed = match memory {
        Memory::Bytes(bytes) => bytes,
        Memory::None | Memory::Untold => 0,
    };
    let words = match memory {
        Memory::Bytes(bytes) => format!(
            "{} free, and the container has {} of memory in use",
            shown(free),
            shown(bytes)
        ),
        Memory::Untold => format!(
            "{} free; nobody tells how much memory is in use",
            shown(free)
        ),
        Memory::None => format!("{} free", shown(free)),
    };
    const CLEAR: &str = "see what lies there, archives of earlier checkpoints among it: du -sh";
    if free <= needed {
        return Check::fail(name, &explain::DISK_FULL, words).hint(format!("{CLEAR} {ARCHIVES}"));
    }
    if (free - needed) < space.total_bytes / EVICTS_BELOW {
        return Check::warn(name, words)
            .because(
                "with less than a tenth of the file system free a kubelet begins to evict pods",
            )
            .hint(format!("{CLEAR} {ARCHIVES}"));
    }
    match memory {
        Memory::Untold => Check::skipped(name, words),
        _ => Check::pass(format!("{name} ({words})")),
    }
}

/// Bytes for people.
fn shown(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    match unit {
        Some((unit, shift)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} B"),
    }
}
