//! What to do with a migration that another process has left, or works on: go on with it, or roll
//! it back on request.
//!
//! How a roll-back goes is in `steps`; here is who may do it, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::engine::{Engine, under_way, unreadable};
use super::error::{Error, ErrorKind, PortError};
use super::ports::{Holder, Lock};
use super::record::Record;
use super::summary::Summary;
use crate::api::Phase;
use crate::explain;

/// How often the record of a migration that another process rolls back is looked at.
const LOOK: Duration = Duration::from_millis(400);

/// After so long without a sign of life of the other process the lock is tried: somewhat longer
/// than it takes between two signs.
const SILENT: Duration = Duration::from_secs(5);

/// A migration that was rolled back on request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aborted {
    /// The migration's name.
    pub migration: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod, which serves as before.
    pub source_pod: String,
    /// What this process has undone, a line each; nothing when another process did it.
    pub undone: Vec<String>,
    /// Why it did not come to its end, as the record tells.
    pub reason: String,
}

impl Engine {
    /// Goes on with `record`, which was read a moment ago.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when another process works on it, or has rolled it back meanwhile;
    /// else as [`Engine::migrate`].
    pub async fn resume(&self, record: &Record) -> Result<Summary, Error> {
        let (record, lock) = self.take_up(record).await?;
        if record.is_unfinished() {
            return self.run(record, lock, true).await;
        }
        let _ = lock.release().await;
        ended_as(&record)
    }

    /// Asks the process that works on `record` to roll it back, and says who that is; `None` when
    /// nobody does, and [`Engine::abort`] can do it.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when the lock cannot be read or written.
    pub async fn ask_to_abort(&self, record: &Record) -> Result<Option<Holder>, Error> {
        let (pod, name) = (&record.spec.source_pod, &record.name);
        let answer = self.ports.journal.request_abort(pod, name).await;
        answer.map_err(|error| unreadable("the lock of the pod", &error))
    }

    /// Waits until `record`, which another process was asked to abort, has ended, and gives it as
    /// it is then; `None` when nobody seems to work on it any more.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when record or lock cannot be read, or the record is gone.
    pub async fn await_end(&self, record: &Record) -> Result<Option<Record>, Error> {
        let clock = &self.ports.clock;
        let (mut sign, mut since) = (String::new(), clock.elapsed());
        loop {
            let now = self.read(record).await?;
            if !now.is_unfinished() {
                return Ok(Some(now));
            }
            // Asked again each time: it may be another process by now.
            match self.ask_to_abort(record).await? {
                None => return Ok(None),
                Some(holder) if holder.sign != sign => {
                    (sign, since) = (holder.sign, clock.elapsed());
                }
                Some(_) if clock.elapsed() - since > SILENT => return Ok(None),
                Some(_) => {}
            }
            clock.sleep(LOOK).await;
        }
    }

    /// Rolls `record` back, if nobody works on it; one past its commit point is finished instead.
    ///
    /// # Errors
    /// [`ErrorKind::TooLate`] when it was past its commit point, [`ErrorKind::Refused`] when
    /// another process works on it after all; else as [`Engine::migrate`].
    pub async fn abort(&self, record: &Record) -> Result<Aborted, Error> {
        let (record, lock) = self.take_up(record).await?;
        if !record.is_unfinished() {
            let _ = lock.release().await;
            return end_of(&record);
        }
        self.stop.cancel();
        match self.run(record.clone(), lock, true).await {
            Ok(summary) => Err(too_late(&record, &summary.target_pod)),
            Err(error) if is_rolled_back(&error) => Ok(Aborted {
                undone: error.undone.clone(),
                ..aborted(&record, error.to_string())
            }),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock and reads the record again: before the lock was free another process may
    /// have gone on with it.
    pub(super) async fn take_up(&self, record: &Record) -> Result<(Record, Arc<dyn Lock>), Error> {
        let lock = self.lock(&record.spec.source_pod).await;
        let lock = lock.map_err(|error| match error {
            PortError::Conflict(holder) => under_way(record, &holder),
            // What is begun is not given up: somebody has to mend it.
            other => unreadable("the lock of the pod", &other).in_passing(true),
        })?;
        match self.read(record).await {
            Ok(now) => Ok((now, lock)),
            Err(error) => {
                let _ = lock.release().await;
                Err(error)
            }
        }
    }

    async fn read(&self, record: &Record) -> Result<Record, Error> {
        let found = self.ports.journal.read(&record.name).await;
        found
            .map_err(|error| unreadable("the journal", &error))?
            .ok_or_else(|| {
                Error::refused(format!("migration {} is gone", record.name))
                    .code(&explain::MIGRATION_MISSING)
            })
    }
}

/// What came of a migration that another process has brought to its end.
pub(super) fn ended_as(record: &Record) -> Result<Summary, Error> {
    match record.status.phase {
        Some(Phase::Completed) => Ok(Summary::of(record)),
        _ => Err(lost(record).unwrap_or_else(|| rolled_back_already(record))),
    }
}

/// What came of a migration that was to be aborted and has ended.
///
/// # Errors
/// [`ErrorKind::TooLate`] when it has completed, [`ErrorKind::SourceLost`] or
/// [`ErrorKind::TargetLost`] when nobody serves, [`ErrorKind::InDoubt`] when something speaks against
/// each message having been applied once and in order.
pub fn end_of(record: &Record) -> Result<Aborted, Error> {
    match record.status.phase {
        Some(Phase::Completed) => {
            let target = record.status.target_pod.as_deref();
            Err(too_late(record, target.unwrap_or_default()))
        }
        _ => match lost(record).or_else(|| in_doubt(record)) {
            Some(error) => Err(error),
            None => Ok(aborted(
                record,
                record.status.message.clone().unwrap_or_default(),
            )),
        },
    }
}

fn aborted(record: &Record, reason: String) -> Aborted {
    Aborted {
        migration: record.name.clone(),
        namespace: record.namespace.clone(),
        source_pod: record.spec.source_pod.clone(),
        undone: Vec::new(),
        reason,
    }
}

fn is_rolled_back(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Interrupted | ErrorKind::RolledBack)
}

fn too_late(record: &Record, target: &str) -> Error {
    Error::new(
        ErrorKind::TooLate,
        format!("migration {} could not be aborted any more", record.name),
    )
    .because(format!(
        "it was past its commit point, and is completed: pod {target} serves"
    ))
}

fn lost(record: &Record) -> Option<Error> {
    let kind = record.lost()?;
    let whose = match kind {
        ErrorKind::SourceLost => "source",
        _ => "target",
    };
    let words = format!("migration {} has ended: its {whose} was lost", record.name);
    let error = Error::new(kind, words);
    Some(match &record.status.message {
        Some(message) => error.because(message),
        None => error,
    })
}

fn in_doubt(record: &Record) -> Option<Error> {
    let doubts = record.status.receipt.as_ref().map(|it| &it.doubts)?;
    if doubts.is_empty() {
        return None;
    }
    let words = format!(
        "migration {} of pod {} was rolled back",
        record.name, record.spec.source_pod
    );
    let mut error = Error::new(ErrorKind::InDoubt, words);
    if let Some(message) = &record.status.message {
        error = error.because(message);
    }
    error.left.clone_from(doubts);
    Some(error)
}

fn rolled_back_already(record: &Record) -> Error {
    let pod = &record.spec.source_pod;
    let error = Error::refused(format!(
        "migration {} of pod {pod} has ended: it was rolled back",
        record.name
    ))
    .code(&explain::MIGRATION_ENDED);
    let error = match &record.status.message {
        Some(message) => error.because(message),
        None => error,
    };
    error.hint(format!(
        "begin another one: ms2m migrate {pod} --to NODE -n {}",
        record.namespace
    ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{StatefulMigrationSpec, StatefulMigrationStatus, conditions};

    fn ended(phase: Phase, reason: &str) -> Record {
        let mut status = StatefulMigrationStatus {
            phase: Some(phase),
            target_pod: Some("w-shadow".to_owned()),
            ..StatefulMigrationStatus::default()
        };
        if phase == Phase::Failed {
            let now = Timestamp::UNIX_EPOCH;
            status.set_condition(conditions::FAILED, true, reason, "words", now);
            status.message = Some("words".to_owned());
        }
        Record {
            name: "m".to_owned(),
            namespace: "shop".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            spec: StatefulMigrationSpec::sample("w"),
            status,
        }
    }

    #[test]
    fn an_abort_says_truly_who_serves() {
        let rolled_back = ended(Phase::Failed, conditions::reasons::ROLLED_BACK);
        let aborted = end_of(&rolled_back).expect("the source serves");
        assert_eq!(aborted.reason, "words");
        let kind = |record: &Record| end_of(record).map_err(|error| error.kind).err();
        let lost = ended(Phase::Failed, conditions::reasons::TARGET_LOST);
        assert_eq!(kind(&lost), Some(ErrorKind::TargetLost));
        let lost = ended(Phase::Failed, conditions::reasons::SOURCE_LOST);
        assert_eq!(kind(&lost), Some(ErrorKind::SourceLost));
        let mut doubtful = ended(Phase::Failed, conditions::reasons::ROLLED_BACK);
        doubtful.status.receipt.get_or_insert_default().doubts = vec!["a leak".to_owned()];
        let told = end_of(&doubtful).expect_err("it is in doubt");
        assert_eq!(
            (told.kind, told.left),
            (ErrorKind::InDoubt, vec!["a leak".to_owned()])
        );
        let completed = ended(Phase::Completed, "");
        assert_eq!(kind(&completed), Some(ErrorKind::TooLate));
    }
}
