//! Every rule of a plan, in its order, and what each one found. Pure.
//!
//! There is one list of rules: [`super::plan`] stops at the first one that refuses, and a check shows
//! them all. A rule whose subject could not be seen is [`Found::Unseen`], never held.

use super::{AtBroker, InCluster, Request, broker, direct, node, owner, pod, target_pod_name};
use crate::api::{HandoffBinding, Strategy};
use crate::explain::{self, Code};
use crate::migration::error::Error;
use crate::migration::ports::{ContainerView, NodeView, OwnerView, PodView};

/// Something that has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // `title` says each.
pub enum Rule {
    Pod,
    Container,
    Owner,
    Transfer,
    SourceNode,
    TargetNode,
    Architecture,
    SameRuntime,
    Checkpoints,
    Restores,
    Kernel,
    Cpu,
    Fits,
    Claims,
    TargetName,
    Stays,
    Exchange,
    Bindings,
    Queue,
    Limits,
    Alone,
    Acknowledges,
    Handoff,
    ControlQueues,
    BaseImage,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The pod and what surrounds it.
    Pod,
    /// The two nodes.
    Nodes,
    /// Exchange, queues and their consumers.
    Broker,
}

impl Rule {
    /// What holds when the rule does.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Pod => "the pod runs",
            Self::Container => "its container runs",
            Self::Owner => "its owner lets it be moved",
            Self::Transfer => "the way of the checkpoint suits the strategy",
            Self::SourceNode => "its node is ready",
            Self::TargetNode => "the target node is another one, and ready",
            Self::Architecture => "both nodes have the same architecture",
            Self::SameRuntime => "both nodes run the same container runtime",
            Self::Checkpoints => "the source node's runtime takes checkpoints",
            Self::Restores => "the target node's runtime restores them",
            Self::Kernel => "the target node's kernel is not older",
            Self::Cpu => "the target node's CPU has what the source node's has",
            Self::Fits => "rules and tolerations allow the target node",
            Self::Claims => "the target node reaches its claims' volumes",
            Self::TargetName => "the target pod's name is free",
            Self::Stays => "nothing stays behind, and nothing is at risk",
            Self::Exchange => "the producers' exchange is there",
            Self::Bindings => "the queue is bound to it",
            Self::Queue => "the queue is there, consumed, and in no migration",
            Self::Limits => "no policy drops messages that wait",
            Self::Alone => "the pod is the queue's only consumer",
            Self::Acknowledges => "it acknowledges what it has applied",
            Self::Handoff => "the application takes part in the handoff",
            Self::ControlQueues => "nobody else listens on its control queue",
            Self::BaseImage => "the digest of its image is known",
        }
    }

    /// What explains its refusal, unless the refusal itself says something more particular.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Pod => &explain::POD_UNFIT,
            Self::Container | Self::BaseImage => &explain::CONTAINER_UNFIT,
            Self::Owner => &explain::OWNER_FORBIDS,
            Self::Transfer => &explain::OPTIONS_CLASH,
            Self::SourceNode => &explain::SOURCE_NODE_UNFIT,
            Self::TargetNode | Self::Kernel | Self::Cpu => &explain::TARGET_NODE_UNFIT,
            Self::Architecture => &explain::ARCHITECTURE_MISMATCH,
            Self::SameRuntime => &explain::RUNTIME_MISMATCH,
            Self::Checkpoints => &explain::RUNTIME_NO_CHECKPOINT,
            Self::Restores => &explain::RUNTIME_NO_RESTORE,
            Self::Fits => &explain::NODE_FORBIDDEN,
            Self::Claims => &explain::CLAIM_OUT_OF_REACH,
            Self::TargetName => &explain::TARGET_NAME_TAKEN,
            Self::Stays => &explain::LEFT_BEHIND,
            Self::Exchange => &explain::EXCHANGE_MISSING,
            Self::Bindings => &explain::QUEUE_UNBOUND,
            Self::Queue => &explain::QUEUE_MISSING,
            Self::Limits => &explain::QUEUE_DROPS,
            Self::Alone => &explain::QUEUE_SHARED,
            Self::Acknowledges => &explain::AUTOMATIC_ACKNOWLEDGEMENT,
            Self::Handoff => &explain::NO_CONTROL_QUEUE,
            Self::ControlQueues => &explain::CONTROL_QUEUE_SHARED,
        }
    }

    /// What it is about.
    #[must_use]
    pub fn subject(self) -> Subject {
        match self {
            Self::Pod
            | Self::Container
            | Self::Owner
            | Self::Transfer
            | Self::TargetName
            | Self::Stays
            | Self::BaseImage => Subject::Pod,
            Self::SourceNode
            | Self::TargetNode
            | Self::Architecture
            | Self::SameRuntime
            | Self::Checkpoints
            | Self::Restores
            | Self::Kernel
            | Self::Cpu
            | Self::Fits
            | Self::Claims => Subject::Nodes,
            Self::Exchange
            | Self::Bindings
            | Self::Queue
            | Self::Limits
            | Self::Alone
            | Self::Acknowledges
            | Self::Handoff
            | Self::ControlQueues => Subject::Broker,
        }
    }
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It holds, with these warnings.
    Held(Vec<String>),
    /// It stands against the migration.
    Refused(Error),
    /// It could not be looked at; the words say why.
    Unseen(&'static str),
}

/// A rule and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What came of it.
    pub found: Found,
}

/// The world as far as it could be seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// The pod, the nodes and what surrounds them.
    pub cluster: Option<&'a InCluster>,
    /// What is at the broker.
    pub broker: Option<&'a AtBroker>,
}

const BLOCKED: &str = "not looked at, since an earlier check failed";
const NOT_TOLD: &str = "the broker's management API does not tell";
const NOT_LABELLED: &str = "the nodes have no labels of node-feature-discovery that tell";
const NO_VERSION: &str = "a node does not tell the version of its kernel";
const NOT_ALLOWED: &str = "you are not allowed to look at all of them";

/// What a plan is made of.
pub(super) struct Chosen<'a> {
    pub(super) pod: &'a PodView,
    pub(super) container: &'a ContainerView,
    pub(super) strategy: Strategy,
    pub(super) owner: Option<OwnerView>,
    pub(super) source_node: &'a NodeView,
    pub(super) target_node: &'a NodeView,
    pub(super) target_pod: String,
    pub(super) bindings: Vec<HandoffBinding>,
    pub(super) base_image: String,
}

/// What every rule found, in the order in which they are refused; the choices too, if all could be
/// made.
pub(super) fn examine<'a>(request: &Request, seen: Seen<'a>) -> (Vec<Finding>, Option<Chosen<'a>>) {
    let mut walk = Walk::default();
    let in_cluster = cluster(request, seen.cluster, &mut walk);
    let strategy = in_cluster.owned.as_ref().map(|(strategy, _)| *strategy);
    let bindings = at_broker(request, seen.broker, strategy, &mut walk);
    let base_image = walk.of(
        Rule::BaseImage,
        in_cluster.container,
        |container, warnings| Ok(pod::base_image(container, warnings)),
    );
    let chosen = in_cluster.chosen(request, bindings, base_image);
    (walk.findings, chosen)
}

/// What was chosen in the cluster.
struct Choices<'a> {
    pod: Option<&'a PodView>,
    container: Option<&'a ContainerView>,
    owned: Option<(Strategy, Option<OwnerView>)>,
    source: Option<&'a NodeView>,
    target: Option<&'a NodeView>,
}

impl<'a> Choices<'a> {
    /// All that a plan is made of, if everything could be chosen.
    fn chosen(
        self,
        request: &Request,
        bindings: Option<Vec<HandoffBinding>>,
        base_image: Option<String>,
    ) -> Option<Chosen<'a>> {
        let (strategy, owner) = self.owned?;
        Some(Chosen {
            pod: self.pod?,
            container: self.container?,
            strategy,
            owner,
            source_node: self.source?,
            target_node: self.target?,
            target_pod: target_pod_name(&request.spec.source_pod, strategy),
            bindings: bindings?,
            base_image: base_image?,
        })
    }
}

fn cluster<'a>(request: &Request, world: Option<&'a InCluster>, walk: &mut Walk) -> Choices<'a> {
    let spec = &request.spec;
    let pod = walk.of(Rule::Pod, world, |world, _| pod::source_pod(request, world));
    let container = walk.of(Rule::Container, pod, |pod, _| {
        pod::container(pod, spec.container_name.as_deref())
    });
    let owned = walk.of(Rule::Owner, world.zip(pod), |(world, pod), warnings| {
        owner::strategy(spec, pod, world, warnings)
    });
    let strategy = owned.as_ref().map(|(strategy, _)| *strategy);
    walk.of(Rule::Transfer, strategy, |strategy, warnings| {
        direct::suits(spec, strategy, warnings)
    });
    let source = walk.of(Rule::SourceNode, world.zip(pod), |(world, pod), _| {
        node::source_node(pod, world)
    });
    let target = walk.of(Rule::TargetNode, world.zip(source), |(world, source), _| {
        node::target_node(spec.target_node.as_deref(), source, world)
    });
    let nodes = source.zip(target);
    for (rule, holds) in node::RULES {
        let given = world.zip(nodes);
        walk.of(rule, given, |(world, (source, target)), warnings| {
            holds(source, target, world, warnings)
        });
        if let Some((source, target)) = nodes {
            walk.doubt(doubt(rule, source, target, world));
        }
    }
    walk.of(
        Rule::TargetName,
        world.zip(strategy),
        |(world, strategy), _| {
            let target = target_pod_name(&spec.source_pod, strategy);
            super::is_free(request, &spec.source_pod, &target, world)
        },
    );
    let given = world.zip(pod).zip(container).zip(strategy);
    walk.of(
        Rule::Stays,
        given,
        |(((world, pod), container), strategy), warnings| {
            pod::what_stays(spec, pod, container, strategy, world, warnings)
        },
    );
    Choices {
        pod,
        container,
        owned,
        source,
        target,
    }
}

/// Why a rule for two nodes holds only for want of something to look at.
fn doubt(
    rule: Rule,
    source: &NodeView,
    target: &NodeView,
    world: Option<&InCluster>,
) -> Option<&'static str> {
    let unread = |node: &NodeView| super::runtime::version(&node.kernel).is_none();
    let looked = match rule {
        Rule::Cpu if source.cpu_features.is_empty() || target.cpu_features.is_empty() => {
            NOT_LABELLED
        }
        Rule::Kernel if unread(source) || unread(target) => NO_VERSION,
        Rule::Claims if world.is_some_and(|world| !world.around.unseen.is_empty()) => NOT_ALLOWED,
        _ => return None,
    };
    Some(looked)
}

fn at_broker(
    request: &Request,
    world: Option<&AtBroker>,
    strategy: Option<Strategy>,
    walk: &mut Walk,
) -> Option<Vec<HandoffBinding>> {
    let spec = &request.spec;
    walk.of(Rule::Exchange, world, |world, _| {
        broker::exchange(spec, world)
    });
    // Without its queue there is nothing to be said of what hangs on it.
    let with_queue = world.filter(|world| world.queue.is_some());
    let bindings = walk.of(Rule::Bindings, with_queue, |world, warnings| {
        broker::bindings(spec, world, warnings)
    });
    walk.of(Rule::Queue, world, |world, _| broker::queue(spec, world));
    let not_told = with_queue.map_or(BLOCKED, |_| NOT_TOLD);
    let told = with_queue.filter(|world| world.limits.is_some());
    walk.of_told(Rule::Limits, told.ok_or(not_told), |world, warnings| {
        broker::limits(spec, world, warnings)
    });
    walk.of(Rule::Alone, with_queue, |world, warnings| {
        broker::alone(spec, world, warnings)
    });
    let told = with_queue.filter(|world| world.consumers.is_some());
    walk.of_told(
        Rule::Acknowledges,
        told.ok_or(not_told),
        |world, warnings| broker::acknowledges(spec, world, warnings),
    );
    walk.of(Rule::Handoff, world, |world, warnings| {
        broker::handoff(spec, &spec.source_pod, world, warnings)
    });
    let target = target_pod_name(&spec.source_pod, strategy.unwrap_or(Strategy::ShadowPod));
    walk.of(Rule::ControlQueues, world, |world, _| {
        broker::control_queues(&spec.source_pod, &target, world)
    });
    bindings
}

/// The findings so far.
#[derive(Default)]
struct Walk {
    findings: Vec<Finding>,
}

impl Walk {
    /// Looks at a rule, if what it is about is there.
    fn of<G, T>(
        &mut self,
        rule: Rule,
        given: Option<G>,
        look: impl FnOnce(G, &mut Vec<String>) -> Result<T, Error>,
    ) -> Option<T> {
        self.of_told(rule, given.ok_or(BLOCKED), look)
    }

    /// The same with a reason of its own why there is nothing to look at.
    fn of_told<G, T>(
        &mut self,
        rule: Rule,
        given: Result<G, &'static str>,
        look: impl FnOnce(G, &mut Vec<String>) -> Result<T, Error>,
    ) -> Option<T> {
        let mut warnings = Vec::new();
        let (found, value) = match given.map(|given| look(given, &mut warnings)) {
            Ok(Ok(value)) => (Found::Held(warnings), Some(value)),
            Ok(Err(error)) => (Found::Refused(error.or_code(rule.code())), None),
            Err(why) => (Found::Unseen(why), None),
        };
        self.findings.push(Finding { rule, found });
        value
    }

    /// Takes back what held only because there was nothing to look at.
    fn doubt(&mut self, why: Option<&'static str>) {
        if let Some(why) = why
            && let Some(last) = self.findings.last_mut()
            && matches!(&last.found, Found::Held(warnings) if warnings.is_empty())
        {
            last.found = Found::Unseen(why);
        }
    }
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
