//! What ends a sandbox: signals, and the end of standard input where that is asked for.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT, SIGTERM, SIGHUP, or if `stdin` for the end of standard input.
pub(super) async fn end_asked(stdin: bool) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let closed = async {
        if !stdin {
            return std::future::pending().await;
        }
        let mut buffer = [0; 1024];
        let mut input = tokio::io::stdin();
        // What is written there has no meaning. An error is an end.
        while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        () = closed => {}
    }
    Ok(())
}
