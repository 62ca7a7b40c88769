//! What is remembered of a migration: spec and status of a `StatefulMigration`, wherever they
//! are kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::ErrorKind;
use crate::api::conditions::{self, reasons};
use crate::api::{StatefulMigrationSpec, StatefulMigrationStatus};

/// A migration as it stands in a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Unique in the namespace.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// When the record was made.
    pub created: Timestamp,
    /// What is wanted. Holds no password: the broker's URL is stored without its user.
    pub spec: StatefulMigrationSpec,
    /// What has been observed and done.
    pub status: StatefulMigrationStatus,
}

impl Record {
    /// What to type to go on with it.
    #[must_use]
    pub fn resume_command(&self) -> String {
        format!("ms2m migrate --resume {} -n {}", self.name, self.namespace)
    }

    /// What to type to roll it back.
    #[must_use]
    pub fn abort_command(&self) -> String {
        format!("ms2m abort {} -n {}", self.name, self.namespace)
    }

    /// Whether somebody has planned it and may have begun: before that there is nothing to go on
    /// with, as of a resource that no controller has seen yet.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.status.source_pod_uid.is_some()
    }

    /// Whether it has ended with nobody serving, and which kind of failure that is: the source was
    /// lost before the commit point, or the target after it.
    #[must_use]
    pub fn lost(&self) -> Option<ErrorKind> {
        let mut conditions = self.status.conditions.iter();
        let failed = conditions.find(|condition| condition.type_ == conditions::FAILED)?;
        match failed.reason.as_str() {
            reasons::SOURCE_LOST => Some(ErrorKind::SourceLost),
            reasons::TARGET_LOST => Some(ErrorKind::TargetLost),
            _ => None,
        }
    }

    /// Whether something is left to do.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !self.status.phase.unwrap_or_default().is_final()
    }
}
