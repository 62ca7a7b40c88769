//! Carries out a migration that somebody has asked for by making its record: the way in for a
//! process that serves many. It begins the migration, goes on with it, or refuses it in the record.
//!
//! What another process has left of a command's own migration is in [`super::recover`].

use super::engine::{Engine, unreadable};
use super::error::{Error, ErrorKind};
use super::event::{Event, EventKind, Reporter};
use super::plan::{Plan, Request};
use super::ports::{Clock, Journal};
use super::record::Record;
use super::recover::ended_as;
use super::steps::Run;
use super::summary::Summary;
use crate::api::{Phase, Time, conditions};

impl Engine {
    /// Carries `given` out, from wherever it stands to its end. One that was not begun and cannot
    /// be is `Failed` afterwards, with the reason in its conditions; one that cannot be begun in
    /// passing stays as it is, and so does one whose spec is not the given one any more.
    ///
    /// # Errors
    /// As [`Engine::migrate`]. [`Error::passing`] says that it is worth another try.
    pub async fn carry_out(&self, given: &Record) -> Result<Summary, Error> {
        let (record, lock) = self.take_up(given).await?;
        if !record.is_unfinished() {
            let _ = lock.release().await;
            return ended_as(&record);
        }
        if record.spec.without_abort() != given.spec.without_abort() {
            // Lock, broker and registry are those of the spec before.
            let _ = lock.release().await;
            let words = format!(
                "the spec of migration {} was changed a moment ago",
                record.name
            );
            return Err(Error::refused(words).in_passing(true));
        }
        if record.is_begun() {
            return self.run(record, lock, true).await;
        }
        match self.accept(record).await {
            Ok(record) => self.run(record, lock, false).await,
            Err(error) => {
                let _ = lock.release().await;
                Err(error)
            }
        }
    }

    /// With the lock in hand: plans, and remembers the plan.
    async fn accept(&self, mut record: Record) -> Result<Record, Error> {
        let planned = if self.stop.is_cancelled() {
            Err(aborted(&record))
        } else {
            self.plan_of(&record).await
        };
        match planned {
            Ok(plan) => {
                for message in &plan.warnings {
                    self.warn(&record, message);
                }
                take_over_plan(&mut record, &plan, self.ports.clock.now());
            }
            Err(error) if error.passing => return Err(error),
            Err(error) => {
                let ports = &self.ports;
                refuse(
                    &*ports.journal,
                    &*self.reporter,
                    &*ports.clock,
                    record,
                    &error,
                )
                .await?;
                return Err(error);
            }
        }
        self.save(&record).await?;
        Ok(record)
    }

    async fn plan_of(&self, record: &Record) -> Result<Plan, Error> {
        self.plan_afresh(&request_of(record)).await
    }

    fn warn(&self, record: &Record, message: &str) {
        self.report(Event {
            time: self.ports.clock.now(),
            migration: record.name.clone(),
            kind: EventKind::Warning {
                message: message.to_owned(),
            },
        });
    }

    async fn save(&self, record: &Record) -> Result<(), Error> {
        let saved = self.ports.journal.save(record).await;
        saved.map_err(|error| unreadable("the journal", &error))
    }
}

/// Ends, in its record, a migration that was not begun.
///
/// # Errors
/// The journal cannot be written.
pub async fn refuse(
    journal: &dyn Journal,
    reporter: &dyn Reporter,
    clock: &dyn Clock,
    mut record: Record,
    error: &Error,
) -> Result<(), Error> {
    note_refusal(&mut record, error, clock.now());
    let saved = journal.save(&record).await;
    saved.map_err(|error| unreadable("the journal", &error))?;
    reporter.report(Event {
        time: clock.now(),
        migration: record.name.clone(),
        kind: EventKind::Failed {
            error: Box::new(error.clone()),
        },
    });
    Ok(())
}

fn request_of(record: &Record) -> Request {
    Request {
        name: record.name.clone(),
        namespace: record.namespace.clone(),
        spec: record.spec.clone(),
    }
}

/// Puts what was planned into the record.
fn take_over_plan(record: &mut Record, plan: &Plan, now: jiff::Timestamp) {
    let planned = Run::new_record(&request_of(record), plan, now).status;
    let before = std::mem::replace(&mut record.status, planned);
    record.status.observed_generation = before.observed_generation;
    for condition in &mut record.status.conditions {
        condition.observed_generation = before.observed_generation;
    }
}

/// Puts into the record that it was refused.
fn note_refusal(record: &mut Record, error: &Error, now: jiff::Timestamp) {
    let reason = match error.kind {
        ErrorKind::Interrupted => conditions::reasons::ABORTED,
        _ => conditions::reasons::REFUSED,
    };
    let text = error.line();
    let status = &mut record.status;
    status.phase = Some(Phase::Failed);
    status.message = Some(text.clone());
    status.start_time.get_or_insert(Time(now));
    status.completion_time = Some(Time(now));
    status.set_condition(conditions::ACCEPTED, false, reason, &text, now);
    status.set_condition(conditions::FAILED, true, reason, &text, now);
}

fn aborted(record: &Record) -> Error {
    Error::new(
        ErrorKind::Interrupted,
        format!("migration {} was aborted before it had begun", record.name),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{StatefulMigrationSpec, StatefulMigrationStatus};

    #[test]
    fn a_refusal_says_in_the_record_what_to_do() {
        let mut record = Record {
            name: "m".to_owned(),
            namespace: "shop".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            spec: StatefulMigrationSpec::sample("w"),
            status: StatefulMigrationStatus {
                observed_generation: Some(3),
                ..StatefulMigrationStatus::default()
            },
        };
        let error = Error::refused("pod w is a DaemonSet's").hint("move nothing");
        note_refusal(&mut record, &error, Timestamp::UNIX_EPOCH);
        assert!(!record.is_unfinished() && !record.is_begun());
        let text = "pod w is a DaemonSet's; move nothing; see: ms2m explain refused";
        assert_eq!(record.status.message.as_deref(), Some(text));
        for condition in &record.status.conditions {
            assert_eq!(condition.reason, conditions::reasons::REFUSED);
            assert_eq!(condition.observed_generation, Some(3));
        }
        assert!(record.status.condition_holds(conditions::FAILED));
        assert!(!record.status.condition_holds(conditions::ACCEPTED));
    }
}
