//! One migration as it was seen last, and what was told of it.

use jiff::Timestamp;
use tokio::time::Instant;

use super::tale::Tale;
use super::{SILENT, came_to, is_taken_up};
use crate::cli::report::Progress;
use crate::cluster::migrations::Entry;
use crate::migration::event::{Event, EventKind, Reporter};

/// One migration as it was seen last, and what was told of it.
pub(super) struct Follower<'a> {
    progress: &'a Progress,
    pub(super) entry: Entry,
    tale: Tale,
    /// When it will have been silent for too long.
    pub(super) silent_at: Instant,
    pub(super) told_silent: bool,
    told_trouble: bool,
    told_deleting: bool,
}

impl<'a> Follower<'a> {
    pub(super) fn new(progress: &'a Progress, entry: Entry) -> Self {
        let mut follower = Self {
            progress,
            entry: entry.clone(),
            tale: Tale::default(),
            silent_at: Instant::now() + SILENT,
            told_silent: false,
            told_trouble: false,
            told_deleting: false,
        };
        follower.see(entry);
        follower
    }

    pub(super) fn see(&mut self, entry: Entry) {
        if entry.record.status != self.entry.record.status {
            self.silent_at = Instant::now() + SILENT;
            // Somebody may fall silent again.
            self.told_silent &= !is_taken_up(&entry.record);
        }
        self.told_trouble = false;
        self.entry = entry;
        if self.entry.deleting && !self.told_deleting && came_to(&self.entry).is_none() {
            self.told_deleting = true;
            self.progress.note(
                "it is being deleted: it is rolled back first, or finished past its commit point",
            );
        }
        for kind in self.tale.next(&self.entry.record) {
            self.report(kind);
        }
    }

    fn report(&self, kind: EventKind) {
        let status = &self.entry.record.status;
        let begun = matches!(kind, EventKind::Started { .. });
        let time = if begun {
            status.start_time.clone()
        } else {
            status.completion_time.clone()
        };
        self.progress.report(Event {
            time: time.map_or_else(Timestamp::now, |time| time.0),
            migration: self.entry.record.name.clone(),
            kind,
        });
    }

    pub(super) fn trouble(&mut self, words: &str) {
        if !self.told_trouble {
            self.told_trouble = true;
            self.progress.note(format!("{words}; trying again"));
        }
    }
}
