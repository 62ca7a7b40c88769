//! Reads the transfer's progress from its container's log. Never decides how a transfer ended:
//! logs can be cut, rotated or unreadable, so only the container's status does.

use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use ms2m_transfer::Event;
use ms2m_transfer::event::Progress;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::retry::with_jitter;
use super::job::CONTAINER;

/// The pause before a log that was cut is read again.
const AGAIN: Duration = Duration::from_millis(500);

/// Longer than any line of the transfer; whoever else writes into the log is cut off.
const LONGEST_LINE: usize = 64 * 1024;

/// What a transfer says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Told {
    /// It waits for the next archive.
    Waiting,
    /// It has an archive, and is so far.
    Progress(Progress),
}

impl Told {
    fn of(event: Event) -> Option<Self> {
        match event {
            Event::Waiting(_) => Some(Self::Waiting),
            Event::Started(started) => Some(Self::Progress(Progress {
                archive_bytes: started.archive_bytes,
                read_bytes: 0,
                sent_bytes: 0,
                seconds: 0.0,
                ratio: None,
                bytes_per_second: None,
                eta_seconds: None,
            })),
            Event::Progress(progress) => Some(Self::Progress(progress)),
            _ => None,
        }
    }
}

/// Tells progress until it is dropped or aborted.
pub(super) async fn read(pods: Api<Pod>, pod: String, tell: mpsc::Sender<Told>) {
    let mut params = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: true,
        ..LogParams::default()
    };
    loop {
        if let Ok(log) = pods.log_stream(&pod, &params).await {
            let lines = log.lines();
            pin_mut!(lines);
            while let Some(Ok(line)) = lines.next().await {
                if line.len() > LONGEST_LINE {
                    continue;
                }
                let Some(told) = Event::parse(&line).and_then(Told::of) else {
                    continue;
                };
                if tell.send(told).await.is_err() {
                    return;
                }
            }
        }
        // What was told already need not be told again.
        params.tail_lines = Some(1);
        sleep(with_jitter(AGAIN)).await;
    }
}
