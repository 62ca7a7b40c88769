//! What Kubernetes tells of a migration: the events of the object that it is kept in.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::super::pages;
use super::{Entry, Migrations};
use crate::migration::ports::PortResult;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When it was seen last.
    pub time: Option<Timestamp>,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Why, in one word.
    pub reason: String,
    /// What.
    pub message: String,
    /// How often.
    pub count: i32,
}

impl Migrations {
    /// The events of the object, oldest first.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn events(&self, entry: &Entry) -> PortResult<Vec<Told>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &entry.record.namespace);
        let params = ListParams::default().fields(&format!("involvedObject.uid={}", entry.uid));
        let what = format!("list the events of migration {}", entry.record.name);
        let found = pages::all(&self.retry, &events, params, &what).await?;
        let mut told: Vec<Told> = found.into_iter().map(told).collect();
        told.sort_by_key(|event| event.time);
        Ok(told)
    }
}

fn told(event: Event) -> Told {
    let series = event.series.as_ref();
    let last = series
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0)
        .or(event.last_timestamp.map(|time| time.0))
        .or(event.event_time.map(|time| time.0))
        .or(event.metadata.creation_timestamp.map(|time| time.0));
    Told {
        time: last,
        kind: event.type_.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        count: series
            .and_then(|series| series.count)
            .or(event.count)
            .unwrap_or(1),
    }
}
