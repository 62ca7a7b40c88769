//! The one stream of events that every reporter lives on: bars, plain lines and JSON alike.
//!
//! An event says what has happened, never how to show it. No event carries a secret.

use jiff::Timestamp;
use ms2m_transfer::event::Progress;
use serde::Serialize;

use super::error::Error;
use super::summary::Summary;
use crate::api::{Phase, Strategy};

/// Something that happened, and when.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The migration's name.
    pub migration: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum EventKind {
    /// The migration begins, or goes on where another process left it.
    Started {
        /// Namespace of the pod.
        namespace: String,
        /// The pod that moves.
        pod: String,
        /// The container that is moved.
        container: String,
        /// The node that it leaves.
        from: String,
        /// The node that it goes to.
        to: String,
        /// Name of the target pod.
        target_pod: String,
        /// How.
        strategy: Strategy,
        /// Whether this goes on with an unfinished migration.
        resumed: bool,
        /// Whether it is gone on with only to be rolled back.
        back: bool,
    },
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// A phase is over.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// One thing was done or seen inside a phase, in words.
    Step {
        /// The phase that it belongs to.
        phase: Phase,
        /// What, as `gate closed on queue orders`.
        what: String,
    },
    /// Something that the operator should know and that does not stop the migration.
    Warning {
        /// What.
        message: String,
    },
    /// The archive is on its way.
    Transfer(Progress),
    /// The replay queue shrinks, or does not.
    Replay {
        /// Messages that wait in it.
        depth: u64,
        /// The largest depth seen.
        peak: u64,
        /// Messages a second that the target takes, once known.
        rate: Option<f64>,
    },
    /// From here on there is only forward.
    Committed,
    /// The migration is being rolled back.
    UndoStarted {
        /// Why.
        reason: String,
    },
    /// One thing was undone.
    Undone {
        /// What.
        what: String,
    },
    /// One thing could not be undone.
    UndoFailed {
        /// What.
        what: String,
        /// Why not.
        cause: String,
    },
    /// The end: the target serves.
    Completed {
        /// What it came to.
        summary: Box<Summary>,
    },
    /// The end: no success.
    Failed {
        /// Why, and what to do next.
        error: Box<Error>,
    },
}

/// Takes events. Must not block: a reporter that is slow must buffer.
pub trait Reporter: Send + Sync {
    /// Takes one.
    fn report(&self, event: Event);
}

/// Takes events and tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event) {}
}
