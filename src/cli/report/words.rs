//! The words that all views share.

use ms2m_transfer::event::Progress as Transferred;

use crate::api::Strategy;
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
    let mut text = format!(
        "{share} of {} read, {} sent",
        format::bytes(progress.archive_bytes),
        format::bytes(progress.sent_bytes)
    );
    if let Some(rate) = progress.bytes_per_second {
        text.push_str(&format!(", {}/s", format::bytes(rate)));
    }
    if let Some(left) = progress.eta_seconds {
        text.push_str(&format!(", {left:.0} s left"));
    }
    text
}

/// How far the replay has come.
pub(super) fn replay(depth: u64, peak: u64, rate: Option<f64>) -> String {
    let rate = rate
        .map(|rate| format!(", {rate:.0}/s"))
        .unwrap_or_default();
    format!("{depth} waiting (peak {peak}){rate}")
}

/// Length of the longest name of a phase, so that columns line up.
pub(super) const PHASE_COLUMNS: usize = "Checkpointing".len();
