//! `ms2m status [NAME]`.

use clap::{Args, ValueEnum};
use color_eyre::eyre::WrapErr;
use jiff::Timestamp;

use super::which::{self, Which};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::ui::Ui;
use crate::cli::view::status::{self as view, Worker};
use crate::cli::wire::Reached;
use crate::migration::ports::Journal;
use crate::migration::record::Record;

/// Show the migrations of a namespace, or one in full
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The migration to show in full; or a pod, for its latest one, as pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Option<Which>,

    /// List all of them, not only the latest 20 of those that have ended
    #[arg(short, long, conflicts_with = "name")]
    pub all: bool,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StatusOutput,
}

/// Formats of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    /// A line a migration, or one in full
    #[default]
    Table,
    /// A line a migration with more columns
    Wide,
    /// JSON: a list, or one object
    Json,
    /// YAML: a list, or one object
    Yaml,
    /// Names only, a line each
    Name,
}

/// Shows them.
///
/// # Errors
/// The cluster cannot be reached, or there is no such migration.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &StatusArgs) -> Outcome {
    runtime()?.block_on(async {
        let reached = Reached::connect(global).await?;
        let records = reached
            .journal
            .list()
            .await
            .map_err(|error| refused("failed to read the migrations", &error))?;
        let Some(which) = &args.name else {
            return all(ui, &records, &reached.namespace, args);
        };
        let record = which::find(&records, which, &reached.namespace)?;
        let worker = match args.output {
            StatusOutput::Table => worker(&reached, record).await,
            _ => Worker::Unknown,
        };
        one(ui, record, &worker, args.output)
    })
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

fn all(ui: &Ui, records: &[Record], namespace: &str, args: &StatusArgs) -> Outcome {
    match args.output {
        StatusOutput::Json => return Ok(ui.json(&records)?),
        StatusOutput::Yaml => return Ok(ui.data(&yaml(&records)?)?),
        _ if records.is_empty() => {
            ui.words(&format!("no migrations in namespace {namespace}"));
            return Ok(());
        }
        StatusOutput::Name => {
            let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
            return Ok(ui.data(&names.join("\n"))?);
        }
        StatusOutput::Table | StatusOutput::Wide => {}
    }
    let shown = if args.all {
        records.to_vec()
    } else {
        latest(records, ENDED)
    };
    let wide = args.output == StatusOutput::Wide;
    ui.data(&view::list(&shown, wide, Timestamp::now()))?;
    if shown.len() < records.len() {
        let hidden = records.len() - shown.len();
        ui.words(&format!("and {hidden} older: ms2m status --all"));
    }
    Ok(())
}

/// Those that have not ended, and the latest `ended` of the others. Records are oldest first.
fn latest(records: &[Record], ended: usize) -> Vec<Record> {
    let is_over = |record: &&Record| !record.is_unfinished();
    let mut hidden = records.iter().filter(is_over).count();
    hidden = hidden.saturating_sub(ended);
    let mut over = 0;
    let shown = records.iter().filter(|record| {
        over += usize::from(is_over(record));
        record.is_unfinished() || over > hidden
    });
    shown.cloned().collect()
}

fn one(ui: &Ui, record: &Record, worker: &Worker, output: StatusOutput) -> Outcome {
    match output {
        StatusOutput::Json => Ok(ui.json(record)?),
        StatusOutput::Yaml => Ok(ui.data(&yaml(record)?)?),
        StatusOutput::Name => Ok(ui.data(&record.name)?),
        StatusOutput::Wide => {
            let records = std::slice::from_ref(record);
            Ok(ui.data(&view::list(records, true, Timestamp::now()))?)
        }
        StatusOutput::Table => {
            let text = view::details(record, worker, ui.out_paint(), Timestamp::now());
            Ok(ui.data(&text)?)
        }
    }
}

fn yaml(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_yaml::to_string(value).wrap_err("failed to write YAML")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Phase;
    use crate::cli::commands::which::tests::record;

    #[test]
    fn a_list_shows_what_has_not_ended_and_the_latest_of_the_rest() {
        let mut records: Vec<Record> = (0..30)
            .map(|number| record(&format!("m-{number}"), "w"))
            .collect();
        for record in records.iter_mut().skip(1) {
            record.status.phase = Some(Phase::Completed);
        }
        let shown = latest(&records, 3);
        let names: Vec<&str> = shown.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["m-0", "m-27", "m-28", "m-29"]);
        assert_eq!(latest(&records, 30).len(), 30);
    }
}
