//! `ms2m status [NAME]`.

use clap::{Args, ValueEnum};
use color_eyre::eyre::WrapErr;
use jiff::Timestamp;

use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cli::ui::Ui;
use crate::cli::view::status as view;
use crate::cli::wire::Reached;
use crate::migration::error::Error;
use crate::migration::plan::closest;
use crate::migration::ports::Journal;
use crate::migration::record::Record;

/// Show the migrations of a namespace, or one in full
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The migration to show in full; or a pod, for its latest one, as pod/worker-0
    #[arg(value_parser = parse_which)]
    pub name: Option<Which>,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StatusOutput,
}

/// Which migration to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one of this name.
    Migration(String),
    /// The latest one of this pod.
    Pod(String),
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

fn parse_which(text: &str) -> Result<Which, String> {
    match text.split_once('/') {
        Some(("pod" | "pods" | "po", _)) => value::pod(text).map(Which::Pod),
        _ => value::migration(text).map(Which::Migration),
    }
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
        Some(which) => one(ui, find(&records, which, &namespace)?, args.output),
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

/// The migration that is meant. Records are oldest first.
fn find<'a>(records: &'a [Record], which: &Which, namespace: &str) -> Result<&'a Record, Error> {
    let found = match which {
        Which::Migration(name) => records.iter().find(|record| record.name == *name),
        Which::Pod(pod) => records
            .iter()
            .rev()
            .find(|record| record.spec.source_pod == *pod),
    };
    found.ok_or_else(|| unknown(records, which, namespace))
}

fn unknown(records: &[Record], which: &Which, namespace: &str) -> Error {
    let (what, wanted) = match which {
        Which::Migration(name) => (format!("there is no migration {name}"), name),
        Which::Pod(pod) => (format!("there is no migration of pod {pod}"), pod),
    };
    let error = Error::refused(format!("{what} in namespace {namespace}"));
    let names = records.iter().map(|record| match which {
        Which::Migration(_) => record.name.as_str(),
        Which::Pod(_) => record.spec.source_pod.as_str(),
    });
    if let Some(name) = closest(wanted, names) {
        return error.hint(format!("did you mean {name}?"));
    }
    // A pod's name is what people have at hand.
    let of_pod = records
        .iter()
        .rev()
        .find(|record| record.spec.source_pod == *wanted);
    match of_pod {
        Some(record) => error.hint(format!(
            "the latest migration of pod {wanted} is {}",
            record.name
        )),
        None => error.hint("see all of them: ms2m status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{MessageQueueConfig, StatefulMigrationSpec, StatefulMigrationStatus};

    fn record(name: &str, pod: &str) -> Record {
        Record {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            spec: StatefulMigrationSpec {
                source_pod: pod.to_owned(),
                container_name: None,
                target_node: None,
                checkpoint_image_repository: "reg/cp".to_owned(),
                replay_cutoff_seconds: None,
                message_queue_config: MessageQueueConfig {
                    queue_name: "q".to_owned(),
                    broker_url: "amqp://mq".to_owned(),
                    exchange_name: "x".to_owned(),
                    routing_key: String::new(),
                },
                migration_strategy: None,
                handoff: None,
                stale_identity: None,
                force: None,
                transfer: None,
            },
            status: StatefulMigrationStatus::default(),
        }
    }

    #[test]
    fn a_migration_is_found_by_its_name_or_by_its_pod() {
        let records = [record("w-1", "w"), record("w-2", "w"), record("x-1", "x")];
        let name = |text: &str| {
            let which = parse_which(text).expect("it is a name");
            find(&records, &which, "default").map(|record| record.name.as_str())
        };
        assert_eq!(name("w-1"), Ok("w-1"));
        assert_eq!(name("sm/w-1"), Ok("w-1"));
        assert_eq!(name("pod/w"), Ok("w-2"));
    }

    #[test]
    fn an_unknown_name_comes_with_a_suggestion() {
        let records = [record("worker-0-abcde", "worker-0")];
        let hint = |text: &str| {
            let which = parse_which(text).expect("it is a name");
            let error = find(&records, &which, "default").expect_err("it is unknown");
            assert_eq!(error.kind.exit_code(), 3);
            error.hints.join("\n")
        };
        assert_eq!(hint("worker-0-abcdf"), "did you mean worker-0-abcde?");
        assert_eq!(hint("pod/worker-1"), "did you mean worker-0?");
        assert_eq!(hint("zzz"), "see all of them: ms2m status");
    }
}
