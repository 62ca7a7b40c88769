//! The one error of the binary: a code for programs, words and a next step for people.

use std::fmt;

use ms2m_transfer::{Failed, FailureCode};

/// Why the transfer failed. Neither part holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: FailureCode,
    /// What went wrong with which object, and why.
    what: String,
    /// What to do next.
    hint: String,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn config(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureCode::Config, what, hint)
    }

    pub(crate) fn archive_invalid(what: impl Into<String>) -> Self {
        Self::new(
            FailureCode::ArchiveInvalid,
            what,
            "take a new checkpoint; the kubelet's call has to end before its archive is complete",
        )
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(
            FailureCode::Interrupted,
            "stopped by a signal before the image was complete",
            "nothing refers to what was uploaded; a new transfer starts from the beginning",
        )
    }
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code,
            message: format!("{}; {}", failure.what, failure.hint),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "error: {}\n  next: {}\n  code: {}",
            self.what, self.hint, self.code
        )
    }
}

impl std::error::Error for Failure {}
