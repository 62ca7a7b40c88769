//! Nodes: whether they are ready, what their runtimes and kubelets can do, and whether there are two
//! between which a pod can be moved.

use super::{Check, Group};
use crate::cluster::{Answer, Gate};
use crate::explain;
use crate::migration::plan;
use crate::migration::ports::{NodeView, PortResult};

/// What was seen of a node.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// The node.
    pub node: NodeView,
    /// Its kubelet's gate `ContainerCheckpoint`.
    pub gate: PortResult<Gate>,
    /// Whether a checkpoint call would get through to it.
    pub call: Answer,
}

/// The group of one node, for a cluster.
#[must_use]
pub fn node(facts: &NodeFacts) -> Group {
    let node = &facts.node;
    let mut checks = vec![ready(node), runtime(node)];
    if node.ready {
        checks.extend(kubelet(facts));
    }
    Group::new(format!("Node {}", node.name), checks)
}

/// What only the source node has to do: the kubelet's part.
#[must_use]
pub fn source(facts: &NodeFacts) -> Vec<Check> {
    kubelet(facts)
}

/// Whether there are two ready nodes of one runtime and architecture.
#[must_use]
pub fn partners(nodes: &[NodeView]) -> Check {
    const NAME: &str = "there are two nodes between which a pod can be moved";
    let alike = |one: &NodeView, other: &NodeView| {
        one.name != other.name
            && other.ready
            && one.architecture == other.architecture
            && plan::runtime_name(&one.runtime) == plan::runtime_name(&other.runtime)
    };
    let mut ready = nodes.iter().filter(|node| node.ready);
    if ready.any(|one| nodes.iter().any(|other| alike(one, other))) {
        return Check::pass(NAME);
    }
    Check::fail(
        NAME,
        &explain::NO_TWO_NODES,
        "no two nodes that are ready have the same container runtime and the same architecture",
    )
    .hint("see what they have: kubectl get nodes -o wide")
}

fn ready(node: &NodeView) -> Check {
    const NAME: &str = "it is ready";
    if !node.ready {
        return Check::fail(
            NAME,
            &explain::SOURCE_NODE_UNFIT,
            "no pod can be moved from or to it: it takes its kubelet",
        )
        .hint(format!("see why: kubectl describe node {}", node.name));
    }
    if node.unschedulable {
        return Check::warn(
            NAME,
            "it is cordoned: pods are moved away from it, and to it only when it is named",
        )
        .hint(format!("kubectl uncordon {}", node.name));
    }
    Check::pass(NAME)
}

fn runtime(node: &NodeView) -> Check {
    let name = format!(
        "its runtime takes and restores checkpoints ({})",
        node.runtime
    );
    let mut warnings = Vec::new();
    match plan::runtime_suits(node, &mut warnings) {
        Err(error) => Check::refused(name, &error),
        Ok(()) if warnings.is_empty() => Check::pass(name),
        Ok(()) => warnings
            .into_iter()
            .fold(Check::new(super::Outcome::Warn, name), Check::because),
    }
}

fn kubelet(facts: &NodeFacts) -> Vec<Check> {
    vec![gate(facts), call(facts)]
}

fn gate(facts: &NodeFacts) -> Check {
    let node = &facts.node.name;
    let name = format!("the kubelet of {node} has ContainerCheckpoint on");
    let look = format!(
        "look yourself: kubectl get --raw /api/v1/nodes/{node}/proxy/metrics | grep ContainerCheckpoint"
    );
    match &facts.gate {
        Ok(Gate::On) => Check::pass(name),
        Ok(Gate::Off) => Check::fail(name, &explain::NO_CHECKPOINT_CALL, "without it the kubelet knows no checkpoint call").hint(
            format!(
                "on node {node} put `featureGates: {{ContainerCheckpoint: true}}` into the kubelet's configuration \
                 (/var/lib/kubelet/config.yaml), then: systemctl restart kubelet"
            ),
        ),
        // The call itself has shown that it is.
        _ if facts.call == Answer::Yes => Check::pass(name),
        Ok(Gate::Untold) => Check::warn(name, "its metrics do not tell").hint(look),
        Err(error) => Check::warn(name, error.to_string()).hint(look),
    }
}

fn call(facts: &NodeFacts) -> Check {
    let node = &facts.node.name;
    let name = format!("a checkpoint call gets through to the kubelet of {node}");
    match &facts.call {
        Answer::Yes => Check::pass(name),
        Answer::No { words, remedies } => Check {
            remedies: remedies.clone(),
            ..Check::fail(
                name,
                explain::recognise(words).unwrap_or(&explain::CHECKPOINT_FAILED),
                words.clone(),
            )
        },
        Answer::Unknown(why) => Check::skipped(name, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::migration::error::PortError;

    fn view(name: &str, runtime: &str) -> NodeView {
        NodeView {
            name: name.to_owned(),
            ready: true,
            runtime: runtime.to_owned(),
            architecture: "amd64".to_owned(),
            ..NodeView::default()
        }
    }

    fn outcomes(facts: &NodeFacts) -> Vec<Outcome> {
        node(facts).checks.iter().map(|it| it.outcome).collect()
    }

    #[test]
    fn two_nodes_of_a_kind_are_needed() {
        let crio = |name: &str| view(name, "cri-o://1.36.3");
        let outcome = |nodes: &[NodeView]| partners(nodes).outcome;
        assert_eq!(outcome(&[crio("a"), crio("b")]), Outcome::Pass);
        assert_eq!(outcome(&[crio("a")]), Outcome::Fail);
        let other = view("b", "containerd://2.1.9");
        assert_eq!(outcome(&[crio("a"), other]), Outcome::Fail);
        let unready = NodeView {
            ready: false,
            ..crio("b")
        };
        assert_eq!(outcome(&[crio("a"), unready.clone()]), Outcome::Fail);
        assert_eq!(outcome(&[unready, crio("a"), crio("c")]), Outcome::Pass);
    }

    #[test]
    fn a_gate_that_nobody_may_look_at_is_no_pass_unless_the_call_shows_it() {
        let denied = || Err(PortError::Denied("forbidden".to_owned()));
        let mut facts = NodeFacts {
            node: view("a", "cri-o://1.36.3"),
            gate: denied(),
            call: Answer::Unknown("forbidden".to_owned()),
        };
        let pass = Outcome::Pass;
        assert_eq!(
            outcomes(&facts),
            [pass, pass, Outcome::Warn, Outcome::Skipped]
        );
        facts.call = Answer::Yes;
        assert_eq!(outcomes(&facts), [pass; 4]);
        facts.gate = Ok(Gate::Off);
        assert_eq!(outcomes(&facts)[2], Outcome::Fail);
        facts.node.ready = false;
        assert_eq!(outcomes(&facts), [Outcome::Fail, pass]);
    }
}
