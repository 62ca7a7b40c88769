//! How migrations read: lists and details.

use std::collections::BTreeMap;

use super::*;
use crate::api::{
    MessageQueueConfig, Receipt, StatefulMigrationSpec, StatefulMigrationStatus, Strategy,
};
use crate::cli::ui::Paint;
use crate::cluster::migrations::{Driver, Told};

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("it is in range")
}

fn record(name: &str, phase: Phase) -> Record {
    let mut status = StatefulMigrationStatus {
        phase: Some(phase),
        source_node: Some("node-a".to_owned()),
        target_node: Some("node-b".to_owned()),
        target_pod: Some("worker-0-shadow".to_owned()),
        container: Some("worker".to_owned()),
        strategy: Some(Strategy::ShadowPod),
        phase_timings: BTreeMap::from([
            ("Pending".to_owned(), "0.120s".to_owned()),
            ("Checkpointing".to_owned(), "0.780s".to_owned()),
        ]),
        ..StatefulMigrationStatus::default()
    };
    status.set_condition(
        conditions::CHECKPOINTED,
        true,
        conditions::reasons::ARCHIVE_WRITTEN,
        "the kubelet has written the archive",
        time(1),
    );
    Record {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        created: time(0),
        spec: StatefulMigrationSpec {
            target_node: Some("node-b".to_owned()),
            checkpoint_image_repository: "registry.example.com/checkpoints".to_owned(),
            message_queue_config: MessageQueueConfig {
                queue_name: "orders".to_owned(),
                broker_url: "amqp://mq.example.com".to_owned(),
                exchange_name: "events".to_owned(),
                routing_key: "orders.*".to_owned(),
                management_url: None,
                credentials: None,
            },
            ..StatefulMigrationSpec::sample("worker-0")
        },
        status,
    }
}

const WIDE: Columns = Columns {
    wide: true,
    namespace: false,
};

fn detail(record: &Record) -> Detail<'_> {
    Detail {
        record,
        worker: Worker::Unknown,
        driver: Driver::Controller,
        deleting: false,
        retry_of: None,
        events: &[],
    }
}

/// The details of one that the command line carries out.
fn cli(record: &Record, worker: Worker) -> String {
    let detail = Detail {
        worker,
        driver: Driver::Cli,
        ..detail(record)
    };
    details(&detail, Paint(false), time(90))
}

fn completed() -> Record {
    let mut record = record("worker-0-aaaaa", Phase::Completed);
    record.status.receipt = Some(Receipt {
        doubts: Vec::new(),
        downtime: "0.480s".to_owned(),
        cut_pause: "0.410s".to_owned(),
        absence_pause: String::new(),
        handoff_pause: "0.070s".to_owned(),
        downtime_by: "seen".to_owned(),
        messages_routed: 312,
        messages_replayed: 312,
        messages_left: 0,
        messages_replayed_by: "counted".to_owned(),
        archive_bytes: 104_857_600,
        layer_bytes: 41_943_040,
        checkpoint_call: "0.310s".to_owned(),
        transfer_run: "1.100s".to_owned(),
        restore_run: "0.350s".to_owned(),
        reconnect: "0.520s".to_owned(),
        total: "5.200s".to_owned(),
    });
    record.status.message = Some("the target serves".to_owned());
    record
}

fn failed() -> Record {
    let mut record = record("worker-0-bbbbb", Phase::Failed);
    record.status.set_condition(
        conditions::FAILED,
        true,
        conditions::reasons::ROLLED_BACK,
        "image not known",
        time(9),
    );
    record.status.message = Some("failed to restore:\nimage not known".to_owned());
    record
}

#[test]
fn a_line_is_a_migration() {
    let mut waiting = record("worker-0-c", Phase::Pending);
    waiting.status = StatefulMigrationStatus::default();
    let records = [completed(), failed(), waiting];
    insta::assert_snapshot!(list(&records, Columns::default(), time(90)), @r"
    NAME            POD       FROM    TO      STRATEGY   PHASE      AGE
    worker-0-aaaaa  worker-0  node-a  node-b  ShadowPod  Completed  90s
    worker-0-bbbbb  worker-0  node-a  node-b  ShadowPod  Failed     90s
    worker-0-c      worker-0  -       node-b  -          Pending    90s
    ");
    insta::assert_snapshot!(list(&records, WIDE, time(90)), @r"
    NAME            POD       FROM    TO      STRATEGY   PHASE      AGE  DOWNTIME  REPLAYED  TOTAL   MESSAGE
    worker-0-aaaaa  worker-0  node-a  node-b  ShadowPod  Completed  90s  0.480s    312       5.200s  the target serves
    worker-0-bbbbb  worker-0  node-a  node-b  ShadowPod  Failed     90s  -         -         -       failed to restore: image not known
    worker-0-c      worker-0  -       node-b  -          Pending    90s  -         -         -       -
    ");
}

#[test]
fn one_that_is_complete_shows_its_receipt() {
    insta::assert_snapshot!(cli(&completed(), Worker::Unknown), @r#"
    Name      default/worker-0-aaaaa
    Phase     Completed
    Pod       worker-0 (container worker)
    From      node-a
    To        node-b
    Target    worker-0-shadow
    Strategy  ShadowPod
    Queue     orders (exchange events, key "orders.*")
    Broker    amqp://mq.example.com
    Image     registry.example.com/checkpoints
    Created   2027-01-15T08:00:00Z (90s ago)
    Downtime  0.480s = 0.410s around the checkpoint + 0.070s around the handoff
    Replayed  312 messages (counted)
    Archive   100.00 MiB, 40.00 MiB as a layer
    Driver    the command line
    Message   the target serves

    Phases
      ✓ Pending           0.120s  ████
      ✓ Checkpointing     0.780s  ██████████████████████████
      · Transferring
      · Restoring
      · Replaying
      · Finalizing

    Conditions
      Checkpointed  True  89s  ArchiveWritten  the kubelet has written the archive
    "#);
}

#[test]
fn one_that_is_under_way_says_how_to_go_on() {
    let shown = cli(&record("m", Phase::Transferring), Worker::Nobody);
    let (_, shown) = shown.split_once("Phases").expect("it has that part");
    insta::assert_snapshot!(shown, @r"
      ✓ Pending           0.120s  ████
      ✓ Checkpointing     0.780s  ██████████████████████████
      ▸ Transferring   under way
      · Restoring
      · Replaying
      · Finalizing

    Conditions
      Checkpointed  True  89s  ArchiveWritten  the kubelet has written the archive

    Next
      to go on with it: ms2m migrate --resume m -n default
      to roll it back: ms2m abort m -n default
    ");
}

#[test]
fn who_works_on_it_decides_what_to_type() {
    let record = record("m", Phase::Transferring);
    let shown = |worker: &Worker| cli(&record, worker.clone());
    let held = shown(&Worker::Somebody("process 12 on host-a".to_owned()));
    assert!(held.contains("Held by   process 12 on host-a"), "{held}");
    assert!(!held.contains("--resume"), "{held}");
    assert!(held.contains("ms2m abort m"), "{held}");
    let unknown = shown(&Worker::Unknown);
    assert!(!unknown.contains("Held by"), "{unknown}");
    assert!(unknown.contains("if no process works on it"), "{unknown}");
}

#[test]
fn one_that_is_stuck_says_what_is_left_and_what_clears_it() {
    let mut record = record("m", Phase::Restoring);
    let text = "migration m is stuck half-way back: the broker is gone; left: queue q";
    let status = &mut record.status;
    let reason = conditions::reasons::UNDO_FAILED;
    status.set_condition(conditions::STUCK, true, reason, text, time(9));
    status.message = Some(text.to_owned());
    let line = list(std::slice::from_ref(&record), Columns::default(), time(90));
    assert!(line.contains(" Stuck "), "{line}");
    let shown = cli(&record, Worker::Nobody);
    for words in [
        "Phase     Restoring, stuck in its roll-back",
        "left: queue q",
        "this undoes the rest: ms2m abort m -n default",
    ] {
        assert!(shown.contains(words), "'{words}' is not in:\n{shown}");
    }
}

#[test]
fn one_that_failed_says_that_the_source_serves() {
    let shown = cli(&failed(), Worker::Unknown);
    assert!(
        shown.ends_with("worker-0 serves as before; try again: ms2m migrate worker-0 -n default")
    );
}

#[test]
fn one_of_the_controller_s_has_other_next_steps() {
    let record = record("m", Phase::Transferring);
    let events = [Told {
        time: Some(time(80)),
        kind: "Warning".to_owned(),
        reason: "Slow".to_owned(),
        message: "the registry\nanswers late".to_owned(),
        count: 3,
    }];
    let detail = Detail {
        worker: Worker::Nobody,
        retry_of: Some("before"),
        events: &events,
        ..detail(&record)
    };
    let shown = details(&detail, Paint(false), time(90));
    assert!(shown.contains("Retry of  before"), "{shown}");
    let (_, shown) = shown.split_once("Conditions").expect("it has that part");
    insta::assert_snapshot!(shown, @r"
      Checkpointed  True  89s  ArchiveWritten  the kubelet has written the archive

    Events
      10s  Warning  Slow  the registry answers late (x3)

    Next
      to follow it: ms2m watch m -n default
      to roll it back: ms2m abort m -n default
    ");
}

#[test]
fn what_is_to_be_done_about_one_of_the_controller_s_depends_on_how_it_stands() {
    let next = |record: &Record, now: i64| {
        let shown = details(&detail(record), Paint(false), time(now));
        let next = shown.split_once("Next\n").map(|(_, next)| next.to_owned());
        next.unwrap_or_default()
    };
    let mut waiting = record("m", Phase::Pending);
    waiting.status = StatefulMigrationStatus::default();
    assert!(!next(&waiting, 5).contains("no controller"));
    assert!(next(&waiting, 60).contains("no controller has taken it up"));
    let mut aborting = record("m", Phase::Restoring);
    aborting.spec.abort = Some(true);
    assert!(!next(&aborting, 5).contains("ms2m abort"));
    assert!(next(&failed(), 5).contains("try again: ms2m retry worker-0-bbbbb -n default"));
}

#[test]
fn the_namespace_comes_first() {
    let columns = Columns {
        wide: false,
        namespace: true,
    };
    let shown = list(&[completed()], columns, time(90));
    assert!(shown.starts_with("NAMESPACE  NAME"), "{shown}");
    assert!(shown.contains("\ndefault    worker-0-aaaaa"), "{shown}");
}

#[test]
fn what_was_thought_stands_beside_what_was() {
    let mut record = completed();
    let thought = [("checkpoint", "0.550s"), ("total", "4.000s")];
    let thought = thought.map(|(name, time)| (name.to_owned(), time.to_owned()));
    record.status.estimate = thought.into();
    let shown = cli(&record, Worker::Unknown);
    let (_, beside) = shown.split_once("Times").expect("it has that part");
    let (beside, _) = beside.split_once("\n\n").expect("it has an end");
    insta::assert_snapshot!(format!("Times{beside}"), @r"
    Times               estimate       fact
      checkpoint          0.550s     0.310s
      total               4.000s     5.200s
    ");
    record.status.receipt = None;
    assert!(cli(&record, Worker::Unknown).contains("0.550s          -"));
}
