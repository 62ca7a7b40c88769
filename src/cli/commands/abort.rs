//! `ms2m abort NAME`.

mod by_controller;

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::subject::Subject;
use super::which::{self, Which};
use crate::cli::args::{GlobalArgs, ProgressMode};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::follow::{Limit, timed_out};
use crate::cli::interrupt::{self, Again};
use crate::cli::output::{Output, show};
use crate::cli::report::{self, Progress};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{DiscoverArgs, EndArgs, SettingArgs};
use crate::cli::settings::migration::Typed;
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::aborted as view;
use crate::cli::wire::Reached;
use crate::explain;
use crate::migration::engine::Engine;
use crate::migration::error::{Error, ErrorKind};
use crate::migration::ports::Holder;
use crate::migration::record::Record;
use crate::migration::recover::{Aborted, end_of};

/// Roll an unfinished migration back
///
/// If another process works on it, that one is asked to roll back, and this one waits until it
/// has. If nobody does, this one rolls it back itself and shows each thing that it undoes. Past
/// its commit point a migration can only be finished, which is done then. One that was rolled
/// back already is left as it is, and is no error. Of a resource that the controller carries out
/// spec.abort is set, which takes no settings.
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// The migration to abort; or a pod, for its latest one, as worker-0 or pod/worker-0
    #[arg(value_parser = which::parse, required_unless_present = "pod")]
    pub name: Option<Which>,

    /// The pod whose latest migration is to be aborted
    #[arg(long, value_parser = value::pod, conflicts_with = "name")]
    pub pod: Option<String>,

    /// Wait until the process or controller that works on it has rolled it back [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag)]
    pub wait: Option<bool>,

    /// How long to wait at most. What is waited for goes on [default: without a limit]
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration)]
    pub timeout: Option<Duration>,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Whether what is missing is looked up.
    #[command(flatten)]
    pub discover: DiscoverArgs,

    /// The settings.
    #[command(flatten)]
    pub settings: EndArgs,
}

impl AbortArgs {
    fn which(&self) -> Which {
        match (&self.name, &self.pod) {
            (Some(which), _) => which.clone().or_pod(),
            (None, pod) => Which::Pod(pod.clone().unwrap_or_default()),
        }
    }
}

/// Aborts it.
///
/// # Errors
/// Any kind of [`Error`]; [`crate::migration::error::ErrorKind::TooLate`] past the commit point.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &AbortArgs, matches: &ArgMatches) -> Outcome {
    let config = Config::load(global.config.as_deref())?;
    let layers = Layers::new(matches, &config);
    let typed = Typed::read(&args.settings, &layers)?;
    runtime()?.block_on(Box::pin(abort(ui, global, args, layers, typed)))
}

async fn abort(
    ui: &Ui,
    global: &GlobalArgs,
    args: &AbortArgs,
    mut layers: Layers<'_>,
    typed: Typed,
) -> Outcome {
    let reached = Reached::connect(global).await?;
    if let Some(entry) = by_controller::find(&reached, &args.which()).await {
        return by_controller::abort(ui, global, args, &reached, entry).await;
    }
    let subject = Subject::of_migration(&reached, &args.which()).await?;
    layers.context.clone_from(&reached.context);
    let given = SettingArgs {
        end: args.settings.clone(),
        ..SettingArgs::default()
    };
    if args.discover.discover {
        let looked = subject.discover(ui, &reached, &given, &typed, &mut layers);
        Box::pin(looked).await?;
    }
    let settings = subject.settle(&given, &mut layers, typed)?;
    let Some(record) = &subject.record else {
        return Err(Error::refused("there is no migration to abort")
            .code(&explain::MIGRATION_MISSING)
            .into());
    };
    let logs = global.log_level.is_some() || global.verbose > 0;
    let progress = Progress::start(report::view(ui, global.progress, logs))?;
    let stop = CancellationToken::new();
    let job = Job {
        ui,
        global,
        args,
        record,
        engine: reached.engine(&settings, progress.clone(), stop.clone())?,
        progress,
        stop,
    };
    let outcome = Box::pin(job.run()).await;
    job.progress.end();
    outcome
}

/// Everything at hand for one abort.
struct Job<'a> {
    ui: &'a Ui,
    global: &'a GlobalArgs,
    args: &'a AbortArgs,
    record: &'a Record,
    engine: Engine,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl Job<'_> {
    async fn run(&self) -> Outcome {
        if !self.record.is_unfinished() {
            self.ui
                .words(&format!("migration {} has ended already", self.record.name));
            return self.tell(&end_of(self.record)?);
        }
        let limit = Limit::new(self.args.timeout);
        loop {
            let Some(holder) = self.engine.ask_to_abort(self.record).await? else {
                let outcome = self.abort_here().await;
                if outcome.as_ref().is_err_and(is_taken) && self.is_worked_on().await {
                    continue;
                }
                return outcome;
            };
            self.say_asked(&holder);
            if self.args.wait == Some(false) {
                return self.tell_asked(&holder);
            }
            let ended = tokio::select! {
                () = limit.passed() => return Err(self.timed_out().into()),
                ended = self.engine.await_end(self.record) => ended?,
            };
            if let Some(ended) = ended {
                return self.tell(&end_of(&ended)?);
            }
        }
    }

    /// Whether somebody was faster; that one is asked then.
    async fn is_worked_on(&self) -> bool {
        matches!(self.engine.ask_to_abort(self.record).await, Ok(Some(_)))
    }

    /// Nobody works on it: this process does what is left.
    async fn abort_here(&self) -> Outcome {
        let again = Again::new(self.global, &self.record.namespace, &self.record.name);
        let listening = interrupt::listen(
            self.stop.clone(),
            Arc::clone(&self.progress),
            self.ui.clone(),
            again,
        )?;
        let result = Box::pin(self.engine.abort(self.record)).await;
        drop(listening);
        self.progress.end();
        let watched = !self.ui.is_quiet() && self.global.progress != ProgressMode::None;
        match result {
            Ok(aborted) => self.tell(&aborted),
            Err(error) if watched => Err(Failure::Watched(Box::new(error))),
            Err(error) => Err(error.into()),
        }
    }

    fn timed_out(&self) -> Error {
        let record = self.record;
        let what = format!("migration {} is not rolled back", record.name);
        timed_out(&what, self.args.timeout).hint(format!("to wait on: {}", record.abort_command()))
    }

    fn say_asked(&self, holder: &Holder) {
        let wait = if self.args.wait == Some(false) {
            ""
        } else {
            "; you may safely stop waiting"
        };
        self.ui.words(&format!(
            "{} works on migration {}, and was asked to roll it back{wait}",
            holder.who, self.record.name
        ));
    }

    fn tell_asked(&self, holder: &Holder) -> Outcome {
        tell_asked(self.ui, self.args.output, self.record, &holder.who)
    }

    fn tell(&self, aborted: &Aborted) -> Outcome {
        tell(self.ui, self.args.output, aborted)
    }
}

fn tell(ui: &Ui, output: Output, aborted: &Aborted) -> Outcome {
    let name = || aborted.migration.clone();
    show(ui, output, aborted, name, || view::text(aborted))
}

/// That somebody was asked, whom nobody waits for. People were told in words.
fn tell_asked(ui: &Ui, output: Output, record: &Record, asked: &str) -> Outcome {
    if output.is_for_people() {
        return Ok(());
    }
    let (migration, namespace) = (&record.name, &record.namespace);
    let value = json!({"migration": migration, "namespace": namespace, "asked": asked});
    show(ui, output, &value, || migration.clone(), String::new)
}

fn is_taken(failure: &Failure) -> bool {
    match failure {
        Failure::Known(error) | Failure::Watched(error) => {
            matches!(error.kind, ErrorKind::Refused | ErrorKind::LockLost)
        }
        Failure::Told(_) | Failure::Unexpected(_) => false,
    }
}
