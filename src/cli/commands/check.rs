//! `ms2m check [POD]`.

mod of_cluster;
mod of_pod;
mod probing;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use crate::check::{self, Group, NodeFacts, Report};
use crate::cli::args::GlobalArgs;
use crate::cli::exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Output, show};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{DiscoverArgs, SettingArgs};
use crate::cli::settings::migration::Typed;
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::{Ui, without_userinfo};
use crate::cli::view::check as view;
use crate::cli::wire::Reached;
use crate::cluster::ServiceName;
use crate::cluster::rights::Permission;
use crate::migration::error::Error;
use crate::migration::ports::{NodeView, PortResult};
use probing::Probing;

/// Check whether a cluster, or one pod's migration, has everything that it takes
///
/// Without a pod the cluster is checked: the API server, your permissions, each node, the namespace, and
/// registry and broker where a setting names them. With one everything that its migration would
/// refuse is looked at as well, and all of it is shown, not only what comes first.
///
/// With --probe a short-lived pod looks at each node's own files for what no API tells: CRIU and its
/// options, the runtime's switches, the room for checkpoints. It runs the transfer's image as nobody,
/// sees /etc, /usr and the checkpoint directory read-only, and is removed again; of a pod's migration
/// there is one on either node.
///
/// Nothing else is changed. Pods are made in a dry run only, the checkpoint call is made for a pod that
/// cannot exist, an upload to the registry is begun and given up, and the broker's permissions are
/// tried with a queue that goes with its connection.
///
/// What holds is marked ✓, what should be known !, what fails ✗, each with what to do about it; what
/// could not be looked at is marked -. The exit code is 3 if anything fails.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The pod that would be moved, as worker-0 or pod/worker-0
    #[arg(value_parser = value::pod)]
    pub pod: Option<String>,

    /// The node that it would be moved to [default: as migrate would choose]
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Look at the nodes' own files too, by a short-lived pod on each
    #[arg(long)]
    pub probe: bool,

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

/// Checks.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]; or the code of a refusal, if any check fails.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &CheckArgs, matches: &ArgMatches) -> Outcome {
    if args.discover.discover && args.pod.is_none() {
        return Err(Error::usage("--discover takes a pod to look at").into());
    }
    // The environment's is for migrations; without a pod it says nothing.
    let typed = matches.value_source("to") == Some(ValueSource::CommandLine);
    if typed && args.pod.is_none() {
        return Err(Error::usage("--to takes a pod that would be moved there")
            .hint("name the pod before it, or leave --to out: without a pod every node is checked")
            .into());
    }
    let config = Config::load(global.config.as_deref())?;
    let layers = Layers::new(matches, &config);
    let typed = Typed::read(&args.settings.end, &layers)?;
    let report = runtime()?.block_on(Box::pin(checked(ui, global, args, layers, typed)))?;
    let Some(report) = report else {
        ui.words("interrupted: the pods that looked at the nodes are removed, but for those that a warning names");
        return Err(Failure::Told(exit::INTERRUPTED));
    };
    tell(ui, args, &report)
}

async fn checked(
    ui: &Ui,
    global: &GlobalArgs,
    args: &CheckArgs,
    mut layers: Layers<'_>,
    typed: Typed,
) -> Result<Option<Report>, Failure> {
    let reached = Reached::connect(global).await?;
    layers.context.clone_from(&reached.context);
    let version = reached.cluster.server_version().await;
    let mut groups = vec![check::api(&version)];
    let probing = args.probe.then(|| Probing::begin(ui, &reached.namespace));
    let probing = probing.transpose()?;
    if version.is_ok() {
        let probing = probing.as_ref();
        groups.extend(match &args.pod {
            Some(pod) => {
                Box::pin(of_pod::groups(
                    ui,
                    &reached,
                    pod,
                    args,
                    &mut layers,
                    typed,
                    probing,
                ))
                .await?
            }
            None => {
                Box::pin(of_cluster::groups(
                    &reached,
                    args,
                    &mut layers,
                    typed,
                    probing,
                ))
                .await?
            }
        });
    }
    let stopped = probing.is_some_and(|it| it.is_stopped());
    Ok((!stopped).then(|| Report::new(groups)))
}

/// What else can be looked at.
const MORE: &str = "add --probe to look at the nodes' own files too: CRIU, its options, the runtime's switches, the disk";

fn tell(ui: &Ui, args: &CheckArgs, report: &Report) -> Outcome {
    let text = || {
        let text = view::text(report, ui.out_paint());
        let text = without_userinfo(&text).into_owned();
        if args.probe || report.groups.len() < 2 {
            text
        } else {
            format!("{text}\n{MORE}")
        }
    };
    show(ui, args.output, report, || failed(report), text)?;
    if report.ok {
        Ok(())
    } else {
        Err(Failure::Told(exit::REFUSED))
    }
}

/// The codes of what fails.
fn failed(report: &Report) -> String {
    let checks = report.groups.iter().flat_map(|group| &group.checks);
    let codes = checks
        .filter(|check| check.outcome == check::Outcome::Fail)
        .filter_map(|check| check.code);
    codes.map(|it| it.code).collect::<Vec<_>>().join("\n")
}

/// What the kubelet of `node` can do.
async fn facts(reached: &Reached, node: NodeView) -> NodeFacts {
    let (gate, call) = tokio::join!(
        reached.cluster.feature_gate(&node.name, GATE),
        reached.cluster.try_checkpoint_call(&node.name)
    );
    NodeFacts { node, gate, call }
}

/// The kubelet's feature gate of the checkpoint call.
const GATE: &str = "ContainerCheckpoint";

/// The caller's permissions, with those of the tunnel to a broker where it takes one.
async fn permissions(
    reached: &Reached,
    tunnel: Option<&ServiceName>,
) -> PortResult<Vec<Permission>> {
    let mut all = reached.cluster.permissions().await?;
    if let Some(service) = tunnel {
        let namespace = &service.namespace;
        all.extend(reached.cluster.tunnel_permissions(namespace).await?);
    }
    Ok(all)
}

/// The group of something that no setting names.
fn unnamed(group: &str, setting: &crate::cli::settings::table::Setting) -> Group {
    let why = format!(
        "nothing says {} ({}, {})",
        setting.what,
        setting.flag(),
        setting.env()
    );
    Group::new(group, vec![check::Check::skipped("it answers", why)])
}
