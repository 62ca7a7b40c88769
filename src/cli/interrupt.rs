//! Ctrl-C and its relatives: the first asks the engine to roll back, the second ends the process.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exit;
use super::report::Progress;

/// The signals that ask a process to end: Ctrl-C, `kill`, and a terminal that was closed.
const KINDS: [fn() -> SignalKind; 3] = [
    SignalKind::interrupt,
    SignalKind::terminate,
    SignalKind::hangup,
];

/// Listens in the background until the answer is aborted. The first signal cancels `stop` and
/// says what that means; the second ends the process and says how to go on.
///
/// # Errors
/// The signals cannot be listened to.
pub fn listen(
    stop: CancellationToken,
    progress: Arc<Progress>,
    pod: String,
) -> io::Result<JoinHandle<()>> {
    let mut signals = KINDS
        .iter()
        .map(|kind| signal(kind()))
        .collect::<io::Result<Vec<Signal>>>()?;
    Ok(tokio::spawn(async move {
        next(&mut signals).await;
        progress.note(if progress.is_committed() {
            "interrupted: past the commit point there is only forward, so it is being finished \
             (again to stop at once)"
        } else {
            "interrupted: rolling back, the source goes on serving (again to stop at once)"
        });
        stop.cancel();
        next(&mut signals).await;
        progress.note(format!(
            "stopped at once: something is left half done; to finish it: ms2m migrate {pod}"
        ));
        progress.end();
        std::process::exit(exit::INTERRUPTED.into());
    }))
}

/// Waits for the next of the signals.
async fn next(signals: &mut [Signal]) {
    let waits = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(waits).await;
}
