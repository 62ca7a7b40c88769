//! What can go wrong, typed, and said so that a person can act on it.
//!
//! A port reports a [`PortError`]; the engine wraps it with the object that it happened to, what
//! was undone and what to do next.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::explain::{self, Code};

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
    /// It was rolled back before the commit point, but the source had gone meanwhile, and the pod's
    /// state with it; nobody serves.
    SourceLost,
    /// The target was lost after the commit point, and the pod's state with it; nobody serves.
    TargetLost,
    /// It was waited for long enough; whatever was waited for goes on.
    TimedOut,
    /// It has ended, and something was seen on the way that speaks against each message having been
    /// applied exactly once and in order.
    InDoubt,
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
            Self::SourceLost | Self::TargetLost => 9,
            Self::TimedOut => 10,
            Self::InDoubt => 11,
            Self::Interrupted => 130,
        }
    }
}

impl ErrorKind {
    /// The code of a failure of this kind that has no more particular one.
    #[must_use]
    pub fn explained_by(self) -> Code {
        match self {
            Self::Usage => &explain::USAGE,
            Self::Refused => &explain::REFUSED,
            Self::RolledBack => &explain::ROLLED_BACK,
            Self::Interrupted => &explain::INTERRUPTED,
            Self::Unfinished => &explain::UNFINISHED,
            Self::Stuck => &explain::STUCK,
            Self::LockLost => &explain::LOCK_LOST,
            Self::Left => &explain::HANDED_OVER,
            Self::TooLate => &explain::TOO_LATE,
            Self::SourceLost => &explain::SOURCE_LOST,
            Self::TargetLost => &explain::TARGET_LOST,
            Self::TimedOut => &explain::TIMED_OUT,
            Self::InDoubt => &explain::MESSAGES_IN_DOUBT,
        }
    }
}

/// A failure, with everything that a person needs: what happened, to which object, why, what was
/// undone, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    /// Which kind. Changed by [`Error::of_kind`] alone, since the code may follow from it.
    pub kind: ErrorKind,
    /// What `ms2m explain` tells about it.
    #[serde(serialize_with = "explain::as_code")]
    pub code: Code,
    /// What happened, to which object: one sentence without a full stop.
    pub what: String,
    /// What the other side's words mean, where they are known and do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    /// Why: the other side's own words where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What was undone, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// What is left behind or in doubt, a line each. Empty unless `kind` is `Stuck`, `Unfinished`,
    /// `InDoubt` or `SourceLost`.
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
            code: kind.explained_by(),
            what: what.into(),
            meaning: None,
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

    /// The same failure as one of another kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        if self.code == self.kind.explained_by() {
            self.code = kind.explained_by();
        }
        self.kind = kind;
        self
    }

    /// Says what explains it.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Says what explains it, unless something more particular does.
    #[must_use]
    pub fn or_code(self, code: Code) -> Self {
        if self.code == self.kind.explained_by() {
            self.code(code)
        } else {
            self
        }
    }

    /// Adds why. Words of others that are known bring their meaning and their remedies along, as
    /// far as they do not say these themselves.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        if let Some(known) = explain::recognise(&cause) {
            self = self.or_code(known);
            if known.is_said_in(&cause) {
                self.meaning = Some(known.means).filter(|means| !cause.contains(means));
                let unsaid = known.next.iter().filter(|next| !cause.contains(**next));
                self.hints.extend(unsaid.map(|next| (*next).to_owned()));
            }
        }
        self.cause = Some(explain::without_command(&cause).to_owned());
        self
    }

    /// Adds a line of what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// All of it in one line, for events and conditions: what happened, why, what is left, what to do
    /// next, and what explains it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = self.to_string();
        for line in self.left.iter().chain(&self.hints) {
            text.push_str("; ");
            text.push_str(line);
        }
        explain::with_command(&text, self.code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (self.meaning, &self.cause) {
            (Some(meaning), Some(cause)) => write!(f, ": {meaning} ({cause})"),
            (None, Some(why)) => write!(f, ": {why}"),
            (Some(why), None) => write!(f, ": {why}"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_known_bring_meaning_and_remedy() {
        let cause = "checkpointing of shop/w-0/main failed (inet: In-flight connection (l) for 3f)";
        let error =
            Error::new(ErrorKind::RolledBack, "w-0 could not be checkpointed").because(cause);
        assert_eq!(error.code.code, "in-flight-connection");
        assert_eq!(error.cause.as_deref(), Some(cause), "they are kept");
        assert!(
            error
                .meaning
                .is_some_and(|it| it.contains("skip-in-flight"))
        );
        assert_eq!(error.hints, error.code.next);
        // What has gone through a record comes back as the same, and is not told twice.
        let again =
            Error::new(ErrorKind::RolledBack, "migration m has failed").because(error.line());
        assert_eq!((again.code, again.meaning), (error.code, None));
        assert_eq!(again.hints, Vec::<String>::new());
        assert!(
            again
                .to_string()
                .starts_with("migration m has failed: w-0 could not be")
        );
        assert!(!again.to_string().contains("ms2m explain"));
    }

    #[test]
    fn the_code_follows_the_kind_unless_it_is_more_particular() {
        let plain = Error::refused("no").of_kind(ErrorKind::Usage);
        assert_eq!(plain.code, &explain::USAGE);
        let particular = Error::refused("no").or_code(&explain::QUEUE_IDLE);
        let particular = particular
            .or_code(&explain::QUEUE_MISSING)
            .of_kind(ErrorKind::Stuck);
        assert_eq!(particular.code, &explain::QUEUE_IDLE);
    }
}
