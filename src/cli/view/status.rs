//! Migrations that are remembered: one line each, or one in full.

use jiff::Timestamp;

use super::{absence, bare, pairs};
use crate::api::{Phase, conditions};
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::migration::record::Record;
use crate::migration::summary::{TIMED_PHASES, phase_seconds, seconds_text};

/// Shown where nothing is known.
const NOTHING: &str = "-";

/// A line a migration; `wide` for more columns.
#[must_use]
pub fn list(records: &[Record], wide: bool, now: Timestamp) -> String {
    let mut header = vec!["NAME", "POD", "FROM", "TO", "STRATEGY", "PHASE", "AGE"];
    if wide {
        header.extend(["DOWNTIME", "REPLAYED", "TOTAL", "MESSAGE"]);
    }
    let mut table = bare();
    table.set_header(header);
    for record in records {
        table.add_row(row(record, wide, now));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn row(record: &Record, wide: bool, now: Timestamp) -> Vec<String> {
    let status = &record.status;
    let mut row = vec![
        record.name.clone(),
        record.spec.source_pod.clone(),
        or_nothing(status.source_node.as_deref()),
        or_nothing(target_node(record)),
        or_nothing(strategy(record).as_deref()),
        if is_stuck(record) {
            "Stuck".to_owned()
        } else {
            phase(record).to_string()
        },
        format::age(record.created, now),
    ];
    if wide {
        let receipt = status.receipt.as_ref();
        row.extend([
            or_nothing(receipt.map(|receipt| receipt.downtime.as_str())),
            or_nothing(
                receipt
                    .map(|receipt| receipt.messages_replayed.to_string())
                    .as_deref(),
            ),
            or_nothing(receipt.map(|receipt| receipt.total.as_str())),
            // One line is one migration.
            or_nothing(status.message.as_deref()).replace('\n', " "),
        ]);
    }
    row
}

fn or_nothing(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or(NOTHING)
        .to_owned()
}

fn phase(record: &Record) -> Phase {
    record.status.phase.unwrap_or_default()
}

fn is_stuck(record: &Record) -> bool {
    record.status.condition_holds(conditions::STUCK)
}

fn target_node(record: &Record) -> Option<&str> {
    let settled = record.status.target_node.as_deref();
    settled.or(record.spec.target_node.as_deref())
}

fn strategy(record: &Record) -> Option<String> {
    let settled = record.status.strategy.or(record.spec.migration_strategy);
    settled.map(|strategy| strategy.to_string())
}

/// One migration in full. `worker` is who works on it, as far as that is known.
#[must_use]
pub fn details(record: &Record, worker: &Worker, paint: Paint, now: Timestamp) -> String {
    let mut parts = vec![facts(record, worker, paint, now), timeline(record, paint)];
    if !record.status.conditions.is_empty() {
        parts.push(format!(
            "{}\n{}",
            paint.tone(Tone::Strong, "Conditions"),
            holds(record)
        ));
    }
    if let Some(next) = next(record, worker) {
        parts.push(format!("{}\n  {next}", paint.tone(Tone::Strong, "Next")));
    }
    parts.join("\n\n")
}

/// Who works on a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    /// It cannot be seen, or the migration has ended.
    Unknown,
    /// No process does.
    Nobody,
    /// This one, as `process 12 on host-a`.
    Somebody(String),
}

fn facts(record: &Record, worker: &Worker, paint: Paint, now: Timestamp) -> String {
    let spec = &record.spec;
    let status = &record.status;
    let queue = &spec.message_queue_config;
    let container = status.container.as_ref().or(spec.container_name.as_ref());
    let mut rows = vec![
        ("Name", format!("{}/{}", record.namespace, record.name)),
        ("Phase", toned_phase(record, paint)),
        (
            "Pod",
            match container {
                Some(container) => format!("{} (container {container})", spec.source_pod),
                None => spec.source_pod.clone(),
            },
        ),
        ("From", or_nothing(status.source_node.as_deref())),
        ("To", or_nothing(target_node(record))),
        ("Target", or_nothing(status.target_pod.as_deref())),
        ("Strategy", or_nothing(strategy(record).as_deref())),
        (
            "Queue",
            format!(
                "{} (exchange {}, key {:?})",
                queue.queue_name, queue.exchange_name, queue.routing_key
            ),
        ),
        ("Broker", queue.broker_url.clone()),
        (
            "Image",
            status
                .checkpoint_image
                .clone()
                .unwrap_or_else(|| spec.checkpoint_image_repository.clone()),
        ),
        (
            "Created",
            format!(
                "{} ({} ago)",
                record.created,
                format::age(record.created, now)
            ),
        ),
    ];
    if let Some(receipt) = &status.receipt {
        rows.extend([
            (
                "Downtime",
                format!(
                    "{} = {} around the checkpoint{} + {} around the handoff",
                    receipt.downtime,
                    receipt.cut_pause,
                    absence(&receipt.absence_pause),
                    receipt.handoff_pause
                ),
            ),
            (
                "Replayed",
                format!(
                    "{} ({})",
                    format::counted(receipt.messages_replayed, "message"),
                    receipt.messages_replayed_by
                ),
            ),
            (
                "Archive",
                format!(
                    "{}, {} as a layer",
                    format::bytes(receipt.archive_bytes),
                    format::bytes(receipt.layer_bytes)
                ),
            ),
        ]);
    }
    match worker {
        Worker::Unknown => {}
        Worker::Nobody => rows.push(("Held by", "no process: it was left".to_owned())),
        Worker::Somebody(who) => rows.push(("Held by", who.clone())),
    }
    if let Some(message) = &status.message {
        rows.push(("Message", message.clone()));
    }
    pairs(&rows)
}

fn toned_phase(record: &Record, paint: Paint) -> String {
    if is_stuck(record) {
        let text = format!("{}, stuck in its roll-back", phase(record));
        return paint.tone(Tone::Bad, &text);
    }
    let tone = match phase(record) {
        Phase::Completed => Tone::Good,
        Phase::Failed => Tone::Bad,
        _ => Tone::Warning,
    };
    paint.tone(tone, phase(record).name())
}

/// The phases with their times, drawn to scale.
fn timeline(record: &Record, paint: Paint) -> String {
    const WIDTH: f64 = 30.0;
    let seconds = phase_seconds(&record.status.phase_timings);
    let total: f64 = seconds.iter().map(|(_, seconds)| seconds).sum();
    let current = phase(record);
    let lines = TIMED_PHASES.iter().map(|phase| {
        let known = seconds.iter().find(|(other, _)| other == phase);
        let (mark, rest) = match known {
            Some((_, seconds)) => {
                let bar = bar(seconds / total.max(f64::EPSILON) * WIDTH);
                ("✓", format!("{:>9}  {bar}", seconds_text(*seconds)))
            }
            None if *phase == current => ("▸", "under way".to_owned()),
            None => ("·", String::new()),
        };
        format!("  {mark} {:13}  {rest}", phase.name())
            .trim_end()
            .to_owned()
    });
    let lines: Vec<String> = lines.collect();
    format!(
        "{}\n{}",
        paint.tone(Tone::Strong, "Phases"),
        lines.join("\n")
    )
}

/// A bar of at least a sliver.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bar(length: f64) -> String {
    let whole = length.clamp(0.0, 100.0).round() as usize;
    if whole == 0 {
        "▏".to_owned()
    } else {
        "█".repeat(whole)
    }
}

fn holds(record: &Record) -> String {
    let mut table = bare();
    for condition in &record.status.conditions {
        table.add_row(vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            condition.message.replace('\n', " "),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    table.trim_fmt()
}

/// What there is to do about it, if anything.
fn next(record: &Record, worker: &Worker) -> Option<String> {
    let (pod, namespace) = (&record.spec.source_pod, &record.namespace);
    let (abort, resume) = (record.abort_command(), record.resume_command());
    match phase(record) {
        Phase::Completed => None,
        Phase::Failed if record.has_lost_target() => {
            Some("nobody serves: start the pod again as after a crash".to_owned())
        }
        Phase::Failed => Some(format!(
            "{pod} serves as before; try again: ms2m migrate {pod} -n {namespace}"
        )),
        _ if is_stuck(record) => Some(format!(
            "once the reason in the message is gone, this undoes the rest: {abort}"
        )),
        _ => Some(match worker {
            Worker::Somebody(_) => format!("to have it rolled back: {abort}"),
            Worker::Nobody => {
                format!("to go on with it: {resume}\n  to roll it back: {abort}")
            }
            Worker::Unknown => format!(
                "if no process works on it any more, to go on with it: {resume}\n  \
                 to roll it back, whoever works on it: {abort}"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::{
        MessageQueueConfig, Receipt, StatefulMigrationSpec, StatefulMigrationStatus, Strategy,
    };

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

    fn completed() -> Record {
        let mut record = record("worker-0-aaaaa", Phase::Completed);
        record.status.receipt = Some(Receipt {
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
        insta::assert_snapshot!(list(&records, false, time(90)), @r"
        NAME            POD       FROM    TO      STRATEGY   PHASE      AGE
        worker-0-aaaaa  worker-0  node-a  node-b  ShadowPod  Completed  90s
        worker-0-bbbbb  worker-0  node-a  node-b  ShadowPod  Failed     90s
        worker-0-c      worker-0  -       node-b  -          Pending    90s
        ");
        insta::assert_snapshot!(list(&records, true, time(90)), @r"
        NAME            POD       FROM    TO      STRATEGY   PHASE      AGE  DOWNTIME  REPLAYED  TOTAL   MESSAGE
        worker-0-aaaaa  worker-0  node-a  node-b  ShadowPod  Completed  90s  0.480s    312       5.200s  the target serves
        worker-0-bbbbb  worker-0  node-a  node-b  ShadowPod  Failed     90s  -         -         -       failed to restore: image not known
        worker-0-c      worker-0  -       node-b  -          Pending    90s  -         -         -       -
        ");
    }

    #[test]
    fn one_that_is_complete_shows_its_receipt() {
        insta::assert_snapshot!(details(&completed(), &Worker::Unknown, Paint(false), time(90)), @r#"
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
        Message   the target serves

        Phases
          ✓ Pending           0.120s  ████
          ✓ Checkpointing     0.780s  ██████████████████████████
          · Transferring
          · Restoring
          · Replaying
          · Finalizing

        Conditions
          Checkpointed  True  ArchiveWritten  the kubelet has written the archive
        "#);
    }

    #[test]
    fn one_that_is_under_way_says_how_to_go_on() {
        let shown = details(
            &record("m", Phase::Transferring),
            &Worker::Nobody,
            Paint(false),
            time(90),
        );
        let (_, shown) = shown.split_once("Phases").expect("it has that part");
        insta::assert_snapshot!(shown, @r"
          ✓ Pending           0.120s  ████
          ✓ Checkpointing     0.780s  ██████████████████████████
          ▸ Transferring   under way
          · Restoring
          · Replaying
          · Finalizing

        Conditions
          Checkpointed  True  ArchiveWritten  the kubelet has written the archive

        Next
          to go on with it: ms2m migrate --resume m -n default
          to roll it back: ms2m abort m -n default
        ");
    }

    #[test]
    fn who_works_on_it_decides_what_to_type() {
        let record = record("m", Phase::Transferring);
        let shown = |worker: &Worker| details(&record, worker, Paint(false), time(90));
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
        let line = list(std::slice::from_ref(&record), false, time(90));
        assert!(line.contains(" Stuck "), "{line}");
        let shown = details(&record, &Worker::Nobody, Paint(false), time(90));
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
        let shown = details(&failed(), &Worker::Unknown, Paint(false), time(90));
        assert!(
            shown.ends_with(
                "worker-0 serves as before; try again: ms2m migrate worker-0 -n default"
            )
        );
    }
}
