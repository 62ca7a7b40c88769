//! What there is to do about a migration.

use jiff::Timestamp;

use super::{Detail, Worker, is_stuck, phase};
use crate::api::{Phase, StatefulMigrationStatus};
use crate::cluster::CONTROLLER_LABEL;
use crate::cluster::migrations::Driver;
use crate::migration::record::Record;

/// A controller takes less to take a migration up.
const SOON: i64 = 30;

/// What there is to do about it, if anything.
pub(super) fn next(detail: &Detail<'_>, now: Timestamp) -> Option<String> {
    let record = detail.record;
    let (name, pod, namespace) = (&record.name, &record.spec.source_pod, &record.namespace);
    match phase(record) {
        Phase::Completed => None,
        Phase::Failed if record.lost().is_some() => {
            Some("nobody serves: start the pod again as after a crash".to_owned())
        }
        Phase::Failed => {
            let again = match detail.driver {
                Driver::Controller => format!("ms2m retry {name} -n {namespace}"),
                Driver::Cli => format!("ms2m migrate {pod} -n {namespace}"),
            };
            Some(format!("{pod} serves as before; try again: {again}"))
        }
        _ => Some(match detail.driver {
            Driver::Controller => by_controller(record, now),
            Driver::Cli => by_cli(record, &detail.worker),
        }),
    }
}

/// Of one that the controller carries out: there is no lock to take, and nothing to go on with.
fn by_controller(record: &Record, now: Timestamp) -> String {
    let (name, namespace) = (&record.name, &record.namespace);
    let abort = record.abort_command();
    let taken_up = record.status != StatefulMigrationStatus::default();
    let watch = format!("to follow it: ms2m watch {name} -n {namespace}");
    if is_stuck(record) {
        return format!(
            "the controller goes on with the roll-back once the reason in the message is gone\n  {watch}"
        );
    }
    let nobody = if !taken_up && now.duration_since(record.created).as_secs() >= SOON {
        format!(
            "no controller has taken it up; is there one? kubectl get pods -A -l {CONTROLLER_LABEL}\n  "
        )
    } else {
        String::new()
    };
    if record.spec.abort == Some(true) {
        return format!("{nobody}it is to be rolled back already\n  {watch}");
    }
    format!("{nobody}{watch}\n  to roll it back: {abort}")
}

fn by_cli(record: &Record, worker: &Worker) -> String {
    let (abort, resume) = (record.abort_command(), record.resume_command());
    if is_stuck(record) {
        return format!("once the reason in the message is gone, this undoes the rest: {abort}");
    }
    match worker {
        Worker::Somebody(_) => format!(
            "to follow it: ms2m watch {} -n {}\n  to have it rolled back: {abort}",
            record.name, record.namespace
        ),
        Worker::Nobody => format!("to go on with it: {resume}\n  to roll it back: {abort}"),
        Worker::Unknown => format!(
            "if no process works on it any more, to go on with it: {resume}\n  \
             to roll it back, whoever works on it: {abort}"
        ),
    }
}
