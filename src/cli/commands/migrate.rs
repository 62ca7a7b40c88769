//! `ms2m migrate POD --to NODE`.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, ValueEnum};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api::{Compression, Strategy};
use crate::cli::args::{GlobalArgs, ProgressMode};
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::interrupt;
use crate::cli::report::{self, Progress};
use crate::cli::run::runtime;
use crate::cli::settings::migration::{Settings, Typed, recorded};
use crate::cli::settings::value::{self, Secret};
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::{plan as plan_view, summary as summary_view};
use crate::cli::wire::Reached;
use crate::migration::engine::Engine;
use crate::migration::error::{Error, PortError};
use crate::migration::plan::{self, Plan, Request};
use crate::migration::ports::{Cluster, Journal};
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
    #[arg(value_parser = value::pod)]
    pub pod: String,

    /// The node to move it to
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Name of the migration [default: the pod's with five random letters]
    #[arg(long, value_parser = value::migration, env = "MS2M_NAME", hide_env_values = true)]
    pub name: Option<String>,

    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: MigrateOutput,

    /// Container to move [default: the pod's first one]
    #[arg(long, help_heading = "Settings", value_parser = value::name, env = "MS2M_CONTAINER", hide_env_values = true)]
    pub container: Option<String>,

    /// Registry path to push the checkpoint image to, as registry.example.com/checkpoints
    #[arg(long, help_heading = "Settings", value_parser = value::repository, env = "MS2M_REPOSITORY", hide_env_values = true)]
    pub repository: Option<String>,

    /// Queue that the pod consumes
    #[arg(long, help_heading = "Settings", value_parser = value::name, env = "MS2M_QUEUE", hide_env_values = true)]
    pub queue: Option<String>,

    /// Exchange that the producers publish to
    #[arg(long, help_heading = "Settings", value_parser = value::text, env = "MS2M_EXCHANGE", hide_env_values = true)]
    pub exchange: Option<String>,

    /// Key by which the queue is bound to the exchange
    #[arg(long, help_heading = "Settings", value_name = "KEY", value_parser = value::text, env = "MS2M_ROUTING_KEY", hide_env_values = true)]
    pub routing_key: Option<String>,

    /// Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password:
    /// arguments can be seen by other users
    #[arg(long, help_heading = "Settings", value_name = "URL", value_parser = value::secret, env = "MS2M_BROKER_URL", hide_env_values = true)]
    pub broker_url: Option<Secret>,

    /// Management API of the broker [default: port 15672 of the broker's host]
    #[arg(long, help_heading = "Settings", value_name = "URL", value_parser = value::secret, env = "MS2M_MANAGEMENT_URL", hide_env_values = true)]
    pub management_url: Option<Secret>,

    /// ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]
    #[arg(long, help_heading = "Settings", value_parser = value::strategy, env = "MS2M_STRATEGY", hide_env_values = true)]
    pub strategy: Option<Strategy>,

    /// How long source and target may run side by side before the handoff is forced [default: 2m]
    #[arg(long, help_heading = "Settings", value_name = "DURATION", value_parser = value::duration, env = "MS2M_REPLAY_CUTOFF", hide_env_values = true)]
    pub replay_cutoff: Option<Duration>,

    /// Image of the transfer Job [default: ms2m-transfer of this version beside the repository]
    #[arg(long, help_heading = "Settings", value_name = "IMAGE", value_parser = value::name, env = "MS2M_TRANSFER_IMAGE", hide_env_values = true)]
    pub transfer_image: Option<String>,

    /// Compression of the checkpoint, gzip or none [default: gzip]
    #[arg(long, help_heading = "Settings", value_parser = value::compression, env = "MS2M_COMPRESSION", hide_env_values = true)]
    pub compression: Option<Compression>,

    /// Talk plain HTTP to the registry [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_REGISTRY_PLAIN_HTTP", hide_env_values = true)]
    pub registry_plain_http: Option<bool>,

    /// Secret of type kubernetes.io/dockerconfigjson with the registry's credentials
    #[arg(long, help_heading = "Settings", value_name = "SECRET", value_parser = value::name, env = "MS2M_REGISTRY_SECRET", hide_env_values = true)]
    pub registry_secret: Option<String>,

    /// Keep the archive on the source node and the image in the registry [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_KEEP_CHECKPOINT", hide_env_values = true)]
    pub keep_checkpoint: Option<bool>,

    /// Open the gate once the rest of the replay takes no longer than this [default: 1s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_MAX_PAUSE", hide_env_values = true)]
    pub max_pause: Option<Duration>,

    /// How long a queue must stay empty to count as quiet, where the broker does not count what
    /// is unacknowledged; longer than the application takes for one message [default: 2s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_SETTLE", hide_env_values = true)]
    pub settle: Option<Duration>,

    /// How long the source may take to empty its queue before the checkpoint [default: 1m]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_DRAIN_TIMEOUT", hide_env_values = true)]
    pub drain_timeout: Option<Duration>,

    /// How long the application may take to obey a control message [default: 30s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_OBEY_TIMEOUT", hide_env_values = true)]
    pub obey_timeout: Option<Duration>,

    /// Grace period that the source is deleted with [default: 1s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_SOURCE_GRACE", hide_env_values = true)]
    pub source_grace: Option<Duration>,
}

/// Formats of the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MigrateOutput {
    /// A table for people
    #[default]
    Table,
    /// One JSON document; errors as {"error": …}
    Json,
}

/// Moves the pod.
///
/// # Errors
/// Any kind of [`Error`].
pub fn run(ui: &Ui, global: &GlobalArgs, args: &MigrateArgs, matches: &ArgMatches) -> Outcome {
    // What can be refused without asking anybody comes first.
    let config = Config::load(global.config.as_deref())?;
    let layers = Layers::new(matches, &config);
    let typed = Typed::read(args, &layers)?;
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
    let settings = settle(&reached, args, &mut layers, typed).await?;
    let request = settings.request(args, &reached.namespace);
    let logs = global.log_level.is_some() || global.verbose > 0;
    let progress = Progress::start(report::view(ui, global.progress, logs))?;
    let stop = CancellationToken::new();
    let engine = reached.engine(&settings, Arc::clone(&progress), stop.clone())?;
    let job = Job {
        ui,
        args,
        engine,
        request,
        layers,
        progress,
        watched: !ui.is_quiet() && global.progress != ProgressMode::None,
        stop,
    };
    job.run().await
}

/// Settles everything. The pod may be gone when a migration of it is to be finished: then, and
/// when something is missing, the record of that migration counts too.
async fn settle(
    reached: &Reached,
    args: &MigrateArgs,
    layers: &mut Layers<'_>,
    typed: Typed,
) -> Result<Settings, Error> {
    let pod = match reached.cluster.pod(&args.pod).await {
        Ok(pod) => pod,
        Err(error) => return Err(unseen(reached, &args.pod, &error).await),
    };
    layers.context.clone_from(&reached.context);
    let pod_is_there = pod.is_some();
    if let Some(pod) = pod {
        layers.annotations = pod.annotations;
        if let Some(settings) = Settings::resolve(args, typed.clone(), layers)? {
            return Ok(settings);
        }
    }
    let records = reached
        .journal
        .list()
        .await
        .map_err(|error| refused("failed to look for unfinished migrations", &error))?;
    let unfinished = records
        .into_iter()
        .find(|record| record.is_unfinished() && record.spec.source_pod == args.pod);
    match unfinished {
        Some(record) => layers.record = Some(recorded(&record)),
        None if pod_is_there => {}
        None => return Err(reached.no_such_pod(&args.pod).await),
    }
    match Settings::resolve(args, typed, layers)? {
        Some(settings) => Ok(settings),
        None => Err(layers.incomplete()),
    }
}

/// Whoever may not even look at the pod learns of all the rights that are missing, at once.
async fn unseen(reached: &Reached, pod: &str, error: &PortError) -> Error {
    if matches!(error, PortError::Denied(_))
        && let Ok(missing) = reached.cluster.missing_permissions().await
        && let Err(refusal) = plan::permissions(&missing)
    {
        return refusal;
    }
    refused(format!("failed to look at pod {pod}"), error)
}

/// Everything at hand for one migration.
struct Job<'a> {
    ui: &'a Ui,
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
    async fn run(self) -> Outcome {
        if let Some(record) = self.engine.unfinished(&self.request).await? {
            return self.go_on(&record).await;
        }
        if self.request.spec.target_node.is_none() {
            return Err(Error::usage("no target node is named")
                .hint("name one with --to or in MS2M_TO")
                .into());
        }
        let plan = self.engine.plan(&self.request).await?;
        if self.args.dry_run {
            return self.show(&plan);
        }
        if self.asks() {
            let text = plan_view::brief(&plan, &self.layers.resolved, self.ui.err_paint());
            self.ui.insist(&text);
            self.confirm("Move it?")?;
        }
        let listening = self.listen()?;
        let result = Box::pin(self.engine.migrate_as_planned(&self.request, &plan)).await;
        listening.abort();
        self.tell(result)
    }

    /// Finishes what another process has left.
    async fn go_on(&self, record: &Record) -> Outcome {
        let text = format!(
            "migration {} of pod {} has not ended: it is {}",
            record.name,
            record.spec.source_pod,
            record.status.phase.unwrap_or_default()
        );
        if self.args.dry_run {
            return match self.args.output {
                MigrateOutput::Table => {
                    Ok(self.ui.data(&format!("{text}, and is gone on with"))?)
                }
                MigrateOutput::Json => Ok(self.ui.json(&json!({ "unfinished": record }))?),
            };
        }
        self.ui.words(&text);
        if self.asks() {
            self.confirm("Go on with it?")?;
        }
        let listening = self.listen()?;
        let result = Box::pin(self.engine.migrate(&self.request)).await;
        listening.abort();
        self.tell(result)
    }

    fn listen(&self) -> std::io::Result<tokio::task::JoinHandle<()>> {
        interrupt::listen(
            self.stop.clone(),
            Arc::clone(&self.progress),
            self.ui.clone(),
            format!("{} -n {}", self.args.pod, self.request.namespace),
        )
    }

    fn asks(&self) -> bool {
        !self.args.yes && self.ui.can_ask()
    }

    fn confirm(&self, question: &str) -> Result<(), Error> {
        match self.ui.confirm(question) {
            Some(false) => Err(Error::refused("not confirmed")),
            Some(true) | None => Ok(()),
        }
    }

    fn show(&self, plan: &Plan) -> Outcome {
        let settings = &self.layers.resolved;
        match self.args.output {
            MigrateOutput::Table => {
                let text = plan_view::full(plan, settings, self.ui.out_paint(), self.ui.columns());
                Ok(self.ui.data(&text)?)
            }
            MigrateOutput::Json => Ok(self
                .ui
                .json(&json!({ "plan": plan, "settings": settings }))?),
        }
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
        match self.args.output {
            MigrateOutput::Table => {
                let text = summary_view::text(&summary, self.ui.out_paint(), self.ui.columns());
                Ok(self.ui.data(&text)?)
            }
            MigrateOutput::Json => Ok(self.ui.json(&summary)?),
        }
    }
}
