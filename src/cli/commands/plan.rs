//! `ms2m plan POD --to NODE`.

use std::sync::Arc;

use clap::{ArgMatches, Args};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::subject::Subject;
use crate::cli::args::GlobalArgs;
use crate::cli::failure::Outcome;
use crate::cli::output::{Output, show};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{DiscoverArgs, SettingArgs};
use crate::cli::settings::migration::{Settings, Typed, Wanted};
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::{estimate as estimate_view, plan as plan_view};
use crate::cli::wire::Reached;
use crate::migration::error::Error;
use crate::migration::estimate::{Earlier, Estimate, Load, estimate};
use crate::migration::event::Silent;
use crate::migration::plan::Plan;
use crate::migration::ports::{Broker as _, Journal as _};

/// Show what moving a pod would do, and about how long that would take
///
/// The plan is that of migrate --dry-run, and what migrate would refuse is refused here. The estimate
/// rests on the container's memory, on the messages that the broker counts, and on what an earlier
/// migration took, if there was one; each step says on what. Nothing is changed.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The pod that would be moved, as worker-0 or pod/worker-0
    #[arg(value_parser = value::pod)]
    pub pod: String,

    /// The node that it would be moved to [default: as migrate would choose]
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Whether what is missing is looked up.
    #[command(flatten)]
    pub discover: DiscoverArgs,

    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Plans and reckons.
///
/// # Errors
/// As migrate: usage, or what stands against the migration.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &PlanArgs, matches: &ArgMatches) -> Outcome {
    let config = Config::load(global.config.as_deref())?;
    let mut layers = Layers::new(matches, &config);
    let typed = Typed::read(&args.settings.end, &layers)?;
    let planned = planned(ui, global, args, &mut layers, typed);
    let (plan, estimate) = runtime()?.block_on(Box::pin(planned))?;
    let settings = &layers.resolved;
    let value = json!({ "plan": plan, "estimate": estimate, "settings": settings });
    let text = || {
        let (paint, columns) = (ui.out_paint(), ui.columns());
        let plan = plan_view::body(&plan, settings, paint, columns);
        let estimate = estimate_view::text(&estimate, paint, columns);
        format!("{plan}\n\n{estimate}\n\n{}", plan_view::UNCHANGED)
    };
    show(ui, args.output, &value, || plan.name.clone(), text)
}

async fn planned(
    ui: &Ui,
    global: &GlobalArgs,
    args: &PlanArgs,
    layers: &mut Layers<'_>,
    typed: Typed,
) -> Result<(Plan, Estimate), Error> {
    let reached = Reached::connect(global).await?;
    let subject = Subject::of_pod(&reached, &args.pod).await?;
    layers.context.clone_from(&reached.context);
    if args.discover.discover {
        let looked = subject.discover(ui, &reached, &args.settings, &typed, layers);
        Box::pin(looked).await?;
    }
    let settings = subject.settle(&args.settings, layers, typed)?;
    let wanted = Wanted {
        pod: &subject.pod,
        to: args.to.as_deref(),
        name: None,
    };
    let request = settings.request(wanted, &reached.namespace);
    let engine = reached.engine(&settings, Arc::new(Silent), CancellationToken::new())?;
    let plan = engine.plan(&request).await?;
    let load = load(&reached, &settings, &plan).await;
    let estimate = estimate(&plan, &load, &settings.limits);
    Ok((plan, estimate))
}

/// What is known of the pod and its queue. Whatever cannot be seen is left out: the estimate says so.
pub(super) async fn load(reached: &Reached, settings: &Settings, plan: &Plan) -> Load {
    let broker = reached.broker(&settings.broker, settings.management.as_ref());
    let queues = [plan.queue.as_str()];
    let (memory, rates, queues, records) = tokio::join!(
        reached
            .cluster
            .memory_of(&plan.source_node, &plan.source_pod, &plan.container),
        broker.rates(&plan.queue),
        broker.queues(&queues),
        reached.journal.list()
    );
    let queue = queues.unwrap_or_default().into_iter().flatten().next();
    Load {
        memory: memory.ok().flatten(),
        rates,
        waiting: queue.map_or(0, |queue| queue.ready),
        earlier: Earlier::among(&records.unwrap_or_default(), &plan.source_pod),
    }
}
