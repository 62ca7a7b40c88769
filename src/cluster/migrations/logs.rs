//! The logs of those who work on a migration: the transfer's pods and the controller's.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::naming::{labels, role};
use super::super::pages;
use super::follow::{Changes, trouble};
use super::{CONTROLLER_LABEL, Migrations};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;
use crate::migration::record::Record;

/// The pause before a log whose stream broke is followed again.
const BROKEN_PAUSE: Duration = Duration::from_millis(500);

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The transfer Job's.
    Transfer,
    /// The controller's, with lines about other migrations, too.
    Controller,
}

/// Pods that write logs.
#[derive(Debug, Clone)]
pub struct Writers {
    /// Whose they are.
    pub source: Source,
    /// Their namespace.
    pub namespace: String,
    selector: String,
    since: Timestamp,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose it is.
    pub source: Source,
    /// The pod that wrote it.
    pub pod: String,
    /// What it wrote.
    pub text: String,
}

/// What comes of following logs.
#[derive(Debug)]
pub enum Written {
    /// A line.
    Line(Line),
    /// The pods of this source, or their logs, cannot be read, for this reason.
    Trouble(Source, String),
}

impl Writers {
    /// The pods of a migration's transfer.
    #[must_use]
    pub fn transfer(record: &Record) -> Self {
        let labels = labels(&record.name, role::TRANSFER);
        let labels: Vec<String> = labels
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Self {
            source: Source::Transfer,
            namespace: record.namespace.clone(),
            selector: labels.join(","),
            since: record.created,
        }
    }

    /// The controller's pods, which wrote since the migration was made.
    #[must_use]
    pub fn controller(record: &Record, namespace: &str) -> Self {
        Self {
            source: Source::Controller,
            namespace: namespace.to_owned(),
            selector: CONTROLLER_LABEL.to_owned(),
            since: record.created,
        }
    }

    fn pods(&self, client: &Client) -> Api<Pod> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    fn params(&self) -> LogParams {
        LogParams {
            // A pod of somebody's may have sidecars; ours is the first one.
            timestamps: true,
            since_time: Some(self.since),
            ..LogParams::default()
        }
    }

    fn line(&self, pod: &str, text: &str) -> Line {
        Line {
            source: self.source,
            pod: pod.to_owned(),
            text: text.to_owned(),
        }
    }
}

impl Migrations {
    /// The names of the pods that there are, and all lines of theirs so far.
    ///
    /// # Errors
    /// The pods cannot be listed, or the log of one cannot be read.
    pub async fn read_logs(&self, writers: &Writers) -> PortResult<(usize, Vec<Line>)> {
        let api = writers.pods(&self.client);
        let params = ListParams::default().labels(&writers.selector);
        let mut pods =
            pages::all(&self.retry, &api, params, "list the pods that write logs").await?;
        pods.sort_by_key(Pod::creation_timestamp);
        let mut lines = Vec::new();
        for pod in pods.iter().filter(|pod| has_begun(pod)) {
            let name = pod.name_any();
            let params = LogParams {
                container: container(pod),
                ..writers.params()
            };
            let what = format!("read the log of pod {name}");
            let text = self.retry.run(&what, || api.logs(&name, &params)).await?;
            lines.extend(
                text.lines()
                    .map(|line| writers.line(&name, stamped(line).1)),
            );
        }
        Ok((pods.len(), lines))
    }

    /// All lines, those so far and those to come, of pods that are there and that come.
    #[must_use]
    pub fn follow_logs(&self, writers: Vec<Writers>) -> Changes<Written> {
        let (tell, receiver) = mpsc::channel(64);
        let tasks = writers
            .into_iter()
            .map(|writers| tokio::spawn(follow(writers, self.client.clone(), tell.clone())))
            .collect();
        Changes::new(receiver, tasks)
    }
}

async fn follow(writers: Writers, client: Client, tell: mpsc::Sender<Written>) {
    let api = writers.pods(&client);
    let config = watcher::Config::default().labels(&writers.selector);
    let mut events = watcher(api.clone(), config).default_backoff().boxed();
    let mut followed = BTreeSet::new();
    // They end with this task.
    let mut readers = JoinSet::new();
    let mut watched = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(pod) | Event::Apply(pod)) => {
                if has_begun(&pod) && followed.insert(pod.uid()) {
                    readers.spawn(read(writers.clone(), api.clone(), pod, tell.clone()));
                }
            }
            Ok(Event::InitDone) => watched = true,
            Ok(Event::Init | Event::Delete(_)) => {}
            Err(error) => {
                let (words, last) = match trouble("follow the pods that write logs", error, watched)
                {
                    Ok(None) => continue,
                    Ok(Some(words)) => (words, false),
                    Err(error) => (error.to_string(), true),
                };
                let told = tell.send(Written::Trouble(writers.source, words)).await;
                if told.is_err() || last {
                    return;
                }
            }
        }
    }
}

/// Tells the lines of one pod until it is gone or has ended. A stream that breaks is begun anew where
/// it broke.
async fn read(writers: Writers, api: Api<Pod>, pod: Pod, tell: mpsc::Sender<Written>) {
    let name = pod.name_any();
    let mut params = LogParams {
        follow: true,
        container: container(&pod),
        ..writers.params()
    };
    let mut told = Told::default();
    loop {
        match api.log_stream(&name, &params).await {
            Ok(stream) => {
                let mut lines = stream.lines();
                told.begins_again();
                while let Ok(Some(line)) = lines.try_next().await {
                    let (time, text) = stamped(&line);
                    if !told.is_new(time) {
                        continue;
                    }
                    let line = writers.line(&name, text);
                    if tell.send(Written::Line(line)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                let error = super::super::error::port_error(
                    format!("follow the log of pod {name}"),
                    &error,
                );
                if !matches!(error, PortError::NotFound(_)) {
                    let words = Written::Trouble(writers.source, error.to_string());
                    if tell.send(words).await.is_err() || !error.is_transient() {
                        return;
                    }
                }
            }
        }
        // A log that has ended is not one that broke.
        match api.get_opt(&name).await {
            Ok(Some(now)) if now.uid() == pod.uid() && !has_ended(&now) => {}
            Ok(_) => return,
            Err(_) => {}
        }
        params.since_time = told.last.parse().ok().or(params.since_time);
        sleep(BROKEN_PAUSE).await;
    }
}

/// Which lines of a log were told, whose stream may begin again at the last one. Lines may have one time in
/// common: CRI-O's conmon gives it to all that it reads at once.
#[derive(Debug, Default)]
struct Told {
    /// The time of the last line.
    last: String,
    /// How many lines of that time there were.
    of_last: usize,
    /// How many of them the stream has still to show again.
    again: usize,
}

impl Told {
    /// The stream begins once more, at `last`.
    fn begins_again(&mut self) {
        self.again = self.of_last;
    }

    /// Whether the next line, which is of that time, was not told yet.
    fn is_new(&mut self, time: &str) -> bool {
        if time.is_empty() {
            return true;
        }
        if time < self.last.as_str() {
            return false;
        }
        if time > self.last.as_str() {
            time.clone_into(&mut self.last);
            (self.of_last, self.again) = (0, 0);
        }
        if self.again > 0 {
            self.again -= 1;
            return false;
        }
        self.of_last += 1;
        true
    }
}

/// The time that a line begins with, and the rest.
fn stamped(line: &str) -> (&str, &str) {
    match line.split_once(' ') {
        Some((time, text)) if time.parse::<Timestamp>().is_ok() => (time, text),
        _ if line.parse::<Timestamp>().is_ok() => (line, ""),
        _ => ("", line),
    }
}

/// The container that ms2m runs in: the first one.
fn container(pod: &Pod) -> Option<String> {
    let containers = pod.spec.as_ref().map(|spec| &spec.containers)?;
    containers.first().map(|container| container.name.clone())
}

/// Whether its first container has written, or can have.
fn has_begun(pod: &Pod) -> bool {
    let wanted = container(pod);
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| &status.container_statuses);
    statuses.flatten().any(|status| {
        let state = status.state.as_ref();
        Some(&status.name) == wanted.as_ref()
            && state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_once_however_often_the_stream_breaks() {
        let mut told = Told::default();
        let shown = |told: &mut Told, times: &[&str]| -> Vec<bool> {
            told.begins_again();
            times.iter().map(|time| told.is_new(time)).collect()
        };
        assert_eq!(shown(&mut told, &["1", "2", "2"]), [true, true, true]);
        let again = shown(&mut told, &["1", "2", "2", "2", "3"]);
        assert_eq!(again, [false, false, false, true, true]);
        assert_eq!(shown(&mut told, &["3", "3", ""]), [false, true, true]);
    }

    #[test]
    fn a_line_is_told_apart_from_its_time() {
        assert_eq!(
            stamped("2026-01-02T03:04:05.123456789Z {\"a\": 1}"),
            ("2026-01-02T03:04:05.123456789Z", "{\"a\": 1}")
        );
        assert_eq!(
            stamped("2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05Z", "")
        );
        assert_eq!(stamped("no time here"), ("", "no time here"));
    }
}
