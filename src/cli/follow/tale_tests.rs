//! The tale that records tell.

use jiff::Timestamp;

use super::tale::Tale;
use crate::api::{HandoffStage, HandoffStatus, Phase, UndoStep, conditions};
use crate::cli::commands::which::tests::record as plain;
use crate::migration::event::EventKind;
use crate::migration::record::Record;
use crate::migration::summary::TIMED_PHASES;

fn record(phase: Phase, timings: &[Phase]) -> Record {
    let mut record = plain("m", "w");
    let status = &mut record.status;
    status.phase = Some(phase);
    status.source_pod_uid = Some("uid".to_owned());
    status.source_node = Some("node-a".to_owned());
    status.target_node = Some("node-b".to_owned());
    status.phase_timings = timings
        .iter()
        .map(|phase| (phase.name().to_owned(), "1.000s".to_owned()))
        .collect();
    record
}

fn stage(record: &mut Record, stage: HandoffStage, aborting: bool, undo: UndoStep) {
    record.status.handoff = Some(HandoffStatus {
        stage,
        aborting,
        undo,
        ..HandoffStatus::default()
    });
}

fn lines(events: Vec<EventKind>) -> String {
    let line = |kind: EventKind| match kind {
        EventKind::Started { from, to, back, .. } => format!("started {from} {to} {back}"),
        EventKind::PhaseStarted { phase } => format!("> {phase}"),
        EventKind::PhaseFinished { phase, seconds } => format!("< {phase} {seconds}"),
        EventKind::Step { phase, what } => format!("{phase}: {what}"),
        EventKind::UndoStarted { reason } => format!("undo: {reason}"),
        EventKind::Undone { what } => format!("undone: {what}"),
        EventKind::UndoFailed { what, cause } => format!("{what}: {cause}"),
        EventKind::Committed => "committed".to_owned(),
        EventKind::Completed { .. } => "completed".to_owned(),
        EventKind::Failed { error } => format!("failed: {error}"),
        other => format!("{other:?}"),
    };
    events.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn phases_that_were_passed_between_two_looks_are_told_in_order() {
    let mut tale = Tale::default();
    assert_eq!(lines(tale.next(&plain("m", "w"))), "");
    let mut now = record(Phase::Transferring, &[Phase::Pending, Phase::Checkpointing]);
    let time = Timestamp::UNIX_EPOCH;
    let status = &mut now.status;
    status.set_condition(conditions::CHECKPOINTED, true, "R", "written", time);
    stage(
        &mut now,
        HandoffStage::SourceDiverted,
        false,
        UndoStep::default(),
    );
    insta::assert_snapshot!(lines(tale.next(&now)), @r"
    started node-a node-b false
    > Pending
    < Pending 1
    > Checkpointing
    Checkpointing: written
    < Checkpointing 1
    > Transferring
    Transferring: the source serves from its replay queue
    ");
    assert_eq!(lines(tale.next(&now)), "", "nothing is told twice");
    let mut end = record(Phase::Completed, &TIMED_PHASES);
    end.status.conditions = now.status.conditions.clone();
    stage(
        &mut end,
        HandoffStage::Dismantled,
        false,
        UndoStep::default(),
    );
    insta::assert_snapshot!(lines(tale.next(&end)), @r"
    < Transferring 1
    > Restoring
    < Restoring 1
    > Replaying
    < Replaying 1
    > Finalizing
    < Finalizing 1
    committed
    completed
    ");
}

#[test]
fn a_roll_back_is_told_step_by_step() {
    let mut tale = Tale::default();
    let mut now = record(Phase::Restoring, &[Phase::Pending]);
    now.status.message = Some("image not known".to_owned());
    tale.next(&record(Phase::Restoring, &[Phase::Pending]));
    stage(
        &mut now,
        HandoffStage::SourceDiverted,
        true,
        UndoStep::RemoveTarget,
    );
    assert_eq!(lines(tale.next(&now)), "undo: image not known");
    stage(
        &mut now,
        HandoffStage::SourceDiverted,
        true,
        UndoStep::Return,
    );
    insta::assert_snapshot!(lines(tale.next(&now)), @r"
    undone: the target is removed
    undone: the source has what was published meanwhile
    undone: the gate is open again
    ");
    let mut end = record(Phase::Failed, &[Phase::Pending, Phase::Restoring]);
    end.status.message = Some("image not known".to_owned());
    insta::assert_snapshot!(lines(tale.next(&end)), @r"
    < Restoring 1
    failed: migration m of pod w has failed: a restore is made on the image that the source container was made of, which CRI-O never pulls for it (image not known)
    ");
}

#[test]
fn whoever_comes_late_is_told_the_same() {
    let mut end = record(Phase::Failed, &[Phase::Pending, Phase::Restoring]);
    end.status.message = Some("image not known".to_owned());
    insta::assert_snapshot!(lines(Tale::default().next(&end)), @r"
    started node-a node-b false
    > Pending
    < Pending 1
    > Restoring
    undo: image not known
    < Restoring 1
    failed: migration m of pod w has failed: a restore is made on the image that the source container was made of, which CRI-O never pulls for it (image not known)
    ");
    let mut refused = plain("m", "w");
    refused.status.phase = Some(Phase::Failed);
    refused.status.message = Some("there is no pod w".to_owned());
    assert_eq!(
        lines(Tale::default().next(&refused)),
        "failed: migration m of pod w was refused: there is no pod w"
    );
}

#[test]
fn why_it_waits_is_told_once_for_each_reason() {
    let mut tale = Tale::default();
    let waiting = |message: &str| {
        let mut record = plain("m", "w");
        record.status.set_condition(
            conditions::ACCEPTED,
            false,
            conditions::reasons::QUEUED,
            message,
            Timestamp::UNIX_EPOCH,
        );
        record.status.conditions[0].status = "Unknown".to_owned();
        record
    };
    let mut told = |record: &Record| tale.next(record).len();
    assert_eq!(told(&waiting("5 are under way")), 1);
    assert_eq!(told(&waiting("5 are under way")), 0);
    assert_eq!(told(&waiting("the broker cannot be reached")), 1);
    assert_eq!(told(&plain("m", "w")), 0);
}
