//! Who writes a record must have seen what stands there: each write carries the version that this
//! process read or wrote last. A process that was cut off while another went on with its
//! migration cannot take the journal back, not even by a write that was long under way.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Place;
use crate::migration::error::PortError;

/// What this process knows of a record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Where it is.
    pub(super) place: Place,
    /// The version of the object that holds it.
    pub(super) version: Option<String>,
    /// The generation of its spec, where it has one.
    pub(super) generation: Option<i64>,
    /// What it says there.
    pub(super) text: String,
    /// What is asked for, where others may change that: a process that has planned by another spec must not
    /// write that it has seen this one.
    pub(super) spec: String,
}

/// All records that were read, found or written here, by name.
#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<HashMap<String, Kept>>);

/// What to do after a write was refused because the object has another version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It stands there already: the answer to an earlier attempt was lost.
    Written,
    /// Somebody wrote beside it, a label for instance: once more.
    Again,
}

impl Fence {
    /// What is known of the record of that name.
    pub(super) fn known(&self, name: &str) -> Option<Kept> {
        self.map().get(name).cloned()
    }

    /// Remembers how a record stands that was found in a listing, unless more is known of it: a
    /// migration that is under way in this process has read or written its record itself, and a
    /// listing may be older than that, or show what another process has written meanwhile.
    pub(super) fn found(&self, name: &str, kept: Kept) {
        self.map().entry(name.to_owned()).or_insert(kept);
    }

    /// Remembers how it stands.
    pub(super) fn keep(&self, name: &str, kept: Kept) {
        self.map().insert(name.to_owned(), kept);
    }

    /// After a refused write of `wanted`: `now` is how the record stands.
    ///
    /// # Errors
    /// [`PortError::Fenced`]: another process has written it, or its spec is another one.
    pub(super) fn refused(
        &self,
        name: &str,
        wanted: &str,
        now: Kept,
    ) -> Result<Refused, PortError> {
        let ours = self.known(name);
        if ours.as_ref().is_some_and(|ours| ours.spec != now.spec) {
            return Err(PortError::Fenced(format!(
                "the spec of migration {name} was changed meanwhile"
            )));
        }
        let verdict = if now.text == wanted {
            Refused::Written
        } else if ours.is_none_or(|ours| ours.text == now.text) {
            Refused::Again
        } else {
            return Err(PortError::Fenced(format!(
                "another process has written the record of migration {name}"
            )));
        };
        self.map().insert(name.to_owned(), now);
        Ok(verdict)
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        // Nothing that holds it can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
