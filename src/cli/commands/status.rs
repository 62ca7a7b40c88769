//! `ms2m status [NAME]`.

mod live;

use clap::Args;
use jiff::Timestamp;

use super::which::{self, Which};
use crate::api::RETRY_OF;
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::output::{Output, yaml};
use crate::cli::run::runtime;
use crate::cli::ui::{Paint, Ui, public_url, without_userinfo};
use crate::cli::view::status::{self as view, Columns, Detail, Worker};
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Entry, Told};
use crate::migration::ports::Journal;
use crate::migration::record::Record;

/// Show the migrations of a namespace, or one in full
///
/// Those that the controller carries out and those of the command line alike.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The migration to show in full; or a pod, for its latest one, as pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Option<Which>,

    /// List all of them, not only the latest 20 of those that have ended
    #[arg(short, long, conflicts_with = "name")]
    pub all: bool,

    /// Those of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,

    /// Go on showing changes, redrawn on a terminal, a line each elsewhere. One alone is followed by
    /// ms2m watch
    #[arg(short, long, conflicts_with = "name")]
    pub watch: bool,

    /// Those whose labels fit, as team=orders,tier!=test
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "name")]
    pub selector: Option<String>,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Shows them.
///
/// # Errors
/// The cluster cannot be reached, or there is no such migration.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &StatusArgs) -> Outcome {
    runtime()?.block_on(Box::pin(async {
        let reached = Reached::connect(global).await?;
        if args.watch {
            return live::watch(ui, &reached, args).await;
        }
        let migrations = reached.cluster.migrations(args.all_namespaces);
        let found = migrations
            .list(args.selector.as_deref())
            .await
            .map_err(|error| refused("failed to read the migrations", &error))?;
        let entries: Vec<Entry> = found.into_iter().map(public).collect();
        let Some(which) = &args.name else {
            return all(ui, &entries, &reached.namespace, args);
        };
        let entry = which::find(&entries, which, &reached.namespace)?;
        one(ui, &reached, entry, args.output).await
    }))
}

/// Without a password that somebody has left in a URL.
pub(super) fn public(mut entry: Entry) -> Entry {
    let queue = &mut entry.record.spec.message_queue_config;
    queue.broker_url = public_url(&queue.broker_url);
    queue.management_url = queue.management_url.as_deref().map(public_url);
    entry
}

/// Who works on it. That only helps, so whoever may not look at Leases does without.
async fn worker(reached: &Reached, record: &Record) -> Worker {
    if !record.is_unfinished() {
        return Worker::Unknown;
    }
    match reached.journal.holder(&record.spec.source_pod).await {
        Ok(Some(holder)) => Worker::Somebody(holder.who),
        Ok(None) => Worker::Nobody,
        Err(_) => Worker::Unknown,
    }
}

/// How many of those that have ended a list for people shows.
const ENDED: usize = 20;

/// How many events are shown of one in full.
const EVENTS: usize = 10;

fn columns(args: &StatusArgs) -> Columns {
    Columns {
        wide: args.output == Output::Wide,
        namespace: args.all_namespaces,
    }
}

fn all(ui: &Ui, entries: &[Entry], namespace: &str, args: &StatusArgs) -> Outcome {
    let records = || {
        entries
            .iter()
            .map(|entry| &entry.record)
            .collect::<Vec<_>>()
    };
    match args.output {
        Output::Json => return Ok(ui.json(&records())?),
        Output::Yaml => return Ok(ui.data(&yaml(&records())?)?),
        _ if entries.is_empty() => {
            ui.words(&nothing(args, namespace));
            return Ok(());
        }
        Output::Name => {
            let names: Vec<String> = entries.iter().map(|entry| name(entry, args)).collect();
            return Ok(ui.data(&names.join("\n"))?);
        }
        Output::Table | Output::Wide => {}
    }
    let shown = if args.all {
        entries.iter().collect()
    } else {
        latest(entries, ENDED)
    };
    let records: Vec<Record> = shown.iter().map(|entry| entry.record.clone()).collect();
    ui.data(&view::list(&records, columns(args), Timestamp::now()))?;
    if shown.len() < entries.len() {
        let hidden = entries.len() - shown.len();
        ui.words(&format!("and {hidden} older: ms2m status --all"));
    }
    Ok(())
}

fn nothing(args: &StatusArgs, namespace: &str) -> String {
    let place = if args.all_namespaces {
        "any namespace".to_owned()
    } else {
        format!("namespace {namespace}")
    };
    match &args.selector {
        Some(selector) => format!("no migrations with the labels {selector} in {place}"),
        None => format!("no migrations in {place}"),
    }
}

/// The name that it can be asked for by.
fn name(entry: &Entry, args: &StatusArgs) -> String {
    let record = &entry.record;
    if args.all_namespaces {
        format!("{}/{}", record.namespace, record.name)
    } else {
        record.name.clone()
    }
}

/// Those that have not ended, and the latest `ended` of the others. Entries are oldest first.
fn latest(entries: &[Entry], ended: usize) -> Vec<&Entry> {
    let is_over = |entry: &&Entry| !entry.record.is_unfinished();
    let mut hidden = entries.iter().filter(is_over).count();
    hidden = hidden.saturating_sub(ended);
    let mut over = 0;
    let shown = entries.iter().filter(|entry| {
        over += usize::from(is_over(entry));
        entry.record.is_unfinished() || over > hidden
    });
    shown.collect()
}

async fn one(ui: &Ui, reached: &Reached, entry: &Entry, output: Output) -> Outcome {
    let record = &entry.record;
    match output {
        Output::Json => Ok(ui.json(record)?),
        Output::Yaml => Ok(ui.data(&yaml(record)?)?),
        Output::Name => Ok(ui.data(&record.name)?),
        Output::Wide => {
            let records = std::slice::from_ref(record);
            let wide = Columns {
                wide: true,
                namespace: false,
            };
            Ok(ui.data(&view::list(records, wide, Timestamp::now()))?)
        }
        Output::Table => Ok(ui.data(&in_full(reached, entry, ui.out_paint()).await)?),
    }
}

/// All that is known of one, for people.
pub(super) async fn in_full(reached: &Reached, entry: &Entry, paint: Paint) -> String {
    let record = &entry.record;
    let (worker, events) = tokio::join!(worker(reached, record), events(reached, entry));
    let detail = Detail {
        record,
        worker,
        driver: entry.driver,
        deleting: entry.deleting,
        retry_of: entry.annotations.get(RETRY_OF).map(String::as_str),
        events: &events,
    };
    view::details(&detail, paint, Timestamp::now())
}

/// The latest events. They only help, so whoever may not look at them does without.
async fn events(reached: &Reached, entry: &Entry) -> Vec<Told> {
    let found = reached.cluster.migrations(false).events(entry).await;
    let mut events = found.unwrap_or_default();
    let old = events.len().saturating_sub(EVENTS);
    events.drain(..old);
    for event in &mut events {
        event.message = without_userinfo(&event.message).into_owned();
    }
    events
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::api::{Phase, StatefulMigration};
    use crate::cli::commands::which::tests::record;

    pub(crate) fn entry(name: &str, phase: Option<Phase>) -> Entry {
        let record = record(name, "w");
        let mut entry = Entry::of_resource(StatefulMigration::new(name, record.spec.clone()));
        entry.uid = format!("uid-{name}");
        entry.record = record;
        entry.record.status.phase = phase;
        entry
    }

    #[test]
    fn a_list_shows_what_has_not_ended_and_the_latest_of_the_rest() {
        let phase = |number| (number > 0).then_some(Phase::Completed);
        let entries: Vec<Entry> = (0..30)
            .map(|number| entry(&format!("m-{number}"), phase(number)))
            .collect();
        let shown = latest(&entries, 3);
        let names: Vec<&str> = shown.iter().map(|it| it.record.name.as_str()).collect();
        assert_eq!(names, ["m-0", "m-27", "m-28", "m-29"]);
        assert_eq!(latest(&entries, 30).len(), 30);
    }

    #[test]
    fn a_password_that_somebody_has_left_is_not_shown() {
        let mut left = entry("m", None);
        let queue = &mut left.record.spec.message_queue_config;
        queue.broker_url = "amqp://u:hunter2@mq/v".to_owned();
        queue.management_url = Some("http://u:hunter2@mq".to_owned());
        let shown = format!("{:?}", public(left).record);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("amqp://mq/v"), "{shown}");
    }
}
