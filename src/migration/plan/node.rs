//! Nodes → the one that the pod goes to. Pure.

use super::{World, closest};
use crate::migration::error::Error;
use crate::migration::ports::{NodeView, PodView};

pub(super) fn source_node<'a>(pod: &PodView, world: &'a World) -> Result<&'a NodeView, Error> {
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
    world: &'a World,
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
    reachable(source, node, world)?;
    Ok(node)
}

fn choose<'a>(source: &NodeView, world: &'a World) -> Result<&'a NodeView, Error> {
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
fn reachable(source: &NodeView, node: &NodeView, world: &World) -> Result<(), Error> {
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
    comparable(source, node)?;
    if let Some(reason) = world.around.unfit.get(name) {
        return Err(
            Error::refused(format!("the pod may not run on node {name}: {reason}"))
                .hint("name another node with --to, or change the pod's rules"),
        );
    }
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

/// A checkpoint is restored only by the runtime that took it, and on its own architecture.
fn comparable(source: &NodeView, target: &NodeView) -> Result<(), Error> {
    if source.architecture != target.architecture {
        return Err(Error::refused(format!(
            "node {} is {} and node {} is {}: a process cannot go on there",
            source.name, source.architecture, target.name, target.architecture
        )));
    }
    let product = |node: &NodeView| {
        node.runtime
            .split("://")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    if product(source) != product(target) {
        return Err(Error::refused(format!(
            "node {} runs {} and node {} runs {}: neither restores the other's checkpoints",
            source.name, source.runtime, target.name, target.runtime
        ))
        .hint("choose a node with the same container runtime"));
    }
    Ok(())
}
