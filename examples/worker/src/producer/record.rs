//! The record of what was published: the audit's one side.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::Ranges;

/// What a producer published, by publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When publishing began.
    pub began: Option<Timestamp>,
    /// When the last confirm was in.
    pub ended: Option<Timestamp>,
    /// The publishers by name.
    pub publishers: BTreeMap<String, PublisherRecord>,
}

/// What one publisher published: the numbers 1 to `published`, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublisherRecord {
    /// The highest number published.
    pub published: u64,
    /// Numbers that the broker never confirmed. They may have arrived or not.
    #[serde(default)]
    pub unconfirmed: Ranges,
    /// Numbers published again because the connection was lost before their confirm came.
    /// The first copy may have arrived as well: that makes a double that is the producer's.
    #[serde(default)]
    pub republished: Ranges,
    /// Numbers that the broker confirmed and gave back, since no queue was bound for them.
    #[serde(default)]
    pub returned: Ranges,
}

impl PublisherRecord {
    /// How many messages the broker confirmed.
    pub fn confirmed(&self) -> u64 {
        self.published - self.unconfirmed.within(1, self.published)
    }

    /// The highest number that the broker confirmed; 0 if none.
    pub fn last_confirmed(&self) -> u64 {
        // The unconfirmed ones are the last ones, or nearly so: few steps.
        (1..=self.published)
            .rev()
            .find(|seq| !self.unconfirmed.contains(*seq))
            .unwrap_or(0)
    }
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system says no.
    #[error("failed to read or write the record {path}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} is no record")]
    Unreadable {
        /// The file.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
}

impl Record {
    /// How many messages the broker confirmed, of all publishers.
    pub fn confirmed(&self) -> u64 {
        self.publishers
            .values()
            .map(PublisherRecord::confirmed)
            .sum()
    }

    /// Reads a record that [`Self::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or is no record.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| RecordError::File {
            path: name(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| RecordError::Unreadable {
            path: name(),
            source,
        })
    }

    /// Writes the record, whole or not at all: into a file beside it, which then takes its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let mut text = serde_json::to_vec_pretty(self)
            .expect("a record has string keys and no value that JSON lacks");
        text.push(b'\n');
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|source| RecordError::File {
                path: path.display().to_string(),
                source,
            })
    }
}
