//! The result of a transfer, which is also the container's termination message.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kubelet keeps at most this many bytes of a container's termination message.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// What came of the transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Report {
    /// The image is in the registry and was read back.
    Pushed(Pushed),
    /// There is no image under the reference.
    Failed(Failed),
}

/// A verified image in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// The image by digest, `host[:port]/repository@sha256:…`: what a pod should name.
    pub image: String,
    /// Digest of the manifest, `sha256:…`.
    pub digest: String,
    /// Digest of the layer as stored, `sha256:…`.
    pub layer_digest: String,
    /// Digest of the archive itself, that is of the uncompressed layer, `sha256:…`.
    pub diff_id: String,
    /// Size of the archive in bytes.
    pub archive_bytes: u64,
    /// Size of the layer as stored, in bytes.
    pub layer_bytes: u64,
    /// File name of the archive. Absent in reports of 0.1 and before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub archive: String,
    /// Seconds from the moment that the archive was there (or the process began, if that is later)
    /// to the verified push.
    pub seconds: f64,
    /// Peak resident memory of the process in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

/// A transfer that left no image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The kind of failure, for programs.
    pub code: FailureCode,
    /// What went wrong, with which object, and what to do next, for people. Holds no secret.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// A flag, an environment variable or the credentials file is wrong.
    Config,
    /// The archive is not there or cannot be read.
    ArchiveMissing,
    /// The archive is truncated, still being written, or not a checkpoint archive at all.
    ArchiveInvalid,
    /// The registry answered 401 or 403.
    RegistryDenied,
    /// The registry could not be reached or answered with an error.
    RegistryFailed,
    /// The transfer was told to stop (SIGTERM or SIGINT).
    Interrupted,
    /// The archive was to be deleted instead, and was.
    Discarded,
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::ArchiveMissing => "archive-missing",
            Self::ArchiveInvalid => "archive-invalid",
            Self::RegistryDenied => "registry-denied",
            Self::RegistryFailed => "registry-failed",
            Self::Interrupted => "interrupted",
            Self::Discarded => "discarded",
        })
    }
}

/// A termination message that is not a [`Report`]: the container ended before it could write one
/// (killed, out of memory), or another program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("the termination message is not a transfer report: {message:?}")]
pub struct NotAReport {
    /// The message as found.
    pub message: String,
    #[source]
    cause: serde_json::Error,
}

impl Report {
    /// Reads a termination message.
    ///
    /// # Errors
    /// When the text is anything but a report, an empty message included.
    pub fn parse(message: &str) -> Result<Self, NotAReport> {
        serde_json::from_str(message.trim()).map_err(|cause| NotAReport {
            message: message.to_owned(),
            cause,
        })
    }

    /// The report as a termination message: one line of JSON, shorter than
    /// [`TERMINATION_MESSAGE_LIMIT`]. A failure's words are cut when they do not fit.
    #[must_use]
    pub fn to_termination_message(&self) -> String {
        let mut text = self.to_json();
        let Self::Failed(failed) = self else {
            return text;
        };
        let mut words: Vec<char> = failed.message.chars().collect();
        while text.len() >= TERMINATION_MESSAGE_LIMIT {
            // JSON may escape one character as six bytes, so the cut goes by halves.
            words.truncate(words.len() / 2);
            let message = words.iter().chain(&['…']).collect();
            let code = failed.code;
            text = Self::Failed(Failed { code, message }).to_json();
        }
        text
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, integers and finite floats serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: String) -> Report {
        let code = FailureCode::ArchiveInvalid;
        Report::Failed(Failed { code, message })
    }

    #[test]
    fn a_report_survives_the_termination_message() {
        let pushed = Report::Pushed(Pushed {
            image: "registry:5000/cp@sha256:aa".into(),
            digest: "sha256:aa".into(),
            layer_digest: "sha256:bb".into(),
            diff_id: "sha256:cc".into(),
            archive_bytes: 1 << 40,
            layer_bytes: 17,
            archive: "a.tar".into(),
            seconds: 1.25,
            peak_memory_bytes: None,
        });
        let text = pushed.to_termination_message();
        assert_eq!(
            text,
            r#"{"result":"pushed","image":"registry:5000/cp@sha256:aa","digest":"sha256:aa","layerDigest":"sha256:bb","diffId":"sha256:cc","archiveBytes":1099511627776,"layerBytes":17,"archive":"a.tar","seconds":1.25}"#
        );
        assert_eq!(Report::parse(&text).expect("a report"), pushed);
        assert_eq!(
            failed("cut off".into()).to_termination_message(),
            r#"{"result":"failed","code":"archive-invalid","message":"cut off"}"#
        );
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_kubelet_keeps() {
        for filler in ["x", "ü", "\u{1}", "\""] {
            let text = failed(filler.repeat(9000)).to_termination_message();
            assert!(text.len() < TERMINATION_MESSAGE_LIMIT, "{}", text.len());
            assert!(text.len() > 500, "{}", text.len());
            assert!(matches!(Report::parse(&text), Ok(Report::Failed(_))));
        }
    }

    #[test]
    fn the_code_prints_as_it_serialises() {
        for code in [
            FailureCode::Config,
            FailureCode::ArchiveMissing,
            FailureCode::ArchiveInvalid,
            FailureCode::RegistryDenied,
            FailureCode::RegistryFailed,
            FailureCode::Interrupted,
        ] {
            let json = serde_json::to_string(&code).expect("serialises");
            assert_eq!(json, format!("\"{code}\""));
        }
    }

    #[test]
    fn anything_else_is_not_a_report() {
        assert!(Report::parse("").is_err());
        assert!(Report::parse("OOMKilled").is_err());
        assert!(Report::parse(r#"{"result":"pushed"}"#).is_err());
    }
}
