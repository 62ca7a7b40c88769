//! `ms2m logs NAME`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::which::{self, Which};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cli::ui::{Ui, without_userinfo};
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Driver, Entry, Line, Seen, Source, Writers, Written};
use crate::migration::error::{Error, PortError};
use crate::migration::record::Record;

/// Show what those who work on a migration have logged
///
/// The lines of the transfer's pod, and the controller's lines about this migration, each with where it
/// comes from. The transfer's pod is deleted at the migration's end.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The migration; or a pod, for its latest one, as worker-0 or pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Which,

    /// Go on with lines as they come, to the end of the migration
    #[arg(short, long)]
    pub follow: bool,

    /// Namespace of the controller
    #[arg(long, value_name = "NAMESPACE", default_value = "ms2m-system", value_parser = value::name, env = "MS2M_CONTROLLER_NAMESPACE", hide_env_values = true)]
    pub controller_namespace: String,

    /// Format of the lines
    #[arg(short, long, value_enum, default_value_t)]
    pub output: LogsOutput,
}

/// Formats of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogsOutput {
    /// As they are, after where they come from
    #[default]
    Text,
    /// One JSON object a line; errors as {"error": …}
    Json,
}

/// Shows them.
///
/// # Errors
/// There is no such migration, or nothing of it may be read.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &LogsArgs) -> Outcome {
    runtime()?.block_on(Box::pin(logs(ui, global, args)))
}

async fn logs(ui: &Ui, global: &GlobalArgs, args: &LogsArgs) -> Outcome {
    let reached = Reached::connect(global).await?;
    let entries = reached
        .cluster
        .migrations(false)
        .list(None)
        .await
        .map_err(|error| refused("failed to read the migrations", &error))?;
    let which = args.name.clone().or_pod();
    let entry = which::find(&entries, &which, &reached.namespace)?;
    let mut writers = vec![Writers::transfer(&entry.record)];
    if entry.driver == Driver::Controller {
        let namespace = &args.controller_namespace;
        writers.push(Writers::controller(&entry.record, namespace));
    }
    let shown = Shown {
        ui,
        output: args.output,
        migration: format!("{}/{}", entry.record.namespace, entry.record.name),
    };
    if args.follow && entry.record.is_unfinished() {
        follow(&shown, &reached, entry, writers).await
    } else {
        read(&shown, &reached, entry, &writers).await
    }
}

/// Where lines go.
struct Shown<'a> {
    ui: &'a Ui,
    output: LogsOutput,
    /// As the controller's lines name it.
    migration: String,
}

impl Shown<'_> {
    /// Shows a line, if it is about the migration.
    fn line(&self, line: &Line) -> std::io::Result<bool> {
        if !is_of(line, &self.migration) {
            return Ok(false);
        }
        let (from, pod) = (words(line.source), &line.pod);
        let text = without_userinfo(&line.text);
        match self.output {
            LogsOutput::Text => self.ui.data(&format!("{from}/{pod} {text}"))?,
            LogsOutput::Json => {
                let object = json!({"from": from, "pod": pod, "line": text});
                self.ui.data(&object.to_string())?;
            }
        }
        Ok(true)
    }
}

async fn read(shown: &Shown<'_>, reached: &Reached, entry: &Entry, writers: &[Writers]) -> Outcome {
    let migrations = reached.cluster.migrations(false);
    let mut errors: Vec<PortError> = Vec::new();
    for writers in writers {
        match migrations.read_logs(writers).await {
            Ok((pods, lines)) => {
                let mut any = false;
                for line in &lines {
                    any |= shown.line(line)?;
                }
                if !any {
                    shown.ui.words(&missing(writers, pods, &entry.record));
                }
            }
            Err(error) => {
                shown.ui.words(&format!(
                    "the {}'s lines cannot be read: {error}",
                    words(writers.source)
                ));
                errors.push(error);
            }
        }
    }
    if entry.driver == Driver::Cli {
        shown.ui.words(
            "it is carried out by the command line, so no controller has lines about it; its own words went to the \
             terminal of whoever ran it",
        );
    }
    match errors.first() {
        Some(error) if errors.len() == writers.len() => {
            let what = format!("nothing of migration {} could be read", entry.record.name);
            Err(refused(what, error).into())
        }
        _ => Ok(()),
    }
}

/// How long after the end lines may still be on their way.
const LATE: Duration = Duration::from_secs(2);

async fn follow(
    shown: &Shown<'_>,
    reached: &Reached,
    entry: &Entry,
    writers: Vec<Writers>,
) -> Outcome {
    let migrations = reached.cluster.migrations(false);
    let mut written = migrations.follow_logs(writers);
    let mut changes = migrations.follow(entry);
    // Once it has ended: when nothing more is waited for.
    let mut until: Option<Instant> = None;
    loop {
        let over = until.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = sleep_until(over), if until.is_some() => return Ok(()),
            line = written.next() => match line {
                Some(Written::Line(line)) => {
                    // Of others' lines there may be no end.
                    if shown.line(&line)? {
                        until = until.map(|_| Instant::now() + LATE);
                    }
                }
                Some(Written::Trouble(source, why)) => {
                    shown.ui.words(&format!("the {}'s lines cannot be read: {why}", words(source)));
                }
                None => return Err(Error::refused("no log of the migration can be followed").into()),
            },
            seen = changes.next(), if until.is_none() => match seen {
                Some(Seen::Entry(entry)) if entry.record.is_unfinished() => {}
                Some(Seen::Trouble(_)) => {}
                Some(Seen::Entry(_) | Seen::Gone | Seen::Lost(_)) | None => {
                    until = Some(Instant::now() + LATE);
                }
            },
        }
    }
}

/// Whose lines, in one word.
fn words(source: Source) -> &'static str {
    match source {
        Source::Transfer => "transfer",
        Source::Controller => "controller",
    }
}

/// Why there is no line.
pub(super) fn missing(writers: &Writers, pods: usize, record: &Record) -> String {
    let name = &record.name;
    match (writers.source, pods) {
        (Source::Transfer, 0) if record.is_unfinished() => {
            format!("there is no transfer of migration {name} yet, or none any more")
        }
        (Source::Transfer, 0) => format!(
            "the transfer's pod of migration {name} is gone: it is deleted when the migration ends"
        ),
        (Source::Transfer, _) => "the transfer's pod has written nothing yet".to_owned(),
        (Source::Controller, 0) => format!(
            "there is no controller in namespace {}; name its namespace with --controller-namespace",
            writers.namespace
        ),
        (Source::Controller, _) => format!(
            "the controller's pods in namespace {} have no line about migration {name}, or none any more",
            writers.namespace
        ),
    }
}

/// Whether a line belongs to the migration: the controller writes about others, too.
pub(super) fn is_of(line: &Line, migration: &str) -> bool {
    line.source == Source::Transfer || is_about(&line.text, migration)
}

/// Whether a line of the controller's is about the migration of that name: JSON that names it, in the
/// line itself, in its fields, or in one of the spans around it.
fn is_about(line: &str, migration: &str) -> bool {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    let names = |place: &Value| place["migration"] == migration;
    let spans = line["spans"].as_array();
    names(&line)
        || names(&line["fields"])
        || names(&line["span"])
        || spans.is_some_and(|spans| spans.iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_the_migration_that_it_names_anywhere() {
        for line in [
            r#"{"migration":"shop/m","message":"x"}"#,
            r#"{"fields":{"message":"x","migration":"shop/m"}}"#,
            r#"{"span":{"name":"migration","migration":"shop/m"}}"#,
            r#"{"spans":[{"name":"a"},{"name":"migration","migration":"shop/m"}]}"#,
        ] {
            assert!(is_about(line, "shop/m"), "{line}");
            assert!(!is_about(line, "shop/m-2"), "{line}");
        }
        for line in ["shop/m", "[]", "7", r#"{"message":"shop/m"}"#, "{"] {
            assert!(!is_about(line, "shop/m"), "{line}");
        }
    }
}
