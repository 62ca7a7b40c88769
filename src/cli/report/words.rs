//! The words that all views share.

use ms2m_transfer::event::Progress as Transferred;

use crate::api::{Phase, Strategy};
use crate::cli::format;
use crate::migration::event::EventKind;

/// The headline of a migration, short enough for one line of a usual terminal.
pub(super) fn headline(started: &EventKind) -> String {
    let EventKind::Started {
        namespace,
        pod,
        container: _,
        from,
        to,
        target_pod,
        strategy,
        resumed,
        back,
    } = started
    else {
        return String::new();
    };
    let verb = match (*resumed, *back) {
        (false, _) => "moving",
        (true, false) => "going on to move",
        (true, true) => "rolling back the move of",
    };
    let how = match strategy {
        Strategy::ShadowPod => format!("ShadowPod {target_pod}"),
        Strategy::Sequential => "Sequential".to_owned(),
    };
    format!("{verb} {namespace}/{pod} from {from} to {to} ({how})")
}

/// How far the transfer has come.
pub(super) fn transfer(progress: &Transferred) -> String {
    // Exact enough for a percentage.
    #[allow(clippy::cast_precision_loss)]
    let share = format::percent(progress.read_bytes as f64, progress.archive_bytes as f64);
    let rate = progress.bytes_per_second;
    let rate = rate
        .map(|rate| format!(", {}/s", format::bytes(rate)))
        .unwrap_or_default();
    let left = progress.eta_seconds;
    let left = left
        .map(|seconds| format!(", {seconds:.0} s left"))
        .unwrap_or_default();
    format!(
        "{share} of {} read, {} sent{rate}{left}",
        format::bytes(progress.archive_bytes),
        format::bytes(progress.sent_bytes)
    )
}

/// How far the replay has come.
pub(super) fn replay(depth: u64, peak: u64, rate: Option<f64>) -> String {
    let rate = rate
        .map(|rate| format!(", {rate:.0}/s"))
        .unwrap_or_default();
    format!("{depth} waiting (peak {peak}){rate}")
}

/// Phases that are gone through; the others say how it has ended.
const PHASES: usize = Phase::Finalizing as usize + 1;

/// A phase with its number, as a counter shows it.
pub(super) fn counted(phase: Phase) -> String {
    format!("[{}/{PHASES}] {}", phase as usize + 1, phase.name())
}

/// Length of the longest name of a phase, so that columns line up.
pub(super) const PHASE_COLUMNS: usize = "Checkpointing".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_tells_its_pace_once_it_is_known() {
        let mut progress = Transferred {
            archive_bytes: 200 << 20,
            read_bytes: 50 << 20,
            sent_bytes: 20 << 20,
            seconds: 0.5,
            ratio: Some(0.4),
            bytes_per_second: None,
            eta_seconds: None,
        };
        let begun = "25% of 200.00 MiB read, 20.00 MiB sent";
        assert_eq!(transfer(&progress), begun);
        progress.bytes_per_second = Some(50 << 20);
        progress.eta_seconds = Some(3.2);
        let known = format!("{begun}, 50.00 MiB/s, 3 s left");
        assert_eq!(transfer(&progress), known);
    }
}
