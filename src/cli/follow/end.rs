//! What a migration came to that somebody else has carried out: the same results, words and exit
//! codes as if it had been carried out here. Pure.

use crate::api::conditions::{self, reasons};
use crate::api::{HandoffStage, Phase};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::record::Record;
use crate::migration::summary::Summary;

/// What `record` came to; none while it has not ended.
#[must_use]
pub(in crate::cli) fn of(record: &Record) -> Option<Result<Summary, Error>> {
    match record.status.phase? {
        Phase::Completed => Some(Ok(Summary::of(record))),
        Phase::Failed => Some(Err(failed(record))),
        _ => None,
    }
}

/// Why it has failed.
fn failed(record: &Record) -> Error {
    let (name, pod) = (&record.name, &record.spec.source_pod);
    let kind = kind(record);
    let what = match kind {
        ErrorKind::SourceLost => format!("migration {name} of pod {pod} has lost its source"),
        ErrorKind::TargetLost => format!("migration {name} of pod {pod} has lost its target"),
        ErrorKind::Unfinished => format!("migration {name} of pod {pod} could not be finished"),
        ErrorKind::Refused if has_failed_for(record, reasons::ABORTED) => {
            format!("migration {name} of pod {pod} was aborted before it had begun")
        }
        ErrorKind::Refused => format!("migration {name} of pod {pod} was refused"),
        _ => format!("migration {name} of pod {pod} has failed"),
    };
    let mut error = because(Error::new(kind, what), record);
    if matches!(kind, ErrorKind::InDoubt | ErrorKind::SourceLost) {
        error.left = doubts(record).to_vec();
    }
    match kind {
        ErrorKind::SourceLost | ErrorKind::TargetLost => {
            error.hint("start the pod again as after a crash")
        }
        ErrorKind::Unfinished => error,
        _ => error.hint(format!(
            "once the reason is gone: ms2m retry {name} -n {}",
            record.namespace
        )),
    }
}

/// That its roll-back has failed.
#[must_use]
pub(in crate::cli) fn stuck(record: &Record) -> Error {
    let what = format!(
        "migration {} of pod {} is stuck in its roll-back",
        record.name, record.spec.source_pod
    );
    because(Error::new(ErrorKind::Stuck, what), record).hint(format!(
        "once the reason is gone, this undoes the rest: {}",
        record.abort_command()
    ))
}

fn because(error: Error, record: &Record) -> Error {
    let conditions = &record.status.conditions;
    let failed = conditions
        .iter()
        .find(|condition| condition.type_ == conditions::FAILED && condition.status == "True")
        .map(|condition| condition.message.as_str());
    let message = record.status.message.as_deref();
    match message.or(failed).filter(|text| !text.is_empty()) {
        Some(text) => error.because(text),
        None => error,
    }
}

/// What speaks against each message having been applied exactly once and in order.
fn doubts(record: &Record) -> &[String] {
    let receipt = record.status.receipt.as_ref();
    receipt.map_or(&[], |receipt| &receipt.doubts)
}

fn has_failed_for(record: &Record, reason: &str) -> bool {
    let mut conditions = record.status.conditions.iter();
    conditions.any(|condition| condition.type_ == conditions::FAILED && condition.reason == reason)
}

fn kind(record: &Record) -> ErrorKind {
    if let Some(lost) = record.lost() {
        return lost;
    }
    let status = &record.status;
    let failed = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == conditions::FAILED);
    let stage = status.handoff.as_ref().map(|handoff| handoff.stage);
    match failed.map(|condition| condition.reason.as_str()) {
        Some(reasons::REFUSED | reasons::ABORTED) => ErrorKind::Refused,
        // Nothing was touched, so nothing was rolled back.
        _ if !record.is_begun() => ErrorKind::Refused,
        Some(reasons::ROLLED_BACK) if !doubts(record).is_empty() => ErrorKind::InDoubt,
        Some(reasons::ROLLED_BACK) => ErrorKind::RolledBack,
        // A reason of somebody else's.
        _ if stage.is_some_and(HandoffStage::is_committed) => ErrorKind::Unfinished,
        _ => ErrorKind::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::HandoffStatus;
    use crate::cli::commands::which::tests::record;

    fn failed_with(reason: &str, begun: bool) -> Record {
        let mut record = record("m", "w");
        let status = &mut record.status;
        status.phase = Some(Phase::Failed);
        status.source_pod_uid = begun.then(|| "uid".to_owned());
        let now = Timestamp::UNIX_EPOCH;
        status.set_condition(conditions::FAILED, true, reason, "words", now);
        record
    }

    fn kind_of(record: &Record) -> ErrorKind {
        let end = of(record).expect("it has ended");
        end.expect_err("it has failed").kind
    }

    #[test]
    fn each_end_has_the_kind_that_migrate_gives_it() {
        for (reason, begun, kind) in [
            (reasons::ROLLED_BACK, true, ErrorKind::RolledBack),
            (reasons::ROLLED_BACK, false, ErrorKind::Refused),
            (reasons::SOURCE_LOST, true, ErrorKind::SourceLost),
            (reasons::TARGET_LOST, true, ErrorKind::TargetLost),
            (reasons::REFUSED, true, ErrorKind::Refused),
            (reasons::ABORTED, false, ErrorKind::Refused),
            ("SomethingNew", true, ErrorKind::RolledBack),
            ("SomethingNew", false, ErrorKind::Refused),
        ] {
            assert_eq!(kind_of(&failed_with(reason, begun)), kind, "{reason}");
        }
        let mut committed = failed_with("SomethingNew", true);
        committed.status.handoff = Some(HandoffStatus {
            stage: HandoffStage::Reopened,
            ..HandoffStatus::default()
        });
        assert_eq!(kind_of(&committed), ErrorKind::Unfinished);
        let mut doubtful = failed_with(reasons::ROLLED_BACK, true);
        let doubts = vec!["a broker was killed".to_owned()];
        doubtful.status.receipt.get_or_insert_default().doubts = doubts.clone();
        assert_eq!(kind_of(&doubtful), ErrorKind::InDoubt);
        assert_eq!(failed(&doubtful).left, doubts);
    }

    #[test]
    fn the_reason_is_in_the_words() {
        let record = failed_with(reasons::ROLLED_BACK, true);
        let error = failed(&record);
        assert_eq!(error.to_string(), "migration m of pod w has failed: words");
        assert_eq!(
            error.hints,
            ["once the reason is gone: ms2m retry m -n default"]
        );
        assert!(of(&crate::cli::commands::which::tests::record("m", "w")).is_none());
    }
}
