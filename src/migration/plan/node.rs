//! Nodes → the one that the pod goes to, and what holds between the two. Pure.

use super::examine::Rule;
use super::{InCluster, closest, runtime};
use crate::migration::error::Error;
use crate::migration::ports::{NodeView, PodView};

pub(super) fn source_node<'a>(pod: &PodView, world: &'a InCluster) -> Result<&'a NodeView, Error> {
    let name = pod.node.as_deref().unwrap_or_default();
    let node = world
        .nodes
        .iter()
        .find(|node| node.name == name)
        .ok_or_else(|| {
            Error::refused(format!(
                "node {name} of pod {} is not in the cluster",
                pod.name
            ))
        })?;
    if !node.ready {
        return Err(
            Error::refused(format!("node {name} of pod {} is not ready", pod.name))
                .hint("a checkpoint needs the source node's kubelet; wait until the node is back"),
        );
    }
    Ok(node)
}

/// The node that is named; without a name, of those that the pod can go to the one with the fewest
/// pods of its namespace.
pub(super) fn target_node<'a>(
    wanted: Option<&str>,
    source: &NodeView,
    world: &'a InCluster,
) -> Result<&'a NodeView, Error> {
    let Some(name) = wanted else {
        return choose(source, world);
    };
    let names = || world.nodes.iter().map(|node| node.name.as_str());
    let Some(node) = world.nodes.iter().find(|node| node.name == name) else {
        let error = Error::refused(format!("there is no node {name}"));
        return Err(match closest(name, names()) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint(format!(
                "the nodes are: {}",
                names().collect::<Vec<_>>().join(", ")
            )),
        });
    };
    is_another(source, node)?;
    Ok(node)
}

fn choose<'a>(source: &NodeView, world: &'a InCluster) -> Result<&'a NodeView, Error> {
    let crowd = |node: &NodeView| {
        let pods = world.around.crowd.get(&node.name);
        pods.copied().unwrap_or(0)
    };
    let mut against = Vec::new();
    let mut fit = Vec::new();
    for node in world.nodes.iter().filter(|node| node.name != source.name) {
        match reachable(source, node, world) {
            Ok(()) if node.unschedulable => against.push(format!("node {} is cordoned", node.name)),
            Ok(()) => fit.push(node),
            Err(error) => against.push(error.what),
        }
    }
    let best = fit
        .into_iter()
        .min_by_key(|node| (crowd(node), node.name.as_str()));
    best.ok_or_else(|| {
        let error = Error::refused("there is no node that the pod could go to");
        if against.is_empty() {
            error.because(format!("{} is the only one", source.name))
        } else {
            error.because(against.join("; "))
        }
    })
}

/// Whether the pod can go on there.
fn reachable(source: &NodeView, node: &NodeView, world: &InCluster) -> Result<(), Error> {
    is_another(source, node)?;
    let mut unsaid = Vec::new();
    RULES
        .iter()
        .try_for_each(|(_, holds)| holds(source, node, world, &mut unsaid))
}

/// Whether it is another node, and ready.
fn is_another(source: &NodeView, node: &NodeView) -> Result<(), Error> {
    let name = &node.name;
    if *name == source.name {
        return Err(
            Error::refused(format!("the pod already runs on node {name}"))
                .hint("name another node with --to"),
        );
    }
    if !node.ready {
        return Err(Error::refused(format!("node {name} is not ready"))
            .hint(format!("see why: kubectl describe node {name}")));
    }
    Ok(())
}

/// What holds between source and target node, or stands against it; warnings go into the list.
type Holds = fn(&NodeView, &NodeView, &InCluster, &mut Vec<String>) -> Result<(), Error>;

/// The rules for two nodes, in the order in which they are refused.
pub(super) const RULES: [(Rule, Holds); 8] = [
    (Rule::Architecture, architecture),
    (Rule::SameRuntime, same_runtime),
    (Rule::Checkpoints, checkpoints),
    (Rule::Restores, restores),
    (Rule::Kernel, kernel),
    (Rule::Cpu, cpu),
    (Rule::Fits, fits),
    (Rule::Claims, claims),
];

fn architecture(
    source: &NodeView,
    target: &NodeView,
    _: &InCluster,
    _: &mut Vec<String>,
) -> Result<(), Error> {
    if source.architecture == target.architecture {
        return Ok(());
    }
    Err(Error::refused(format!(
        "node {} is {} and node {} is {}: a process cannot go on there",
        source.name, source.architecture, target.name, target.architecture
    )))
}

/// A checkpoint is restored only by the runtime that took it.
fn same_runtime(
    source: &NodeView,
    target: &NodeView,
    _: &InCluster,
    _: &mut Vec<String>,
) -> Result<(), Error> {
    let product = |node: &NodeView| runtime::product(&node.runtime).to_owned();
    if product(source) == product(target) {
        return Ok(());
    }
    Err(Error::refused(format!(
        "node {} runs {} and node {} runs {}: neither restores the other's checkpoints",
        source.name, source.runtime, target.name, target.runtime
    ))
    .hint("choose a node with the same container runtime"))
}

fn checkpoints(
    source: &NodeView,
    _: &NodeView,
    _: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    runtime::allows(source, runtime::checkpoints(&source.runtime), warnings)
}

fn restores(
    _: &NodeView,
    target: &NodeView,
    _: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    runtime::allows(target, runtime::restores(&target.runtime), warnings)
}

/// A process may stand in a system call that an older kernel does not know.
fn kernel(
    source: &NodeView,
    target: &NodeView,
    _: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let version = |node: &NodeView| runtime::version(&node.kernel);
    if let (Some(from), Some(to)) = (version(source), version(target))
        && (to.major, to.minor) < (from.major, from.minor)
    {
        warnings.push(format!(
            "node {} has kernel {}, older than {} of node {}: a process that uses what is new there is not restored",
            target.name, target.kernel, source.kernel, source.name
        ));
    }
    Ok(())
}

/// Nodes tell their CPUs' features by the labels of node-feature-discovery alone.
fn cpu(
    source: &NodeView,
    target: &NodeView,
    _: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let lacking: Vec<&str> = source
        .cpu_features
        .difference(&target.cpu_features)
        .map(String::as_str)
        .collect();
    if !lacking.is_empty() && !target.cpu_features.is_empty() {
        warnings.push(format!(
            "the CPU of node {} lacks what that of node {} has: {}; a process that has found and uses it crashes there",
            target.name,
            source.name,
            lacking.join(", ")
        ));
    }
    Ok(())
}

fn fits(
    _: &NodeView,
    target: &NodeView,
    world: &InCluster,
    _: &mut Vec<String>,
) -> Result<(), Error> {
    let name = &target.name;
    match world.around.unfit.get(name) {
        None => Ok(()),
        Some(reason) => Err(Error::refused(format!(
            "the pod may not run on node {name}: {reason}"
        ))
        .hint("name another node with --to, or change the pod's rules")),
    }
}

fn claims(
    _: &NodeView,
    target: &NodeView,
    world: &InCluster,
    _: &mut Vec<String>,
) -> Result<(), Error> {
    let name = &target.name;
    for claim in &world.around.claims {
        if let Some(volume) = claim.out_of_reach.get(name) {
            return Err(Error::refused(format!(
                "claim {} cannot be mounted on node {name}",
                claim.name
            ))
            .because(format!(
                "its volume {volume} is bound to other nodes, as a local disk or one of another zone is"
            ))
            .hint("choose a node that reaches the volume; its contents do not travel with the pod"));
        }
    }
    Ok(())
}
