//! One migration in full.

use jiff::Timestamp;

use super::super::{absence, bare, pairs};
use super::next::next;
use super::{is_stuck, or_nothing, phase, strategy, target_node};
use crate::api::{Phase, Receipt};
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::cluster::migrations::{Driver, Told};
use crate::migration::estimate::COMPARED;
use crate::migration::record::Record;
use crate::migration::summary::{TIMED_PHASES, phase_seconds, seconds_text};

/// What there is to know of one migration.
#[derive(Debug, Clone)]
pub struct Detail<'a> {
    /// What is remembered of it.
    pub record: &'a Record,
    /// Who works on it, as far as that is known.
    pub worker: Worker,
    /// Who carries it out.
    pub driver: Driver,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The migration that it is a retry of.
    pub retry_of: Option<&'a str>,
    /// What happened to it as Kubernetes tells, oldest first.
    pub events: &'a [Told],
}

/// One migration in full.
#[must_use]
pub fn details(detail: &Detail<'_>, paint: Paint, now: Timestamp) -> String {
    let record = detail.record;
    let mut parts = vec![facts(detail, paint, now), timeline(record, paint)];
    if !record.status.estimate.is_empty() {
        parts.push(beside(record, paint));
    }
    let mut part = |title: &str, text: String| {
        parts.push(format!("{}\n{text}", paint.tone(Tone::Strong, title)));
    };
    if !record.status.conditions.is_empty() {
        part("Conditions", holds(record, now));
    }
    if !detail.events.is_empty() {
        part("Events", told(detail.events, now));
    }
    if let Some(next) = next(detail, now) {
        part("Next", format!("  {next}"));
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

fn facts(detail: &Detail<'_>, paint: Paint, now: Timestamp) -> String {
    let record = detail.record;
    let spec = &record.spec;
    let status = &record.status;
    let queue = &spec.message_queue_config;
    let container = status.container.as_ref().or(spec.container_name.as_ref());
    let mut rows = vec![
        ("Name", format!("{}/{}", record.namespace, record.name)),
        ("Phase", toned_phase(detail, paint)),
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
    for doubt in status.receipt.iter().flat_map(|receipt| &receipt.doubts) {
        rows.push(("In doubt", doubt.clone()));
    }
    rows.push(("Driver", driver_words(detail.driver).to_owned()));
    if let Some(before) = detail.retry_of {
        rows.push(("Retry of", before.to_owned()));
    }
    match &detail.worker {
        Worker::Unknown => {}
        Worker::Nobody if detail.driver == Driver::Controller => {
            rows.push(("Held by", "no process at the moment".to_owned()));
        }
        Worker::Nobody => rows.push(("Held by", "no process: it was left".to_owned())),
        Worker::Somebody(who) => rows.push(("Held by", who.clone())),
    }
    if let Some(message) = &status.message {
        rows.push(("Message", message.clone()));
    }
    pairs(&rows)
}

fn driver_words(driver: Driver) -> &'static str {
    match driver {
        Driver::Controller => "the controller",
        Driver::Cli => "the command line",
    }
}

fn toned_phase(detail: &Detail<'_>, paint: Paint) -> String {
    let record = detail.record;
    if detail.deleting {
        let text = format!("{}, being deleted", phase(record));
        return paint.tone(Tone::Warning, &text);
    }
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

/// What was thought of its times, beside what they were.
fn beside(record: &Record, paint: Paint) -> String {
    let status = &record.status;
    let receipt = status.receipt.as_ref();
    let lines = COMPARED.iter().filter_map(|name| {
        let thought = status.estimate.get(*name)?;
        let was = receipt.map_or("", |receipt| measured(receipt, name));
        let was = if was.is_empty() { "-" } else { was };
        Some(format!("  {name:15}  {thought:>9}  {was:>9}"))
    });
    let title = format!("{:17}  {:>9}  {:>9}", "Times", "estimate", "fact");
    let lines: Vec<String> = lines.collect();
    format!("{}\n{}", paint.tone(Tone::Strong, &title), lines.join("\n"))
}

/// The time in a receipt that an estimate has under this name.
fn measured<'a>(receipt: &'a Receipt, name: &str) -> &'a str {
    match name {
        "checkpoint" => &receipt.checkpoint_call,
        "transfer" => &receipt.transfer_run,
        "restore" => &receipt.restore_run,
        "reconnect" => &receipt.reconnect,
        "downtime" => &receipt.downtime,
        _ => &receipt.total,
    }
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

fn holds(record: &Record, now: Timestamp) -> String {
    let rows = record.status.conditions.iter().map(|condition| {
        vec![
            condition.type_.clone(),
            condition.status.clone(),
            format::age(condition.last_transition_time.0, now),
            condition.reason.clone(),
            condition.message.replace('\n', " "),
        ]
    });
    indented(rows)
}

fn told(events: &[Told], now: Timestamp) -> String {
    let rows = events.iter().map(|event| {
        let times = match event.count {
            0 | 1 => String::new(),
            count => format!(" (x{count})"),
        };
        vec![
            event
                .time
                .map_or_else(String::new, |time| format::age(time, now)),
            event.kind.clone(),
            event.reason.clone(),
            format!("{}{times}", event.message.replace('\n', " ")),
        ]
    });
    indented(rows)
}

fn indented(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = bare();
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    table.trim_fmt()
}
