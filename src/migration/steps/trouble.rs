//! Why a step did not come to its end.

use crate::explain::Code;
use crate::migration::error::{Error, ErrorKind, PortError};

/// Why a step did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody asked to stop.
    Stopped,
    /// The lock is lost: another process may be at work, so this one must not touch anything.
    LockLost,
    /// This process is to leave the migration as it stands, for another one.
    Left,
    /// It cannot go on.
    Failed(Box<Error>),
}

impl Trouble {
    /// It cannot go on: `what` happened because of `cause`.
    pub(super) fn failed(what: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Failed(Box::new(
            Error::new(ErrorKind::RolledBack, what).because(cause),
        ))
    }

    /// Adds what to do next.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Box::new(error.hint(hint))),
            other => other,
        }
    }

    /// Says what explains it, unless something more particular does.
    pub(super) fn or_code(self, code: Code) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Box::new(error.or_code(code))),
            other => other,
        }
    }

    /// As the error that a person gets, of the given kind.
    pub(super) fn into_error(self, kind: ErrorKind) -> Error {
        match self {
            Self::Stopped => Error::new(ErrorKind::Interrupted, "the migration was interrupted"),
            Self::LockLost => Error::new(
                ErrorKind::LockLost,
                "the lock on the pod was lost, so this process has stopped at once",
            )
            .because("this process was suspended or could not reach the cluster for longer than the lock lasts, or somebody removed the lock or wrote the record")
            .hint("see who goes on with it: ms2m status")
            .hint("if nobody does, run the same command again: it goes on where the migration stands"),
            Self::Left => Error::new(ErrorKind::Left, "the migration is left as it stands, for another process to go on with"),
            Self::Failed(error) => error.of_kind(kind),
        }
    }

    /// In a few words, for an event.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Stopped => "interrupted".to_owned(),
            Self::LockLost => "the lock on the pod was lost".to_owned(),
            Self::Left => "left for another process".to_owned(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// Wraps what a port says with what was being done.
pub(super) fn while_doing(what: impl Into<String>) -> impl FnOnce(PortError) -> Trouble {
    let what = what.into();
    move |error| Trouble::failed(what, error)
}
