//! How long a migration will probably take, from what was seen of the pod, its queue and earlier
//! migrations. Pure. An estimate promises nothing: each step says what it rests on.
//!
//! The constants were measured on Kubernetes 1.36 with CRI-O 1.36 and containerd 2.1 on one machine
//! (facts.md); where an earlier migration has left a receipt, that counts instead.

mod load;

use std::collections::BTreeMap;

use serde::Serialize;

use super::limits::Limits;
use super::plan::Plan;
use super::summary::seconds_text;
use crate::api::{Compression, Strategy};

pub use load::{Earlier, Load, Rates};

/// A step, and how long it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub name: &'static str,
    /// Seconds; none where nothing is known to reckon from.
    pub seconds: Option<f64>,
    /// What that rests on.
    pub reason: String,
}

/// How long a migration will probably take.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// All of them; none where one of them is not known.
    pub total_seconds: Option<f64>,
    /// Seconds in which messages wait and nobody takes any.
    pub downtime_seconds: Option<f64>,
    /// What that rests on.
    pub downtime_reason: String,
}

impl Estimate {
    /// The figures that can be laid beside what it came to, as a status has them: seconds of the
    /// checkpoint, the transfer and so on, `total` and `downtime`, each where it is known. None where
    /// too little is known to say anything of the downtime.
    #[must_use]
    pub fn figures(&self) -> BTreeMap<String, String> {
        if self.downtime_seconds.is_none() {
            return BTreeMap::new();
        }
        let steps = self.steps.iter().map(|step| (step.name, step.seconds));
        steps
            .chain([
                ("total", self.total_seconds),
                ("downtime", self.downtime_seconds),
            ])
            .filter(|(name, _)| COMPARED.contains(name))
            .filter_map(|(name, seconds)| Some((name.to_owned(), seconds_text(seconds?))))
            .collect()
    }
}

/// What is measured, too, in the order in which it is shown.
pub const COMPARED: [&str; 6] = [
    "checkpoint",
    "transfer",
    "restore",
    "reconnect",
    "downtime",
    "total",
];

const MIB: f64 = 1_048_576.0;

/// Seconds of a checkpoint call for a small process, and for each MiB of its memory.
const CHECKPOINT: (f64, f64) = (0.33, 0.000_86);

/// The same of a restore, the pull of the image included.
const RESTORE: (f64, f64) = (0.4, 0.010);

/// MiB a second of a link of 1 Gbit/s.
const LINK: f64 = 117.0;

/// Seconds that a transfer takes besides its bytes.
const TRANSFER: f64 = 0.1;

/// Seconds until an application that has lost its connection consumes again.
const RECONNECT: f64 = 3.0;

/// Seconds of what ms2m, Kubernetes and the broker do besides.
const BESIDES: f64 = 1.0;

/// Reckons.
#[must_use]
pub fn estimate(plan: &Plan, load: &Load, limits: &Limits) -> Estimate {
    let archive = archive(load);
    let drain = drain(load);
    let checkpoint = checkpoint(load, archive);
    let transfer = transfer(plan, load, archive);
    let restore = restore(load, archive);
    let reconnect = reconnect(load);
    let apart = [&transfer, &restore, &reconnect]
        .into_iter()
        .map(|step| step.seconds)
        .sum::<Option<f64>>();
    let replay = replay(load, apart, limits);
    let (downtime_seconds, downtime_reason) =
        downtime(plan, [&checkpoint, &restore, &reconnect], limits);
    let besides = Step {
        name: "everything else",
        seconds: Some(BESIDES),
        reason: "what ms2m, Kubernetes and the broker take for it".to_owned(),
    };
    let steps = vec![
        drain, checkpoint, transfer, restore, reconnect, replay, besides,
    ];
    Estimate {
        total_seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        downtime_seconds,
        downtime_reason,
    }
}

/// MiB of the archive: as the last time, or as much as the memory.
fn archive(load: &Load) -> Option<f64> {
    let again = load.earlier.as_ref().filter(|earlier| earlier.same_pod);
    let memory = || load.memory.map(|bytes| count(bytes) / MIB);
    again.map(|earlier| earlier.archive / MIB).or_else(memory)
}

fn drain(load: &Load) -> Step {
    let (seconds, reason) = match (load.waiting, load.rates) {
        (0, _) => (Some(0.0), "no message waits in the queue".to_owned()),
        (waiting, Some(rates)) if rates.processing > 0.0 => (
            Some(count(waiting) / rates.processing),
            format!(
                "{waiting} messages wait, and {:.0} a second are acknowledged",
                rates.processing
            ),
        ),
        (waiting, _) => (
            None,
            format!(
                "{waiting} messages wait, and the broker does not tell how fast they are acknowledged"
            ),
        ),
    };
    Step {
        name: "empty the queue",
        seconds,
        reason,
    }
}

fn checkpoint(load: &Load, archive: Option<f64>) -> Step {
    let (seconds, reason) = by_size(archive, load, CHECKPOINT, |earlier| earlier.checkpoint);
    Step {
        name: "checkpoint",
        seconds,
        reason,
    }
}

fn restore(load: &Load, archive: Option<f64>) -> Step {
    let (seconds, reason) = by_size(archive, load, RESTORE, |earlier| earlier.restore);
    Step {
        name: "restore",
        seconds,
        reason,
    }
}

/// Seconds for so many MiB: as an earlier migration took for its own, or by what was measured.
fn by_size(
    archive: Option<f64>,
    load: &Load,
    (fixed, each): (f64, f64),
    of: impl Fn(&Earlier) -> f64,
) -> (Option<f64>, String) {
    let Some(size) = archive else {
        return (None, NO_SIZE.to_owned());
    };
    match &load.earlier {
        Some(earlier) => (
            Some(by_earlier(of(earlier), earlier, size, fixed)),
            format!("{size:.0} MiB, as in migration {}", earlier.name),
        ),
        None => (
            Some(fixed + size * each),
            format!("{size:.0} MiB; {fixed} s, and {each} s for each MiB, were measured on CRI-O"),
        ),
    }
}

const NO_SIZE: &str = "how much memory the container has in use is not known";

/// The part of `seconds` that grows with the size, for another size.
fn by_earlier(seconds: f64, earlier: &Earlier, size: f64, fixed: f64) -> f64 {
    let fixed = fixed.min(seconds);
    fixed + (seconds - fixed) * size * MIB / earlier.archive
}

fn transfer(plan: &Plan, load: &Load, archive: Option<f64>) -> Step {
    let (seconds, reason) = match (archive, &load.earlier) {
        (None, _) => (None, NO_SIZE.to_owned()),
        (Some(size), Some(earlier)) => (
            Some(by_earlier(earlier.transfer, earlier, size, TRANSFER)),
            format!("{size:.0} MiB, as in migration {}", earlier.name),
        ),
        (Some(size), None) => {
            let (share, speed) = compressed(&plan.compression);
            let seconds = (size * share / LINK).max(size / speed);
            let words = format!(
                "{size:.0} MiB, {:.0} % of it to send; the link is taken for 1 Gbit/s",
                share * 100.0
            );
            (Some(TRANSFER + seconds), words)
        }
    };
    Step {
        name: "transfer",
        seconds,
        reason,
    }
}

/// The share of an archive that is left of it, and MiB a second (512 MiB of process memory, two cores).
fn compressed(compression: &Compression) -> (f64, f64) {
    match compression {
        Compression::Zstd | Compression::Auto => (0.47, 1_000.0),
        Compression::Gzip => (0.45, 230.0),
        Compression::None => (1.0, 1_700.0),
    }
}

fn reconnect(load: &Load) -> Step {
    let again = load
        .earlier
        .as_ref()
        .filter(|it| it.same_pod && it.reconnect > 0.0);
    let (seconds, reason) = match again {
        Some(earlier) => (
            earlier.reconnect,
            format!("as in migration {}", earlier.name),
        ),
        None => (
            RECONNECT,
            "the application's own wait before it reconnects, taken for 3 s".to_owned(),
        ),
    };
    Step {
        name: "reconnect",
        seconds: Some(seconds),
        reason,
    }
}

/// Until the rest of what came meanwhile takes no longer than the pause that is allowed, or the cutoff.
fn replay(load: &Load, apart: Option<f64>, limits: &Limits) -> Step {
    let cutoff = limits.replay_cutoff.as_secs_f64();
    let (seconds, reason) = match (apart, load.rates) {
        (None, _) => (
            None,
            "how long messages wait before is not known".to_owned(),
        ),
        (_, None) => (
            None,
            "the broker does not tell how many messages come in a second".to_owned(),
        ),
        (Some(_), Some(rates)) if rates.arrival <= 0.0 => {
            (Some(0.0), "no messages come in".to_owned())
        }
        (Some(apart), Some(rates)) => {
            let waiting = rates.arrival * apart;
            // An application that keeps up has not shown how fast it can be.
            let speed = rates.processing.max(rates.arrival) * SPARE;
            let seconds = (waiting / (speed - rates.arrival)).min(cutoff);
            let words = format!(
                "{:.0} messages a second come in, so about {waiting:.0} wait by then; the application is taken to \
                 manage {speed:.0} a second, and the cutoff is {cutoff:.0} s",
                rates.arrival
            );
            (Some(seconds), words)
        }
    };
    Step {
        name: "replay",
        seconds,
        reason,
    }
}

/// How much faster than it is seen to work an application is taken to be.
const SPARE: f64 = 2.0;

fn downtime(
    plan: &Plan,
    [checkpoint, restore, reconnect]: [&Step; 3],
    limits: &Limits,
) -> (Option<f64>, String) {
    let pause = limits.max_pause.as_secs_f64();
    match plan.strategy {
        Strategy::ShadowPod => (
            checkpoint.seconds.map(|seconds| seconds + pause),
            format!("the checkpoint, and at most {pause} s around the change-over (--max-pause)"),
        ),
        Strategy::Sequential => (
            [checkpoint.seconds, restore.seconds, reconnect.seconds]
                .into_iter()
                .sum::<Option<f64>>()
                .map(|seconds| seconds + pause),
            format!(
                "the checkpoint, the restore and the application's reconnection, since the source goes first, and at \
                 most {pause} s around the change-over (--max-pause)"
            ),
        ),
    }
}

/// A count as a number to reckon with.
#[allow(clippy::cast_precision_loss)]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
