//! Container logs as `kubectl logs` wants them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::sync::watch;

use crate::node::pod::ContainerState;
use crate::node::runtime::{Container, Exit, parse_log_line};

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LogQuery {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
    since_time: Option<String>,
    since_seconds: Option<i64>,
}

/// The log of a container as a body, which goes on while the container runs if that is asked
/// for. The error is a message for the caller.
pub(super) fn follow(state: &ContainerState, query: &LogQuery) -> Result<Body, String> {
    let container = state.container.clone();
    let (path, container) = if query.previous {
        let path = state.previous_log.clone();
        (path.ok_or("previous terminated container not found")?, None)
    } else {
        let container = container.ok_or("container is waiting to start")?;
        (container.log.path().to_owned(), Some(container))
    };
    let mut reader = Reader::open(path).map_err(|error| error.to_string())?;
    let mut first = reader.lines(query);
    if let Some(tail) = query.tail_lines {
        first.drain(..first.len().saturating_sub(tail));
    }
    let mut first = first.concat();
    if let Some(limit) = query.limit_bytes {
        first.truncate(limit);
    }
    match container.filter(|_| query.follow) {
        Some(container) => Ok(Body::from_stream(rest(
            first,
            reader,
            container,
            query.clone(),
        ))),
        None => Ok(Body::from(first)),
    }
}

/// Reads what there is of a log, line by line.
struct Reader {
    file: File,
    /// Bytes of complete lines that were read.
    at: u64,
}

impl Reader {
    fn open(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            at: 0,
        })
    }

    /// The output of all lines that are complete since the last call.
    fn lines(&mut self, query: &LogQuery) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(self.at))
            .and_then(|_| self.file.read_to_end(&mut bytes));
        if read.is_err() {
            return Vec::new();
        }
        let complete = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.at += complete as u64;
        bytes[..complete]
            .split_inclusive(|byte| *byte == b'\n')
            .filter_map(|line| show(line, query))
            .collect()
    }
}

fn show(line: &[u8], query: &LogQuery) -> Option<Vec<u8>> {
    let entry = parse_log_line(line)?;
    if let Some(since) = since(query) {
        let time: jiff::Timestamp = entry.time.parse().ok()?;
        if time < since {
            return None;
        }
    }
    let mut shown = Vec::new();
    if query.timestamps {
        shown.extend_from_slice(entry.time.as_bytes());
        shown.push(b' ');
    }
    shown.extend_from_slice(entry.text);
    if entry.complete {
        shown.push(b'\n');
    }
    Some(shown)
}

fn since(query: &LogQuery) -> Option<jiff::Timestamp> {
    let span = |seconds| jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    match (&query.since_time, query.since_seconds) {
        (Some(time), _) => time.parse().ok(),
        (None, Some(seconds)) => Some(span(seconds)),
        (None, None) => None,
    }
}

/// What is there, then what comes, until the container has ended.
fn rest(
    first: Vec<u8>,
    reader: Reader,
    container: Arc<Container>,
    query: LogQuery,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    // Since which time counts only for what is there.
    let query = LogQuery {
        since_time: None,
        since_seconds: None,
        ..query
    };
    let state = Following {
        first: Some(first),
        growth: container.log.watch(),
        exit: container.exit(),
        reader,
        query,
        _container: container,
    };
    stream::unfold(state, |mut state| async {
        let bytes = state.next().await?;
        Some((Ok(Bytes::from(bytes)), state))
    })
}

struct Following {
    first: Option<Vec<u8>>,
    reader: Reader,
    growth: watch::Receiver<u64>,
    exit: Option<watch::Receiver<Option<Exit>>>,
    query: LogQuery,
    /// Keeps the log's channel open.
    _container: Arc<Container>,
}

impl Following {
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            // Looked at before the log, which is complete when it has ended.
            let ended = self
                .exit
                .as_ref()
                .is_none_or(|exit| exit.borrow().is_some());
            self.growth.borrow_and_update();
            let lines = self.reader.lines(&self.query).concat();
            if !lines.is_empty() {
                return Some(lines);
            }
            let exit = self.exit.as_mut().filter(|_| !ended)?;
            tokio::select! {
                changed = self.growth.changed() => changed.ok()?,
                // Either way the log is looked at once more.
                _ = exit.wait_for(Option::is_some) => {}
            }
        }
    }
}
