//! `ms2m migrate POD --to NODE`.

mod via_controller;

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::subject::Subject;
use crate::api::{StatefulMigrationSpec, conditions};
use crate::cli::args::{GlobalArgs, ProgressMode};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::interrupt::{self, Again, Listening};
use crate::cli::output::{Output, show};
use crate::cli::report::{self, Progress};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{ControllerArgs, DiscoverArgs, SettingArgs};
use crate::cli::settings::migration::{Settings, Typed, Wanted};
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::{estimate as estimate_view, plan as plan_view};
use crate::cli::wire::Reached;
use crate::explain;
use crate::migration::engine::Engine;
use crate::migration::error::Error;
use crate::migration::estimate::estimate;
use crate::migration::plan::{Plan, Request};
use crate::migration::record::Record;
use crate::migration::summary::Summary;

/// Move a running pod to another node
///
/// Whatever is not given as a flag or in the environment is taken from annotations on the pod
/// (migration.ms2m.io/queue and so on: the name of the flag), then from the configuration file,
/// then from the defaults. An unfinished migration of the same pod is gone on with.
///
/// On a terminal the plan is shown and a question asked; anywhere else it goes on at once.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The pod to move, as worker-0 or pod/worker-0
    #[arg(value_parser = value::pod, required_unless_present = "resume")]
    pub pod: Option<String>,

    /// The node to move it to [default: of those that the pod can go to, the one with the fewest pods
    /// of its namespace]
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Name of the migration [default: the pod's with five random letters]
    #[arg(long, value_parser = value::migration, env = "MS2M_NAME", hide_env_values = true)]
    pub name: Option<String>,

    /// Go on with the unfinished migration of this name: pod, nodes and queues are those of its
    /// record
    #[arg(long, value_name = "NAME", value_parser = value::migration, conflicts_with = "pod")]
    pub resume: Option<String>,

    /// Make a resource for the controller to carry out, and follow it to its end. Ctrl-C only stops
    /// waiting then
    #[arg(long, conflicts_with_all = ["resume", "dry_run", "discover"], env = "MS2M_VIA_CONTROLLER", hide_env_values = true)]
    pub via_controller: bool,

    /// How long to wait at most for the controller. What is waited for goes on [default: without a limit]
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration, requires = "via_controller")]
    pub timeout: Option<Duration>,

    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Whether what is missing is looked up.
    #[command(flatten)]
    pub discover: DiscoverArgs,

    /// Where the controller has credentials from.
    #[command(flatten)]
    pub controller: ControllerArgs,

    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Moves the pod.
///
/// # Errors
/// Any kind of [`Error`].
pub fn run(ui: &Ui, global: &GlobalArgs, args: &MigrateArgs, matches: &ArgMatches) -> Outcome {
    // What can be refused without asking anybody comes first.
    let config = Config::load(global.config.as_deref())?;
    let layers = Layers::new(matches, &config);
    let typed = Typed::read(&args.settings.end, &layers)?;
    if args.via_controller {
        return runtime()?.block_on(Box::pin(via_controller::run(
            ui, global, args, layers, typed,
        )));
    }
    runtime()?.block_on(Box::pin(migrate(ui, global, args, layers, typed)))
}

async fn migrate(
    ui: &Ui,
    global: &GlobalArgs,
    args: &MigrateArgs,
    mut layers: Layers<'_>,
    typed: Typed,
) -> Outcome {
    let reached = Reached::connect(global).await?;
    let subject = match (&args.resume, &args.pod) {
        (Some(name), _) => Subject::to_resume(&reached, name).await?,
        (None, pod) => Subject::of_pod(&reached, pod.as_deref().unwrap_or_default()).await?,
    };
    layers.context.clone_from(&reached.context);
    if args.discover.discover {
        let looked = subject.discover(ui, &reached, &args.settings, &typed, &mut layers);
        Box::pin(looked).await?;
    }
    let settings = subject.settle(&args.settings, &mut layers, typed)?;
    let wanted = Wanted {
        pod: &subject.pod,
        to: args.to.as_deref(),
        name: args.name.as_deref(),
    };
    let request = settings.request(wanted, &reached.namespace);
    let logs = global.log_level.is_some() || global.verbose > 0;
    let view = report::view(ui, global.progress, logs);
    let progress = Progress::start(report::streamed(ui, args.output, view))?;
    let stop = CancellationToken::new();
    let engine = reached.engine(&settings, progress.clone(), stop.clone())?;
    let job = Job {
        reached: &reached,
        settings: &settings,
        ui,
        global,
        args,
        engine,
        request,
        layers,
        progress,
        watched: !ui.is_quiet() && global.progress != ProgressMode::None,
        stop,
    };
    match &subject.record {
        Some(record) => job.go_on(record).await,
        None => job.begin().await,
    }
}

/// Everything at hand for one migration.
struct Job<'a> {
    reached: &'a Reached,
    settings: &'a Settings,
    ui: &'a Ui,
    global: &'a GlobalArgs,
    args: &'a MigrateArgs,
    engine: Engine,
    request: Request,
    layers: Layers<'a>,
    progress: Arc<Progress>,
    /// Whether the user sees the events.
    watched: bool,
    stop: CancellationToken,
}

impl Job<'_> {
    async fn begin(self) -> Outcome {
        let mut plan = self.engine.plan(&self.request).await?;
        if self.args.dry_run {
            return self.show(&plan);
        }
        if self.asks() {
            // Somebody waits for the question, so there is time to look at more.
            let load = super::plan::load(self.reached, self.settings, &plan).await;
            let estimate = estimate(&plan, &load, &self.settings.limits);
            plan.estimate = estimate.figures();
            let paint = self.ui.err_paint();
            self.ui
                .insist(&plan_view::brief(&plan, &self.layers.resolved, paint));
            self.ui.insist(&estimate_view::brief(&estimate));
            self.confirm("Move it?")?;
        } else {
            for warning in &plan.warnings {
                self.ui.words(&format!("warning: {warning}"));
            }
        }
        let listening = self.listen(&self.request.name)?;
        let result = Box::pin(self.engine.migrate_as_planned(&self.request, &plan)).await;
        drop(listening);
        self.tell(result)
    }

    /// Finishes what another process has left.
    async fn go_on(&self, record: &Record) -> Outcome {
        let text = words_of(record);
        if self.args.dry_run {
            let value = json!({ "unfinished": record });
            let name = || record.name.clone();
            return show(self.ui, self.args.output, &value, name, || text);
        }
        self.ui.words(&text);
        for ignored in ignored(&self.request.spec, record) {
            self.ui.words(&ignored);
        }
        if self.asks() {
            self.confirm("Go on with it?")?;
        }
        let listening = self.listen(&record.name)?;
        let result = Box::pin(self.engine.resume(record)).await;
        drop(listening);
        self.tell(result)
    }

    fn listen(&self, name: &str) -> std::io::Result<Listening> {
        interrupt::listen(
            self.stop.clone(),
            Arc::clone(&self.progress),
            self.ui.clone(),
            Again::new(self.global, &self.request.namespace, name)
                .discovering(self.args.discover.discover),
        )
    }

    fn asks(&self) -> bool {
        !self.args.yes && self.ui.can_ask()
    }

    fn confirm(&self, question: &str) -> Result<(), Error> {
        match self.ui.confirm(question) {
            Some(false) => Err(Error::refused("not confirmed").code(&explain::NOT_CONFIRMED)),
            Some(true) | None => Ok(()),
        }
    }

    fn show(&self, plan: &Plan) -> Outcome {
        let settings = &self.layers.resolved;
        let (paint, columns) = (self.ui.out_paint(), self.ui.columns());
        let value = json!({ "plan": plan, "settings": settings });
        let text = || plan_view::full(plan, settings, paint, columns);
        show(
            self.ui,
            self.args.output,
            &value,
            || plan.name.clone(),
            text,
        )
    }

    fn tell(&self, result: Result<Summary, Error>) -> Outcome {
        self.progress.end();
        let summary = result.map_err(|error| {
            if self.watched {
                Failure::Watched(Box::new(error))
            } else {
                Failure::from(error)
            }
        })?;
        report::result(self.ui, self.args.output, &summary)
    }
}

/// What is said of a migration that is gone on with.
fn words_of(record: &Record) -> String {
    let back = record
        .status
        .handoff
        .as_ref()
        .is_some_and(|handoff| handoff.aborting);
    format!(
        "migration {} of pod {} has not ended: it is {}; going on with {}",
        record.name,
        record.spec.source_pod,
        if record.status.condition_holds(conditions::STUCK) {
            "stuck in its roll-back"
        } else {
            record.status.phase.unwrap_or_default().name()
        },
        if back { "its roll-back" } else { "it" }
    )
}

/// What was asked for otherwise than it was begun.
fn ignored(asked: &StatefulMigrationSpec, record: &Record) -> Vec<String> {
    let begun = &record.spec;
    let to = record.status.target_node.as_ref();
    let (queue, begun_queue) = (&asked.message_queue_config, &begun.message_queue_config);
    [
        ("to", asked.target_node.as_ref(), to),
        (
            "queue",
            Some(&queue.queue_name),
            Some(&begun_queue.queue_name),
        ),
        (
            "repository",
            Some(&asked.checkpoint_image_repository),
            Some(&begun.checkpoint_image_repository),
        ),
    ]
    .into_iter()
    .filter_map(|(setting, asked, begun)| {
        let (asked, begun) = (asked?, begun?);
        (asked != begun).then(|| {
            format!("the {setting} {asked} is ignored: the migration was begun with {begun}")
        })
    })
    .collect()
}
