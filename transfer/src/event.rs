//! What the transfer prints on stdout while it works: one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::report::{Failed, Pushed, Report};

/// One line of stdout, told apart by its member `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// From here on the next archive is taken as soon as it is there. Once, if one is waited for.
    Waiting(Waiting),
    /// The archive is open and the work begins. Once.
    Started(Started),
    /// Which compression `auto` is. Once, if it was asked for.
    Chosen(Chosen),
    /// How far it is: at most one every 100 ms, and one at the end of the upload.
    Progress(Progress),
    /// Something failed in passing and is tried again. Where the upload begins anew the byte counts
    /// of [`Progress`] start from 0.
    Retrying(Retrying),
    /// The last line after success.
    Pushed(Pushed),
    /// The last line after a failure.
    Failed(Failed),
    /// An event that this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Beginning of the archive's path.
    pub prefix: String,
}

/// The work as understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Path of the archive.
    pub archive: String,
    /// Size of the archive in bytes, as far as it is written.
    pub archive_bytes: u64,
    /// The reference that will be pushed.
    pub image: String,
    /// `zstd`, `gzip`, `none` or `auto`.
    pub compression: String,
}

/// What `auto` is this time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// `zstd` or `none`.
    pub compression: String,
    /// What was measured, for people.
    pub reason: String,
}

/// Bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Size of the archive as far as it is written: what `read_bytes` goes up to.
    pub archive_bytes: u64,
    /// Bytes read from the archive.
    pub read_bytes: u64,
    /// Bytes of the layer that the connection to the registry has taken. Falls back to what the
    /// registry has when the connection breaks.
    pub sent_bytes: u64,
    /// Seconds since the start of the process.
    pub seconds: f64,
    /// Size of what was made so far by what was read for it, 1 where nothing is compressed. Absent
    /// until anything was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Bytes of the archive a second, by what was sent of the layer in the last seconds.
    /// Absent until it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Seconds until the registry has the whole layer, if it goes on like this. Absent until it can
    /// be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
}

/// A failure in passing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retrying {
    /// What is tried again, for people.
    pub what: String,
    /// The attempt that comes next; the first was 1.
    pub attempt: u32,
    /// How many attempts there are at most.
    pub attempts: u32,
    /// Seconds until it is made.
    pub delay_seconds: f64,
    /// Why the one before failed, for people. Holds no secret.
    pub reason: String,
}

impl Event {
    /// Reads one line of stdout. A line that is no event gives `None`: a container's log may hold
    /// other lines.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim()).ok()
    }

    /// The event as one line of JSON, without the line's end.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("strings, integers and finite floats serialise")
    }
}

impl From<Report> for Event {
    fn from(report: Report) -> Self {
        match report {
            Report::Pushed(pushed) => Self::Pushed(pushed),
            Report::Failed(failed) => Self::Failed(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::FailureCode;

    #[test]
    fn lines_have_the_documented_shape() {
        let progress = Event::Progress(Progress {
            archive_bytes: 3,
            read_bytes: 2,
            sent_bytes: 1,
            seconds: 0.5,
            ratio: Some(0.75),
            bytes_per_second: Some(6),
            eta_seconds: Some(0.25),
        });
        assert_eq!(
            progress.to_line(),
            r#"{"event":"progress","archiveBytes":3,"readBytes":2,"sentBytes":1,"seconds":0.5,"ratio":0.75,"bytesPerSecond":6,"etaSeconds":0.25}"#
        );
        assert_eq!(Event::parse(&progress.to_line()), Some(progress));
        let early =
            r#"{"event":"progress","archiveBytes":3,"readBytes":2,"sentBytes":1,"seconds":0.5}"#;
        assert_eq!(
            Event::parse(early).map(|event| event.to_line()).as_deref(),
            Some(early),
            "what cannot be told is left out"
        );
        let failed = Event::from(Report::Failed(Failed {
            code: FailureCode::RegistryDenied,
            message: "no".into(),
        }));
        assert_eq!(
            failed.to_line(),
            r#"{"event":"failed","code":"registry-denied","message":"no"}"#
        );
    }

    #[test]
    fn unknown_events_and_foreign_lines_do_no_harm() {
        assert_eq!(
            Event::parse(r#"{"event":"resumed","at":7}"#),
            Some(Event::Unknown)
        );
        assert_eq!(Event::parse("a warning of the runtime"), None);
    }
}
