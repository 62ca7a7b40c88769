//! `ms2m retry NAME`.

use std::time::Duration;

use clap::Args;

use super::created::{self, Verdict};
use super::which::{self, Which};
use crate::api::{Phase, RETRY_OF, StatefulMigration};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::follow::{Aim, Follow};
use crate::cli::interrupt;
use crate::cli::manifest::Manifest;
use crate::cli::output::Output;
use crate::cli::run::runtime;
use crate::cli::settings::migration::fresh_name;
use crate::cli::settings::value;
use crate::cli::ui::{Ui, public_url};
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Driver, Entry};
use crate::explain;
use crate::migration::error::Error;

/// Try a failed migration again, as a new one for the controller
///
/// The new resource has the spec of the old one and a fresh name. The old one stays as it is.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The migration to try again; or a pod, for its latest one, as worker-0 or pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Which,

    /// Name of the new migration [default: the pod's with five random letters]
    #[arg(long = "new-name", value_name = "NAME", value_parser = value::migration)]
    pub new_name: Option<String>,

    /// Follow it to its end. Ctrl-C only stops waiting then
    #[arg(short, long)]
    pub watch: bool,

    /// How long to wait at most. What is waited for goes on [default: without a limit]
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration, requires = "watch")]
    pub timeout: Option<Duration>,

    /// Format of what is made, or with --watch of the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Makes the new one.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Refused`]: it has not failed, or the controller has no part
/// in it; with `--watch` as the new one has ended.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &RetryArgs) -> Outcome {
    runtime()?.block_on(Box::pin(retry(ui, global, args)))
}

async fn retry(ui: &Ui, global: &GlobalArgs, args: &RetryArgs) -> Outcome {
    let reached = Reached::connect(global).await?;
    let entries = reached
        .cluster
        .migrations(false)
        .list(None)
        .await
        .map_err(|error| refused("failed to read the migrations", &error))?;
    let which = args.name.clone().or_pod();
    let before = which::find(&entries, &which, &reached.namespace)?;
    may_retry(before, &entries)?;
    let queue = &before.record.spec.message_queue_config;
    let urls = [Some(&queue.broker_url), queue.management_url.as_ref()];
    if urls
        .into_iter()
        .flatten()
        .any(|url| public_url(url) != *url)
    {
        ui.words(
            "warning: the spec has a password in a URL, which everybody who may read the resource can read, and \
             so has the new one",
        );
    }
    let resource = again(before, args.new_name.as_deref());
    let entry = created::make(&reached, &resource).await?;
    if args.watch {
        let follow = Follow {
            ui,
            global,
            reached: &reached,
            output: args.output,
            aim: Aim::End,
            timeout: args.timeout,
        };
        return follow.begin(entry).await;
    }
    let manifest = Manifest::of_flags(&resource);
    created::tell(ui, args.output, &[manifest], &[Verdict::Created])?;
    let flags = interrupt::flags(global, &entry.record.namespace);
    let name = &entry.record.name;
    ui.words(&format!("to follow it: ms2m watch {name} {flags}"));
    Ok(())
}

/// Refuses what there is no sense in trying again.
fn may_retry(before: &Entry, entries: &[Entry]) -> Result<(), Error> {
    let record = &before.record;
    let (name, pod, namespace) = (&record.name, &record.spec.source_pod, &record.namespace);
    if record.is_unfinished() {
        return Err(Error::refused(format!("migration {name} is under way"))
            .code(&explain::UNDER_WAY)
            .hint(format!("follow it: ms2m watch {name} -n {namespace}")));
    }
    if record.status.phase == Some(Phase::Completed) {
        let target = record.status.target_pod.as_deref().unwrap_or_default();
        return Err(Error::refused(format!("migration {name} has not failed"))
            .code(&explain::MIGRATION_ENDED)
            .because(format!("it is completed: pod {target} serves")));
    }
    if before.driver == Driver::Cli {
        let to = record.spec.target_node.as_deref();
        let to = to.map_or_else(String::new, |to| format!(" --to {to}"));
        return Err(Error::refused(format!(
            "migration {name} was carried out by the command line, and so is the next one"
        ))
        .hint(format!("ms2m migrate {pod}{to} -n {namespace}")));
    }
    let other = entries
        .iter()
        .find(|other| other.record.is_unfinished() && other.record.spec.source_pod == *pod);
    match other {
        Some(other) => {
            let other = &other.record.name;
            Err(Error::refused(format!(
                "pod {pod} is in migration {other}, which is under way"
            ))
            .hint(format!("follow it: ms2m watch {other} -n {namespace}")))
        }
        None => Ok(()),
    }
}

/// The same once more. Labels with a prefix stay behind: tools find what they manage by them, and
/// would take the new one for theirs.
fn again(before: &Entry, name: Option<&str>) -> StatefulMigration {
    let record = &before.record;
    let name = name.map_or_else(|| fresh_name(&record.spec.source_pod), str::to_owned);
    let mut spec = record.spec.clone();
    spec.abort = None;
    let mut resource = StatefulMigration::new(&name, spec);
    let metadata = &mut resource.metadata;
    metadata.namespace = Some(record.namespace.clone());
    metadata.annotations = Some([(RETRY_OF.to_owned(), record.name.clone())].into());
    let labels = before.labels.iter().filter(|(key, _)| !key.contains('/'));
    let labels = labels.map(|(key, value)| (key.clone(), value.clone()));
    metadata.labels = Some(labels.collect())
        .filter(|labels: &std::collections::BTreeMap<_, _>| !labels.is_empty());
    resource
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::status::tests::entry;

    fn failed(name: &str) -> Entry {
        entry(name, Some(Phase::Failed))
    }

    #[test]
    fn only_what_has_failed_is_tried_again() {
        let words = |before: &Entry, others: &[Entry]| {
            let error = may_retry(before, others).expect_err("it is refused");
            format!("{error} / {}", error.hints.join(" / "))
        };
        assert!(may_retry(&failed("m"), &[failed("m")]).is_ok());
        let running = entry("n", Some(Phase::Restoring));
        assert!(words(&running, &[]).contains("under way"));
        let both = words(&failed("m"), std::slice::from_ref(&running));
        assert!(both.contains("ms2m watch n"), "{both}");
        let completed = words(&entry("m", Some(Phase::Completed)), &[]);
        assert!(completed.contains("has not failed"), "{completed}");
        let mut by_cli = failed("m");
        by_cli.driver = Driver::Cli;
        by_cli.record.spec.target_node = Some("b".to_owned());
        assert!(words(&by_cli, &[]).ends_with("/ ms2m migrate w --to b -n default"));
    }

    #[test]
    fn the_new_one_is_the_same_without_what_belongs_to_the_old() {
        let mut before = failed("m");
        before.record.spec.abort = Some(true);
        before.labels = [("team", "orders"), ("migration.ms2m.io/ended", "true")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let new = again(&before, None);
        assert_eq!(new.spec.abort, None);
        assert_eq!(new.spec.source_pod, "w");
        assert_ne!(new.metadata.name.as_deref(), Some("m"));
        let labels = new.metadata.labels.expect("its own are kept");
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["team"]);
        let annotations = new.metadata.annotations.expect("it has one");
        assert_eq!(annotations[RETRY_OF], "m");
    }
}
