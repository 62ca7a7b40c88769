//! `ms2m status [NAME]`.

use clap::{Args, ValueEnum};
use color_eyre::eyre::WrapErr;
use jiff::Timestamp;

use super::which::{self, Which};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::ui::Ui;
use crate::cli::view::status as view;
use crate::cli::wire::Reached;
use crate::migration::error::Error;
use crate::migration::ports::Journal;
use crate::migration::record::Record;

/// Show the migrations of a namespace, or one in full
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The migration to show in full; or a pod, for its latest one, as pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Option<Which>,

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
    let (records, namespace) = runtime()?.block_on(async {
        let reached = Reached::connect(global).await?;
        let records = reached
            .journal
            .list()
            .await
            .map_err(|error| refused("failed to read the migrations", &error))?;
        Ok::<_, Error>((records, reached.namespace))
    })?;
    match &args.name {
        Some(which) => one(ui, which::find(&records, which, &namespace)?, args.output),
        None => all(ui, &records, &namespace, args.output),
    }
}

fn all(ui: &Ui, records: &[Record], namespace: &str, output: StatusOutput) -> Outcome {
    match output {
        StatusOutput::Json => Ok(ui.json(&records)?),
        StatusOutput::Yaml => Ok(ui.data(&yaml(&records)?)?),
        _ if records.is_empty() => {
            ui.words(&format!("no migrations in namespace {namespace}"));
            Ok(())
        }
        StatusOutput::Name => {
            let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
            Ok(ui.data(&names.join("\n"))?)
        }
        StatusOutput::Table | StatusOutput::Wide => {
            let wide = output == StatusOutput::Wide;
            Ok(ui.data(&view::list(records, wide, Timestamp::now()))?)
        }
    }
}

fn one(ui: &Ui, record: &Record, output: StatusOutput) -> Outcome {
    match output {
        StatusOutput::Json => Ok(ui.json(record)?),
        StatusOutput::Yaml => Ok(ui.data(&yaml(record)?)?),
        StatusOutput::Name => Ok(ui.data(&record.name)?),
        StatusOutput::Wide => {
            let records = std::slice::from_ref(record);
            Ok(ui.data(&view::list(records, true, Timestamp::now()))?)
        }
        StatusOutput::Table => {
            Ok(ui.data(&view::details(record, ui.out_paint(), Timestamp::now()))?)
        }
    }
}

fn yaml(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_yaml::to_string(value).wrap_err("failed to write YAML")?;
    Ok(text)
}
