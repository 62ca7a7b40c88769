//! What an estimate rests on.

use super::count;
use crate::api::{Phase, Receipt};
use crate::migration::record::Record;
use crate::migration::summary::seconds_value;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// Bytes of memory that the container has in use.
    pub memory: Option<u64>,
    /// Messages a second of the primary queue, where the broker tells.
    pub rates: Option<Rates>,
    /// Messages that wait in it.
    pub waiting: u64,
    /// What an earlier migration took.
    pub earlier: Option<Earlier>,
}

/// Messages a second, as the broker saw them in its last interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// That came into the queue.
    pub arrival: f64,
    /// That were acknowledged.
    pub processing: f64,
}

/// What an earlier migration took, in seconds and bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// Its name.
    pub name: String,
    /// Whether it moved this very application.
    pub same_pod: bool,
    /// Bytes of its archive.
    pub archive: f64,
    /// Of the checkpoint call.
    pub checkpoint: f64,
    /// Of the transfer.
    pub transfer: f64,
    /// Of the restore.
    pub restore: f64,
    /// Until the application consumed again.
    pub reconnect: f64,
}

impl Earlier {
    /// The latest migration that has left a receipt, one of the same application before any other.
    /// Records are oldest first.
    #[must_use]
    pub fn among(records: &[Record], pod: &str) -> Option<Self> {
        let of = |record: &Record| {
            let status = &record.status;
            let ended = status.phase == Some(Phase::Completed);
            let receipt = status.receipt.as_ref().filter(|_| ended)?;
            let same = record.spec.source_pod == pod || status.target_pod.as_deref() == Some(pod);
            Self::of(&record.name, same, receipt)
        };
        let mut all: Vec<Self> = records.iter().rev().filter_map(of).collect();
        all.sort_by_key(|earlier| !earlier.same_pod);
        all.into_iter().next()
    }

    /// From the receipt of the migration `name`; nothing if that says too little.
    #[must_use]
    pub fn of(name: &str, same_pod: bool, receipt: &Receipt) -> Option<Self> {
        let archive = whole(receipt.archive_bytes);
        let earlier = Self {
            name: name.to_owned(),
            same_pod,
            archive,
            checkpoint: seconds_value(&receipt.checkpoint_call),
            transfer: seconds_value(&receipt.transfer_run),
            restore: seconds_value(&receipt.restore_run),
            reconnect: seconds_value(&receipt.reconnect),
        };
        let told = [
            archive,
            earlier.checkpoint,
            earlier.transfer,
            earlier.restore,
        ];
        told.iter().all(|it| *it > 0.0).then_some(earlier)
    }
}

fn whole(number: i64) -> f64 {
    count(u64::try_from(number).unwrap_or(0))
}
