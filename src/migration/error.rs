//! What can go wrong, typed, and said so that a person can act on it.
//!
//! A port reports a [`PortError`]; the engine wraps it with the object that it happened to, what
//! was undone and what to do next.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// Why a port could not do what it was asked to.
#[derive(Debug, Clone, Error)]
pub enum PortError {
    /// The other side cannot be reached, or the connection broke. Worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// The other side is there and asks to come again (429, 5xx). Worth another try.
    #[error("{0}")]
    Busy(String),
    /// Somebody else changed the object first (409). Read again, then decide.
    #[error("{0}")]
    Conflict(String),
    /// The object is not there.
    #[error("{0}")]
    NotFound(String),
    /// Credentials were refused, or lack a right.
    #[error("{0}")]
    Denied(String),
    /// Another process has taken over what only one may touch: nothing may be done any more.
    #[error("{0}")]
    Fenced(String),
    /// The request or its object is wrong; the same request will fail again.
    #[error("{0}")]
    Invalid(String),
}

impl PortError {
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Busy(_) | Self::Conflict(_)
        )
    }
}

/// What kind of failure it was; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// The request makes no sense as it was typed or written.
    Usage,
    /// The world does not allow this migration; nothing was changed.
    Refused,
    /// It failed on the way and was rolled back; the source serves.
    RolledBack,
    /// It was interrupted on request and rolled back; the source serves.
    Interrupted,
    /// It failed after the commit point: the target serves, something is left to finish.
    Unfinished,
    /// Something could not be undone; the message says what is left.
    Stuck,
    /// The lock on the pod was lost, so this process stopped without another effect; the journal
    /// says how far the migration is, and whoever has the lock goes on with it.
    LockLost,
    /// This process was asked to leave, and stopped between two effects; another one goes on.
    Left,
    /// It was to be aborted, and that was too late: the target serves.
    TooLate,
    /// The target was lost after the commit point, and the pod's state with it; nobody serves.
    TargetLost,
}

impl ErrorKind {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Refused => 3,
            Self::RolledBack => 4,
            Self::Unfinished => 5,
            Self::Stuck => 6,
            Self::LockLost | Self::Left => 7,
            Self::TooLate => 8,
            Self::TargetLost => 9,
            Self::Interrupted => 130,
        }
    }
}

/// A failure, with everything that a person needs: what happened, to which object, why, what was
/// undone, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    /// Which kind.
    pub kind: ErrorKind,
    /// What happened, to which object: one sentence without a full stop.
    pub what: String,
    /// Why: the other side's own words where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What was undone, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// What is left behind, a line each. Empty unless `kind` is `Stuck` or `Unfinished`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// What to do next, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Whether the same request may succeed a little later, with nobody doing anything.
    #[serde(skip)]
    pub passing: bool,
}

impl Error {
    /// A failure of `kind`: `what` happened, to which object.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            cause: None,
            undone: Vec::new(),
            left: Vec::new(),
            hints: Vec::new(),
            passing: false,
        }
    }

    /// The request makes no sense as it was typed.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    /// The world does not allow it; nothing was changed.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, what)
    }

    /// Marks what may succeed a little later.
    #[must_use]
    pub fn in_passing(mut self, passing: bool) -> Self {
        self.passing = passing;
        self
    }

    /// Adds why.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds a line of what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
