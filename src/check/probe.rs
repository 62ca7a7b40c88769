//! What only a node's own files tell: CRIU, its options, the runtime's switches, the room for
//! archives. Each in the light of the runtime that the API names.

use ms2m_transfer::node::{ARCHIVES, CriuOptions, NodeReport};

use super::{Check, Group, Outcome};
use crate::cluster::Probed;
use crate::explain;
use crate::migration::plan;
use crate::migration::ports::NodeView;

mod room;
mod switches;

pub use room::Memory;

/// Both runtimes refuse an older CRIU (`PodCriuVersion` of checkpointctl's library, which they use).
const OLDEST: (u64, u64) = (3, 16);

/// crun tells CRIU of its options file since this version (crun's documentation).
const OLDEST_FOR_CRUN: (u64, u64) = (4, 2);

/// The group of one node that was probed. `memory`: what a checkpoint taken there would hold.
#[must_use]
pub fn probe(node: &NodeView, probed: &Probed, memory: Memory) -> Group {
    let name = &node.name;
    let title = format!("Probe of node {name}");
    const LOOKED: &str = "a pod can look at its files";
    let report = match probed {
        Probed::Seen(report) => report,
        Probed::NotAdmitted { words, remedies } => {
            let mut check = Check::fail(LOOKED, &explain::NAMESPACE_ADMISSION, words.clone())
                .because(
                    "it mounts /etc, /usr and the checkpoint directory of the node, read-only",
                );
            check.remedies.clone_from(remedies);
            let check = check.hint("or name a namespace that admits it: --namespace");
            return Group::new(title, vec![check]);
        }
        Probed::Unseen(why) => return Group::new(title, vec![Check::skipped(LOOKED, why.clone())]),
    };
    let low = low_level(node, report);
    let mut checks = vec![installed(name, report), version(report, low)];
    if low == Some(CRUN) {
        checks.push(library(report));
    }
    checks.extend([
        connections(name, report, low),
        arriving(name, report, low),
        switches::switches(node, report),
        room::room(report, memory),
    ]);
    Group::new(title, checks)
}

/// Whether two nodes that were probed run containers by the same low-level runtime.
#[must_use]
pub fn same_low_level(one: (&NodeView, &Probed), other: (&NodeView, &Probed)) -> Option<Check> {
    const NAME: &str = "both nodes run containers by the same low-level runtime";
    let (Probed::Seen(a), Probed::Seen(b)) = (one.1, other.1) else {
        return None;
    };
    let (a, b) = (low_level(one.0, a), low_level(other.0, b));
    Some(match (a, b) {
        (Some(a), Some(b)) if a == b => Check::pass(format!("{NAME} ({a})")),
        (Some(a), Some(b)) => Check::fail(
            NAME,
            &explain::LOW_LEVEL_MISMATCH,
            format!("{a} on node {}, {b} on node {}", one.0.name, other.0.name),
        )
        .because("a checkpoint taken under one of runc and crun is not restored by the other")
        .hint("choose a node with the same one, or set the same default runtime on both nodes"),
        _ => Check::skipped(NAME, "their configuration does not tell"),
    })
}

const RUNC: &str = "runc";
const CRUN: &str = "crun";

/// The low-level runtime of pods without a runtime class, where it is known.
fn low_level<'a>(node: &NodeView, report: &'a NodeReport) -> Option<&'a str> {
    match plan::runtime_name(&node.runtime) {
        "cri-o" => {
            let told = report.crio.as_ref().and_then(|it| it.low_level.as_deref());
            // The default has changed (facts.md, The restore).
            told.or_else(|| {
                let (major, minor, _) = plan::runtime_version(&node.runtime)?;
                Some(if (major, minor) >= (1, 31) {
                    CRUN
                } else {
                    RUNC
                })
            })
        }
        "containerd" => report.containerd.as_ref()?.low_level.as_deref(),
        _ => None,
    }
}

fn installed(node: &str, report: &NodeReport) -> Check {
    match &report.criu {
        Some(criu) => Check::pass(format!("CRIU is installed ({})", criu.path)),
        None => Check::fail(
            "CRIU is installed",
            &explain::CRIU_MISSING,
            "there is none in /usr/sbin, /usr/bin, /usr/local/sbin or /usr/local/bin",
        )
        .hint(format!(
            "on node {node}: apt-get install criu, or dnf install criu; then restart its runtime"
        )),
    }
}

fn version(report: &NodeReport, low: Option<&str>) -> Check {
    const NAME: &str = "CRIU's version will do";
    let Some(criu) = &report.criu else {
        return Check::skipped(NAME, "CRIU is not installed");
    };
    let Some(text) = &criu.version else {
        return Check::skipped(
            NAME,
            "the program does not tell it; look yourself: criu --version",
        );
    };
    let name = format!("{NAME} ({text})");
    match numbers(text) {
        Some(found) if found < OLDEST => Check::fail(
            name,
            &explain::CRIU_MISSING,
            "CRI-O and containerd ask for CRIU 3.16 or later",
        )
        .hint("install a later one: https://criu.org/Packages"),
        Some(found) if low == Some(CRUN) && found < OLDEST_FOR_CRUN => Check::warn(
            name,
            "crun passes the options in /etc/criu on to CRIU 4.2 and later only, so open connections may fail the checkpoint",
        )
        .hint("install a later one: https://criu.org/Packages"),
        Some(_) => Check::pass(name),
        None => Check::skipped(name, "that is no version"),
    }
}

fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn library(report: &NodeReport) -> Check {
    const NAME: &str = "CRIU's library is there for crun (libcriu.so.2)";
    if report.libcriu {
        return Check::pass(NAME);
    }
    Check::warn(
        NAME,
        "crun takes checkpoints by it, unless it is built with CRIU inside",
    )
    .hint("see whether `crun --version` lists +CRIU, and install libcriu2 (criu-libs elsewhere)")
}

/// An option, and what CRIU does without it.
struct Wanted {
    name: &'static str,
    option: &'static str,
    is_set: fn(CriuOptions) -> bool,
    without: &'static str,
    code: explain::Code,
    outcome: Outcome,
}

fn connections(node: &str, report: &NodeReport, low: Option<&str>) -> Check {
    let wanted = Wanted {
        name: "CRIU lets open connections go",
        option: "tcp-close",
        is_set: |it| it.tcp_close,
        without: "a process with an open connection cannot be dumped, and whoever talks to a broker has one",
        code: &explain::OPEN_CONNECTION,
        outcome: Outcome::Fail,
    };
    option(node, report, low, &wanted)
}

fn arriving(node: &str, report: &NodeReport, low: Option<&str>) -> Check {
    let wanted = Wanted {
        name: "CRIU lets arriving connections go",
        option: "skip-in-flight",
        is_set: |it| it.skip_in_flight,
        without: "a connection that is just arriving, as of a readiness probe, fails the checkpoint",
        code: &explain::IN_FLIGHT_CONNECTION,
        outcome: Outcome::Warn,
    };
    option(node, report, low, &wanted)
}

/// Whether the file that counts has an option.
fn option(node: &str, report: &NodeReport, low: Option<&str>, wanted: &Wanted) -> Check {
    let files = &report.options;
    let has = |it: Option<CriuOptions>| it.is_some_and(wanted.is_set);
    // crun goes to runc's file where it has none of its own (crun's documentation).
    let (file, counts) = match low {
        Some(CRUN) if files.crun.is_none() && files.runc.is_some() => ("runc.conf", files.runc),
        Some(CRUN) => ("crun.conf", files.crun),
        Some(RUNC) => ("runc.conf", files.runc),
        // Both, where nobody knows which one it is.
        _ => {
            let both = files.runc.filter(|_| has(files.runc) && has(files.crun));
            ("runc.conf and crun.conf", both)
        }
    };
    let name = format!("{} ({} in /etc/criu/{file})", wanted.name, wanted.option);
    if has(counts) {
        return Check::pass(name);
    }
    let unread = report.unread.iter().find(|it| it.starts_with("/etc/criu"));
    if let Some(unread) = unread {
        return Check::skipped(name, format!("not everybody may read it: {unread}"));
    }
    let known = matches!(low, Some(RUNC | CRUN));
    let found = match (known, has(files.default)) {
        (_, true) => Check::warn(
            name,
            "only /etc/criu/default.conf has it, which the low-level runtime's own settings may overrule",
        ),
        (false, _) => Check::warn(name, wanted.without),
        (true, false) => Check {
            code: Some(wanted.code),
            ..Check::new(wanted.outcome, name).because(wanted.without)
        },
    };
    let file = if known { file } else { "runc.conf" };
    found.hint(format!(
        "on node {node}: mkdir -p /etc/criu && echo {} >> /etc/criu/{file}",
        wanted.option
    ))
}

#[cfg(test)]
mod tests;
