//! `ms2m delete NAME...`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::which::{self, Which};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::follow::{Limit, SILENT, timed_out};
use crate::cli::output::{Output, show};
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::CONTROLLER_LABEL;
use crate::cluster::migrations::{Driver, Entry, Migrations, Seen};
use crate::explain;
use crate::migration::error::{Error, PortError};

/// Delete the records of migrations that have ended
///
/// One that is under way is refused unless --force is given: the controller then rolls it back, or
/// finishes it past its commit point, before it goes. One that the command line carries out has to be
/// ended first. Of several none is deleted if one is refused. Pods are left alone.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The migrations to delete
    #[arg(value_parser = value::migration, required_unless_present_any = ["finished", "older_than"])]
    pub names: Vec<String>,

    /// All of the namespace that have ended
    #[arg(long, conflicts_with = "names")]
    pub finished: bool,

    /// All of the namespace that have ended longer ago than this, as 12h or 7d
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration, conflicts_with = "names")]
    pub older_than: Option<Duration>,

    /// Delete one that the controller carries out, too: it is rolled back or finished first
    #[arg(long)]
    pub force: bool,

    /// Wait until they are gone [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag)]
    pub wait: Option<bool>,

    /// How long to wait at most until they are gone. What is waited for goes on [default: without a limit]
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration)]
    pub timeout: Option<Duration>,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Deletes them.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Refused`]: there is no such migration, or it is under way.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &DeleteArgs) -> Outcome {
    runtime()?.block_on(Box::pin(delete(ui, global, args)))
}

async fn delete(ui: &Ui, global: &GlobalArgs, args: &DeleteArgs) -> Outcome {
    let reached = Reached::connect(global).await?;
    let migrations = reached.cluster.migrations(false);
    let entries = migrations
        .list(None)
        .await
        .map_err(|error| refused("failed to read the migrations", &error))?;
    let chosen = chosen(args, &entries, &reached.namespace, Timestamp::now())?;
    for entry in &chosen {
        may_delete(entry, args.force)?;
    }
    if chosen.is_empty() {
        ui.words(&format!(
            "nothing to delete in namespace {}",
            reached.namespace
        ));
    }
    let mut deleted = Vec::new();
    for entry in chosen {
        let name = &entry.record.name;
        if entry.record.is_unfinished() {
            ui.words(&format!(
                "migration {name} is under way: the controller rolls it back, or finishes it past its commit point, \
                 before it goes"
            ));
        }
        match migrations.delete(entry).await {
            // Somebody else was faster.
            Ok(()) | Err(PortError::NotFound(_)) => {}
            Err(error) => {
                let error = refused(format!("migration {name} was not deleted"), &error);
                return Err(match deleted.len() {
                    0 => error,
                    count => error.hint(format!("{count} before it are deleted")),
                }
                .into());
            }
        }
        deleted.push(entry);
    }
    if args.wait != Some(false) {
        let limit = Limit::new(args.timeout);
        for entry in &deleted {
            tokio::select! {
                gone = await_gone(ui, &migrations, entry) => gone?,
                () = limit.passed() => {
                    let what = format!("migration {} is not gone", entry.record.name);
                    return Err(timed_out(&what, args.timeout).hint("see what holds it: ms2m status").into());
                }
            }
        }
    }
    tell(ui, args, &deleted)
}

/// Those that are meant.
fn chosen<'a>(
    args: &DeleteArgs,
    entries: &'a [Entry],
    namespace: &str,
    now: Timestamp,
) -> Result<Vec<&'a Entry>, Error> {
    if args.finished || args.older_than.is_some() {
        let long_ago = |entry: &&Entry| {
            let ended = entry.record.status.completion_time.as_ref();
            let ended = ended.map_or(entry.record.created, |time| time.0);
            let age = Duration::try_from(now.duration_since(ended)).unwrap_or_default();
            args.older_than.is_none_or(|limit| age > limit)
        };
        let ended = entries.iter().filter(|entry| !entry.record.is_unfinished());
        return Ok(ended.filter(long_ago).collect());
    }
    let mut found: Vec<&Entry> = Vec::new();
    for name in &args.names {
        let entry = which::find(entries, &Which::Migration(name.clone()), namespace)?;
        if !found.iter().any(|other| other.uid == entry.uid) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Refuses what somebody still needs.
fn may_delete(entry: &Entry, force: bool) -> Result<(), Error> {
    let record = &entry.record;
    if !record.is_unfinished() {
        return Ok(());
    }
    let name = &record.name;
    let error = Error::refused(format!("migration {name} is under way")).code(&explain::UNDER_WAY);
    match entry.driver {
        Driver::Controller if force => Ok(()),
        Driver::Controller => Err(error
            .hint(format!("roll it back: {}", record.abort_command()))
            .hint(format!(
                "or, to have the controller end it and then delete it: ms2m delete {name} --force -n {}",
                record.namespace
            ))),
        // Nobody would be held up by its deletion, and nobody could go on with it then.
        Driver::Cli => Err(error
            .because("its record is all that knows what would have to be undone")
            .hint(format!("roll it back first: {}", record.abort_command()))),
    }
}

async fn await_gone(ui: &Ui, migrations: &Migrations, entry: &Entry) -> Outcome {
    let name = &entry.record.name;
    let mut changes = migrations.follow(entry);
    let silent = Instant::now() + SILENT;
    let mut told = false;
    loop {
        let seen = tokio::select! {
            () = sleep_until(silent), if !told => {
                told = true;
                ui.words(&format!(
                    "migration {name} is still there: the controller lets it go once it has ended; you may safely stop \
                     waiting (is there a controller? kubectl get pods -A -l {CONTROLLER_LABEL})"
                ));
                continue;
            }
            seen = changes.next() => seen,
        };
        match seen {
            Some(Seen::Gone) | None => return Ok(()),
            Some(Seen::Lost(error)) => {
                let what = format!("migration {name} is deleted, but cannot be waited for");
                return Err(color_eyre::eyre::eyre!("{what}: {error}").into());
            }
            Some(Seen::Entry(_) | Seen::Trouble(_)) => {}
        }
    }
}

fn tell(ui: &Ui, args: &DeleteArgs, deleted: &[&Entry]) -> Outcome {
    let end = if args.wait == Some(false) {
        "is being deleted"
    } else {
        "deleted"
    };
    if deleted.is_empty() && args.output.is_for_people() {
        return Ok(());
    }
    let list: Vec<_> = deleted
        .iter()
        .map(|entry| {
            let record = &entry.record;
            json!({"migration": record.name, "namespace": record.namespace})
        })
        .collect();
    let lines = |words: &dyn Fn(&str) -> String| {
        let names = deleted.iter().map(|entry| words(&entry.record.name));
        names.collect::<Vec<_>>().join("\n")
    };
    show(
        ui,
        args.output,
        &list,
        || lines(&str::to_owned),
        || lines(&|name| format!("migration {name} {end}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Phase, Time};
    use crate::cli::commands::status::tests::entry;

    fn args() -> DeleteArgs {
        DeleteArgs {
            names: Vec::new(),
            finished: false,
            older_than: None,
            force: false,
            wait: None,
            timeout: None,
            output: Output::Table,
        }
    }

    #[test]
    fn what_has_ended_is_chosen_by_its_end() {
        let now = Timestamp::from_second(1_000_000).expect("it is in range");
        let mut old = entry("old", Some(Phase::Failed));
        let fresh = Time(now - jiff::SignedDuration::from_secs(60));
        let mut new = entry("new", Some(Phase::Completed));
        new.record.status.completion_time = Some(fresh);
        old.record.status.completion_time = None;
        let entries = [old, new, entry("running", Some(Phase::Restoring))];
        let names = |args: &DeleteArgs| {
            let chosen = chosen(args, &entries, "default", now).expect("they are there");
            chosen
                .iter()
                .map(|it| it.record.name.clone())
                .collect::<Vec<_>>()
        };
        let finished = DeleteArgs {
            finished: true,
            ..args()
        };
        assert_eq!(names(&finished), ["old", "new"]);
        let older = Some(Duration::from_secs(3_600));
        let older = DeleteArgs {
            older_than: older,
            ..args()
        };
        assert_eq!(names(&older), ["old"]);
        let twice = vec!["running".to_owned(), "running".to_owned()];
        let twice = DeleteArgs {
            names: twice,
            ..args()
        };
        assert_eq!(names(&twice), ["running"]);
    }

    #[test]
    fn what_is_under_way_is_refused() {
        let mut running = entry("m", Some(Phase::Restoring));
        assert!(may_delete(&running, true).is_ok());
        let error = may_delete(&running, false).expect_err("it is under way");
        assert!(error.hints.join(" ").contains("--force"), "{error:?}");
        running.driver = Driver::Cli;
        assert!(may_delete(&running, true).is_err());
        assert!(may_delete(&entry("m", Some(Phase::Failed)), false).is_ok());
    }
}
