//! Migrations that are followed: by watches of the API server, renewed before a dead connection
//! could go unnoticed for long.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::StreamExt;
use kube::api::{Api, Resource};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::error::{port_error, status_error};
use super::{Entry, Migrations, Place, config_map_name, journal_selector};
use crate::migration::error::PortError;

/// How long the API server is asked to keep one watch open. Short, since a connection that died
/// without a word is only noticed after it.
const WATCH_SECONDS: u32 = 60;

/// What was seen of one migration.
#[derive(Debug)]
pub enum Seen {
    /// It is like this now.
    Entry(Box<Entry>),
    /// It is gone.
    Gone,
    /// It cannot be seen for the moment; it is tried again.
    Trouble(String),
    /// It may not be seen: there will be nothing more.
    Lost(PortError),
}

/// What was seen of many.
#[derive(Debug)]
pub enum Change {
    /// One is there, or has changed.
    Entry(Box<Entry>),
    /// This one is gone.
    Gone(Box<Entry>),
    /// They cannot be seen for the moment; it is tried again.
    Trouble(String),
    /// They may not be seen: there will be nothing more.
    Lost(PortError),
}

/// Changes as they come, until it is dropped.
#[derive(Debug)]
pub struct Changes<T> {
    receiver: mpsc::Receiver<T>,
    tasks: Vec<JoinHandle<()>>,
}

impl<T> Changes<T> {
    pub(super) fn new(receiver: mpsc::Receiver<T>, tasks: Vec<JoinHandle<()>>) -> Self {
        Self { receiver, tasks }
    }

    /// The next one; none when there will be no more.
    pub async fn next(&mut self) -> Option<T> {
        self.receiver.recv().await
    }
}

impl<T> Drop for Changes<T> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How an object becomes an entry.
type Read<K> = fn(K) -> Option<Entry>;

impl Migrations {
    /// Follows one migration from how it is now.
    #[must_use]
    pub fn follow(&self, entry: &Entry) -> Changes<Seen> {
        let (tell, receiver) = mpsc::channel(16);
        let uid = entry.uid.clone();
        let name = &entry.record.name;
        let task = match entry.place {
            Place::Resource => {
                let config = config().fields(&format!("metadata.name={name}"));
                let read: Read<_> = |found| Some(Entry::of_resource(found));
                tokio::spawn(one(self.resources(), config, read, uid, tell))
            }
            Place::ConfigMap => {
                let config = config().fields(&format!("metadata.name={}", config_map_name(name)));
                let read: Read<_> = Entry::of_config_map;
                tokio::spawn(one(self.config_maps(), config, read, uid, tell))
            }
        };
        Changes::new(receiver, vec![task])
    }

    /// Follows those whose labels `selector` selects, beginning with all that are there.
    #[must_use]
    pub fn follow_all(&self, selector: Option<&str>) -> Changes<Change> {
        let (tell, receiver) = mpsc::channel(64);
        let mut resources = config();
        if let Some(selector) = selector {
            resources = resources.labels(selector);
        }
        let config_maps = config().labels(&journal_selector(selector));
        let of_resource: Read<_> = |found| Some(Entry::of_resource(found));
        let of_config_map: Read<_> = Entry::of_config_map;
        let tasks = vec![
            tokio::spawn(many(self.resources(), resources, of_resource, tell.clone())),
            tokio::spawn(many(self.config_maps(), config_maps, of_config_map, tell)),
        ];
        Changes::new(receiver, tasks)
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

async fn one<K>(
    api: Api<K>,
    config: watcher::Config,
    read: Read<K>,
    uid: String,
    tell: mpsc::Sender<Seen>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher(api, config).default_backoff().boxed();
    let (mut found, mut watched) = (false, false);
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(Event::Init) => {
                found = false;
                continue;
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => match read(object) {
                // Another one of the same name: the one that was followed is gone.
                Some(entry) if entry.uid != uid => Seen::Gone,
                Some(entry) => {
                    found = true;
                    Seen::Entry(Box::new(entry))
                }
                None => continue,
            },
            Ok(Event::InitDone) if found => {
                watched = true;
                continue;
            }
            Ok(Event::InitDone | Event::Delete(_)) => Seen::Gone,
            Err(error) => match trouble("follow the migration", error, watched) {
                Ok(Some(words)) => Seen::Trouble(words),
                Ok(None) => continue,
                Err(error) => Seen::Lost(error),
            },
        };
        let last = matches!(seen, Seen::Gone | Seen::Lost(_));
        if tell.send(seen).await.is_err() || last {
            return;
        }
    }
}

async fn many<K>(api: Api<K>, config: watcher::Config, read: Read<K>, tell: mpsc::Sender<Change>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut known: BTreeMap<String, Arc<Entry>> = BTreeMap::new();
    let mut before: BTreeMap<String, Arc<Entry>> = BTreeMap::new();
    let mut watched = false;
    while let Some(event) = events.next().await {
        let mut changes = Vec::new();
        match event {
            Ok(Event::Init) => before.append(&mut known),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                let Some(entry) = read(object) else { continue };
                before.remove(&entry.uid);
                known.insert(entry.uid.clone(), Arc::new(entry.clone()));
                changes.push(Change::Entry(Box::new(entry)));
            }
            // Those that were there before and are not listed any more.
            Ok(Event::InitDone) => {
                watched = true;
                let gone = std::mem::take(&mut before).into_values();
                changes
                    .extend(gone.map(|entry| Change::Gone(Box::new(Arc::unwrap_or_clone(entry)))));
            }
            Ok(Event::Delete(object)) => {
                let Some(entry) = read(object) else { continue };
                known.remove(&entry.uid);
                changes.push(Change::Gone(Box::new(entry)));
            }
            Err(error) => match trouble("follow the migrations", error, watched) {
                Ok(Some(words)) => changes.push(Change::Trouble(words)),
                Ok(None) => {}
                Err(error) => changes.push(Change::Lost(error)),
            },
        }
        for change in changes {
            let last = matches!(change, Change::Lost(_));
            if tell.send(change).await.is_err() || last {
                return;
            }
        }
    }
}

/// What an error of a watch means: nothing, since it is only too old and is begun anew; words to
/// tell while it is tried again; or the end. What was `seen` before can be seen again: an API server
/// that restarts knows neither roles nor resources for a moment.
pub(super) fn trouble(
    what: &str,
    error: watcher::Error,
    seen: bool,
) -> Result<Option<String>, PortError> {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => port_error(what, &error),
        watcher::Error::WatchError(status) if status.code == 410 => return Ok(None),
        watcher::Error::WatchError(status) => status_error(what, &status),
        watcher::Error::NoResourceVersion => PortError::Invalid(format!(
            "cannot {what}: the API server does not let it be watched"
        )),
    };
    match error {
        PortError::Denied(_) | PortError::NotFound(_) | PortError::Invalid(_) if !seen => {
            Err(error)
        }
        other => Ok(Some(other.to_string())),
    }
}
