//! Events, as kubelets and controllers write them: repeated ones are counted, not repeated.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;

/// Writes events of one component, in their order, without letting anybody wait.
#[derive(Clone, Debug)]
pub struct Recorder {
    entries: mpsc::UnboundedSender<Entry>,
}

#[derive(Debug)]
struct Entry {
    object: ObjectReference,
    severity: Severity,
    reason: String,
    message: String,
    at: Timestamp,
}

/// Whether an event is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All as it should be.
    Normal,
    /// Something to look at.
    Warning,
}

impl Recorder {
    /// A recorder for `component`, on a node if it is one of a node. It works until it and all
    /// its clones are dropped.
    pub fn new(client: Client, component: &str, host: Option<&str>) -> Self {
        let (entries, received) = mpsc::unbounded_channel();
        let writer = Writer {
            client,
            source: EventSource {
                component: Some(component.to_owned()),
                host: host.map(str::to_owned),
            },
            known: HashMap::new(),
        };
        tokio::spawn(writer.run(received));
        Self { entries }
    }

    /// Writes an event about `object`. One that cannot be written is lost, as everywhere.
    pub fn record(
        &self,
        object: ObjectReference,
        severity: Severity,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) {
        // Fails only when the runtime is going down, and events with it.
        let _ = self.entries.send(Entry {
            object,
            severity,
            reason: reason.into(),
            message: message.into(),
            at: Timestamp::now(),
        });
    }
}

struct Writer {
    client: Client,
    source: EventSource,
    known: HashMap<Key, Known>,
}

/// Uid and part of the object, reason, message.
type Key = (String, String, String, String);

struct Known {
    name: String,
    count: i32,
}

impl Writer {
    async fn run(mut self, mut entries: mpsc::UnboundedReceiver<Entry>) {
        while let Some(entry) = entries.recv().await {
            let (reason, message) = (entry.reason.clone(), entry.message.clone());
            if let Err(error) = self.write(entry).await {
                tracing::debug!(reason, message, %error, "event lost");
            }
        }
    }

    async fn write(&mut self, entry: Entry) -> kube::Result<()> {
        let object = &entry.object;
        let namespace = object
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let key = (
            object.uid.clone().unwrap_or_default(),
            object.field_path.clone().unwrap_or_default(),
            entry.reason.clone(),
            entry.message.clone(),
        );
        if let Some(event) = self.known.get_mut(&key) {
            event.count += 1;
            let patch = json!({ "count": event.count, "lastTimestamp": Time(entry.at) });
            let patched = events
                .patch(&event.name, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            return patched.map(drop);
        }
        let event = self.event(entry, &namespace);
        let created = events.create(&PostParams::default(), &event).await?;
        let name = created.metadata.name.unwrap_or_default();
        self.known.insert(key, Known { name, count: 1 });
        Ok(())
    }

    fn event(&self, entry: Entry, namespace: &str) -> Event {
        let about = entry.object.name.clone().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", entry.at.as_nanosecond())),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: entry.object,
            type_: Some(format!("{:?}", entry.severity)),
            reason: Some(entry.reason),
            message: Some(entry.message),
            source: Some(self.source.clone()),
            count: Some(1),
            first_timestamp: Some(Time(entry.at)),
            last_timestamp: Some(Time(entry.at)),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            ..Event::default()
        }
    }
}
