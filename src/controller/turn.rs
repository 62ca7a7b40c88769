//! Which migration may begin beside those that are under way. Pure.

use std::fmt;

use crate::api::{StatefulMigration, Strategy};
use crate::migration::plan::target_pod_name;

/// How many migrations may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub at_once: usize,
    /// That leave or reach one node.
    pub per_node: usize,
}

/// What a migration takes up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The namespace of its pods.
    pub(super) namespace: String,
    /// Its pods: the source, and whatever may become its target.
    pub(super) pods: Vec<String>,
    /// Its nodes, as far as they are known: those of a migration whose target node is ms2m's to
    /// choose are complete once it was chosen.
    pub(super) nodes: Vec<String>,
}

impl Place {
    /// As far as the resource tells.
    pub(super) fn of(namespace: &str, found: &StatefulMigration) -> Self {
        let source = &found.spec.source_pod;
        let mut place = Self {
            namespace: namespace.to_owned(),
            // The name is taken whether or not the strategy will need it.
            pods: vec![source.clone(), target_pod_name(source, Strategy::ShadowPod)],
            nodes: Vec::new(),
        };
        place.nodes.extend(found.spec.target_node.clone());
        if let Some(status) = &found.status {
            let shadow = status.takeover.as_ref().map(|it| it.shadow_pod.clone());
            let pods = status.target_pod.clone().into_iter().chain(shadow);
            place.pods.extend(pods);
            place.nodes.extend(status.source_node.clone());
            place.nodes.extend(status.target_node.clone());
        }
        place.pods.sort_unstable();
        place.pods.dedup();
        place.nodes.sort_unstable();
        place.nodes.dedup();
        place
    }

    /// Adds a node that has become known.
    pub(super) fn add_node(&mut self, node: &str) {
        if !self.nodes.iter().any(|it| it == node) {
            self.nodes.push(node.to_owned());
        }
    }
}

/// Why a migration has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// As many as may be are under way: so many.
    AtOnce(usize),
    /// As many as may be leave or reach this node: so many.
    Node(String, usize),
    /// This pod is in another migration.
    Pod(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce(limit) => write!(
                f,
                "waits for its turn: {limit} of {limit} migrations are under way"
            ),
            Self::Node(node, limit) => write!(
                f,
                "waits for its turn: {limit} of {limit} migrations are under way that leave or reach node {node}"
            ),
            Self::Pod(pod) => write!(f, "waits for its turn: pod {pod} is in another migration"),
        }
    }
}

/// Whether `wanted` may begin beside those that are `under_way`.
///
/// # Errors
/// What stands in its way.
pub(super) fn may_begin<'a>(
    wanted: &Place,
    under_way: impl Iterator<Item = &'a Place> + Clone,
    limits: Limits,
) -> Result<(), Obstacle> {
    if under_way.clone().count() >= limits.at_once {
        return Err(Obstacle::AtOnce(limits.at_once));
    }
    let neighbours = under_way
        .clone()
        .filter(|it| it.namespace == wanted.namespace);
    for neighbour in neighbours {
        if let Some(pod) = wanted.pods.iter().find(|pod| neighbour.pods.contains(pod)) {
            return Err(Obstacle::Pod(pod.clone()));
        }
    }
    for node in &wanted.nodes {
        let there = under_way.clone().filter(|it| it.nodes.contains(node));
        if there.count() >= limits.per_node {
            return Err(Obstacle::Node(node.clone(), limits.per_node));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        at_once: 3,
        per_node: 2,
    };

    fn place(namespace: &str, pods: &[&str], nodes: &[&str]) -> Place {
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        Place {
            namespace: namespace.to_owned(),
            pods: owned(pods),
            nodes: owned(nodes),
        }
    }

    #[test]
    fn each_limit_holds_by_itself() {
        let one = place("shop", &["w-0"], &["a", "b"]);
        let two = place("shop", &["w-1", "w-1-shadow"], &["a", "c"]);
        let three = place("bank", &["w-0"], &["d", "e"]);
        let may = |wanted: &Place, under_way: &[&Place]| {
            may_begin(wanted, under_way.iter().copied(), LIMITS)
        };
        assert_eq!(may(&one, &[]), Ok(()));
        assert_eq!(may(&two, &[&one]), Ok(()));
        assert_eq!(
            may(&place("shop", &["w-2"], &["b", "a"]), &[&one, &two]),
            Err(Obstacle::Node("a".to_owned(), 2))
        );
        assert_eq!(
            may(&place("shop", &["w-2"], &["b", "c"]), &[&one, &two]),
            Ok(())
        );
        assert_eq!(
            may(&place("bank", &["w-9"], &[]), &[&one, &two, &three]),
            Err(Obstacle::AtOnce(3))
        );
    }

    #[test]
    fn a_pod_is_in_one_migration_at_a_time() {
        let other = place("shop", &["w-1", "w-1-shadow"], &["a", "c"]);
        let may = |namespace: &str, pod: &str| {
            may_begin(&place(namespace, &[pod], &[]), [&other].into_iter(), LIMITS)
        };
        assert_eq!(may("shop", "w-1"), Err(Obstacle::Pod("w-1".to_owned())));
        let target = Obstacle::Pod("w-1-shadow".to_owned());
        assert_eq!(may("shop", "w-1-shadow"), Err(target));
        assert_eq!(may("bank", "w-1"), Ok(()));
    }
}
