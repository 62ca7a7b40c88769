//! `ms2m drain NODE`.

mod crew;
mod fleet;
mod sort;
mod survey;
mod turn;

use clap::{ArgMatches, Args};

use self::fleet::Fleet;
use self::survey::{Given, Surveyed};
use crate::cli::args::{GlobalArgs, ProgressMode};
use crate::cli::failure::{self, Failure, Outcome, refused};
use crate::cli::output::{Output, show};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{EndArgs, ManyArgs, OneArgs, SettingArgs};
use crate::cli::settings::migration::Typed;
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::drain::{self as view, Ending, Survey};
use crate::cli::wire::Reached;
use crate::explain;
use crate::migration::error::Error;
use crate::migration::plan::closest;
use crate::migration::ports::{Cluster as _, NodeView};

/// Move every movable pod of a node to other nodes
///
/// A plan for each pod comes first, and nothing begins unless every pod can move or --partial is
/// given. What a pod's queue is, its own annotations say (migration.ms2m.io/queue, and routing-key
/// and container where they matter); the other settings are found as by ms2m migrate. Pods of
/// DaemonSets, static and finished pods are left where they are. An unfinished migration away from
/// the node is gone on with.
///
/// Pods with one owner move one after the other, others side by side. When one fails, those under
/// way go on and no further one begins. Progress is a line an event, with the pod's name.
///
/// The node is not cordoned: kubectl cordon NODE first, or new pods may come to it meanwhile.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The node to empty, as node-a or node/node-a
    #[arg(value_name = "NODE", value_parser = value::node)]
    pub node: String,

    /// The node to move them to [default: for each pod the one with the fewest pods of its namespace]
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Pods of all namespaces, whatever --namespace says
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,

    /// Only pods with these labels, as app=worker
    #[arg(
        short = 'l',
        long,
        value_name = "LABELS",
        env = "MS2M_SELECTOR",
        hide_env_values = true
    )]
    pub selector: Option<String>,

    /// How many pods move at once
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..), env = "MS2M_AT_ONCE", hide_env_values = true)]
    pub at_once: u16,

    /// Move those that can move, even if there are others that cannot
    #[arg(long)]
    pub partial: bool,

    /// Begin further pods after one has failed
    #[arg(long)]
    pub keep_going: bool,

    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// The settings that ending takes too.
    #[command(flatten)]
    pub end: EndArgs,

    /// The settings that the pods share.
    #[command(flatten)]
    pub many: ManyArgs,
}

/// Empties the node.
///
/// # Errors
/// Any kind of [`Error`]; once something has begun, the gravest of all pods'.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &DrainArgs, matches: &ArgMatches) -> Outcome {
    let config = Config::load(global.config.as_deref())?;
    let typed = Typed::read(&args.end, &Layers::new(matches, &config))?;
    let given = Given {
        args,
        settings: SettingArgs {
            end: args.end.clone(),
            one: OneArgs::default(),
            many: args.many.clone(),
        },
        typed,
        matches,
        config: &config,
    };
    runtime()?.block_on(Box::pin(drain(ui, global, &given)))
}

async fn drain(ui: &Ui, global: &GlobalArgs, given: &Given<'_>) -> Outcome {
    let args = given.args;
    let reached = Reached::connect(global).await?;
    let nodes = reached.cluster.nodes().await;
    let nodes = nodes.map_err(|error| refused("failed to look at the nodes", &error))?;
    let schedulable = check(&nodes, args)?;
    let surveyed = survey::survey(&reached, given).await?;
    let survey = surveyed.survey();
    if let Some(error) = objection(survey, args.partial) {
        return refuse(ui, args, survey, error);
    }
    if args.dry_run {
        let value = view::document(survey, None, None);
        let text = || view::plan(survey, ui.out_paint());
        return show(ui, args.output, &value, || names(survey), text);
    }
    let asks = !args.yes && ui.can_ask() && !survey.moves.is_empty();
    let text = view::plan(survey, ui.err_paint());
    if asks {
        ui.insist(&text);
    } else {
        ui.words(&text);
    }
    if schedulable && !survey.moves.is_empty() {
        let node = &args.node;
        ui.words(&format!(
            "warning: node {node} is schedulable, so new pods may come to it: kubectl cordon {node}"
        ));
    }
    if asks && ui.confirm("Move them?") == Some(false) {
        return Err(Error::refused("not confirmed")
            .code(&explain::NOT_CONFIRMED)
            .into());
    }
    move_all(ui, global, args, &surveyed).await
}

async fn move_all(ui: &Ui, global: &GlobalArgs, args: &DrainArgs, surveyed: &Surveyed) -> Outcome {
    let survey = surveyed.survey();
    let fleet = Fleet::new(ui, global, args, surveyed);
    let stopping = fleet.stopping();
    let endings = Box::pin(fleet.run()).await?;
    if !(endings.is_empty() && args.output.is_for_people()) {
        let value = view::document(survey, Some(&endings), None);
        let text = || view::results(survey, &endings, ui.columns());
        show(ui, args.output, &value, || names(survey), text)?;
    }
    let watched = !ui.is_quiet() && global.progress != ProgressMode::None;
    tell_failures(ui, survey, &endings, watched);
    match view::exit_code(&endings, stopping.is_cancelled()) {
        0 => Ok(()),
        code => Err(Failure::Told(code)),
    }
}

/// Sees that the nodes are there; whether new pods may still come to the one that is emptied.
fn check(nodes: &[NodeView], args: &DrainArgs) -> Result<bool, Error> {
    let node = &args.node;
    if args.to.as_ref() == Some(node) {
        return Err(
            Error::usage(format!("node {node} is the one to be emptied"))
                .hint("name another node with --to, or none"),
        );
    }
    let Some(found) = nodes.iter().find(|it| it.name == *node) else {
        let error =
            Error::refused(format!("there is no node {node}")).code(&explain::TARGET_NODE_UNFIT);
        let mut names = nodes.iter().map(|it| it.name.as_str());
        return Err(match closest(node, names.clone()) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint(format!(
                "the nodes are: {}",
                names.by_ref().collect::<Vec<_>>().join(", ")
            )),
        });
    };
    Ok(!found.unschedulable)
}

/// The pods that move.
fn names(survey: &Survey) -> String {
    let names = survey.moves.iter().map(|it| it.label.as_str());
    names.collect::<Vec<_>>().join("\n")
}

/// Why nothing begins.
fn objection(survey: &Survey, partial: bool) -> Option<Error> {
    let (moves, stays) = (survey.moves.len(), survey.stays.len());
    let node = &survey.node;
    let all = moves + stays;
    if stays == 0 {
        return None;
    }
    if moves == 0 {
        let what = format!("no pod of node {node} can move: the plan says why");
        return Some(Error::refused(what).code(&explain::CANNOT_ALL_MOVE));
    }
    let error = Error::refused(format!(
        "{stays} of {all} pods of node {node} cannot move: the plan says why"
    ))
    .code(&explain::CANNOT_ALL_MOVE);
    (!partial).then(|| error.hint("--partial moves the others"))
}

/// The plan and the objection: nothing was begun.
fn refuse(ui: &Ui, args: &DrainArgs, survey: &Survey, error: Error) -> Outcome {
    match args.output {
        Output::Table | Output::Wide if args.dry_run => {
            ui.data(&view::plan(survey, ui.out_paint()))?;
        }
        Output::Table | Output::Wide | Output::Name => {
            ui.insist(&view::plan(survey, ui.err_paint()));
        }
        Output::Json | Output::Yaml => {
            let value = view::document(survey, None, Some(&error));
            show(ui, args.output, &value, String::new, String::new)?;
            ui.insist(&view::plan(survey, ui.err_paint()));
            ui.insist(&failure::text(&error, ui.err_paint()));
            return Err(Failure::Told(error.kind.exit_code()));
        }
    }
    Err(error.into())
}

/// Each failure in full; what was undone only if nobody has watched that.
fn tell_failures(ui: &Ui, survey: &Survey, endings: &[Ending], watched: bool) {
    for (it, ending) in survey.moves.iter().zip(endings) {
        let Ending::Failed(error) = ending else {
            continue;
        };
        let text = if watched {
            failure::text(&failure::without_undone(error), ui.err_paint())
        } else {
            failure::text(error, ui.err_paint())
        };
        ui.insist(&format!("{}: {text}", it.label));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::commands::which::tests::record;
    use crate::cli::view::drain::{How, Move, Stay};

    fn survey(moves: usize, stays: usize) -> Survey {
        let (namespace, pod) = (String::new, || "w".to_owned());
        Survey {
            node: "node-a".to_owned(),
            moves: (0..moves)
                .map(|_| Move {
                    label: pod(),
                    namespace: namespace(),
                    pod: pod(),
                    how: How::GoesOn(Box::new(record("w-1", "w"))),
                })
                .collect(),
            stays: (0..stays)
                .map(|_| Stay {
                    label: pod(),
                    namespace: namespace(),
                    pod: pod(),
                    error: Error::refused("it cannot"),
                })
                .collect(),
            aside: BTreeMap::new(),
        }
    }

    #[test]
    fn nothing_begins_while_a_pod_cannot_move_unless_that_is_said() {
        assert_eq!(objection(&survey(0, 0), false), None);
        assert_eq!(objection(&survey(2, 0), false), None);
        let some = objection(&survey(2, 1), false).expect("one cannot move");
        assert!(some.what.starts_with("1 of 3 pods"), "{some}");
        assert_eq!(some.hints, ["--partial moves the others"]);
        assert_eq!(objection(&survey(2, 1), true), None);
        assert!(objection(&survey(0, 1), true).is_some());
    }
}
