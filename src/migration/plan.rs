//! Observed facts → a validated [`Plan`]: the only way into the engine.
//!
//! Pure: it reads nothing and changes nothing. What it refuses, it refuses with the remedy.

use serde::Serialize;

use super::error::Error;
use super::handoff::names::control_queue;
use super::ports::{
    BrokerView, ConsumerView, ContainerView, MissingPermission, NodeView, PodView, QueueView,
};
use crate::api::{
    Compression, Handoff, HandoffBinding, StaleIdentity, StatefulMigrationSpec, Strategy,
};

/// What somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Name of the migration.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// What to move, where to, and how. The broker's URL is without user and password.
    pub spec: StatefulMigrationSpec,
}

/// The world as it was seen for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Rights that the caller lacks. Where there are any, the rest was not looked at.
    pub missing: Vec<MissingPermission>,
    /// The source pod.
    pub pod: Option<PodView>,
    /// The other pods of the namespace.
    pub pod_names: Vec<String>,
    /// All nodes.
    pub nodes: Vec<NodeView>,
    /// The broker.
    pub broker: BrokerView,
    /// Whether the exchange is there.
    pub exchange_exists: bool,
    /// The primary queue.
    pub queue: Option<QueueView>,
    /// Its bindings, where the broker tells.
    pub bindings: Option<Vec<HandoffBinding>>,
    /// Parts of a gate that are there already.
    pub leftovers: Vec<String>,
    /// Who consumes the primary queue, where the broker tells.
    pub consumers: Option<Vec<ConsumerView>>,
    /// Whether the source's control queue is there.
    pub has_control_queue: bool,
    /// Consumers on the control queues of the source and of the target.
    pub control_consumers: (u64, u64),
}

impl World {
    /// A world that was not looked at, for want of rights.
    #[must_use]
    pub fn lacking(missing: Vec<MissingPermission>) -> Self {
        Self {
            missing,
            pod: None,
            pod_names: Vec::new(),
            nodes: Vec::new(),
            broker: BrokerView {
                product: String::new(),
                management: None,
            },
            exchange_exists: false,
            queue: None,
            bindings: None,
            leftovers: Vec::new(),
            consumers: None,
            has_control_queue: false,
            control_consumers: (0, 0),
        }
    }
}

/// A migration that fits the world as it was seen: every choice made, every name settled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the migration.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod that moves.
    pub source_pod: String,
    /// Its uid.
    pub source_uid: String,
    /// The node that it leaves.
    pub source_node: String,
    /// The container that is moved.
    pub container: String,
    /// Its image by digest.
    pub base_image: String,
    /// The node that it goes to.
    pub target_node: String,
    /// Name of the target pod.
    pub target_pod: String,
    /// How.
    pub strategy: Strategy,
    /// The primary queue.
    pub queue: String,
    /// Its bindings, which the gate takes over.
    pub bindings: Vec<HandoffBinding>,
    /// Reference that the checkpoint is pushed to.
    pub checkpoint_image: String,
    /// Image of the transfer Job.
    pub transfer_image: String,
    /// Compression of the checkpoint layer.
    pub compression: Compression,
    /// What the operator should know before it begins.
    pub warnings: Vec<String>,
}

/// Makes the plan for `request` in `world`, or says what stands against it.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`] with the reason and the remedy; nothing was changed.
pub fn plan(request: &Request, world: &World) -> Result<Plan, Error> {
    let spec = &request.spec;
    permissions(&world.missing)?;
    let pod = source_pod(request, world)?;
    let container = container(pod, spec.container_name.as_deref())?;
    let strategy = strategy(pod, spec.migration_strategy)?;
    let source_node = source_node(pod, world)?;
    let target_node = target_node(spec.target_node.as_deref(), source_node, world)?;
    let target_pod = target_pod_name(&pod.name);
    if world.pod_names.contains(&target_pod) {
        return Err(Error::refused(format!(
            "a pod named {target_pod} is already there, and the target pod would have that name"
        ))
        .hint(format!(
            "delete it if it is not needed: kubectl delete pod {target_pod} -n {}",
            request.namespace
        )));
    }
    let mut warnings = Vec::new();
    let bindings = bindings(spec, world, &mut warnings)?;
    queue(spec, world)?;
    consumers(spec, world, &mut warnings)?;
    handoff(spec, &pod.name, world, &mut warnings)?;
    control_queues(&pod.name, &target_pod, world)?;
    Ok(Plan {
        name: request.name.clone(),
        namespace: request.namespace.clone(),
        source_pod: pod.name.clone(),
        source_uid: pod.uid.clone(),
        source_node: source_node.name.clone(),
        container: container.name.clone(),
        base_image: base_image(container, &mut warnings),
        target_node: target_node.name.clone(),
        target_pod,
        strategy,
        queue: spec.message_queue_config.queue_name.clone(),
        bindings,
        checkpoint_image: checkpoint_image(&spec.checkpoint_image_repository, &request.name),
        transfer_image: transfer_image(spec),
        compression: compression(spec),
        warnings,
    })
}

/// Reference that a migration's checkpoint is pushed to. Runtimes reuse a tag that they already
/// have, so each migration has one of its own.
#[must_use]
pub fn checkpoint_image(repository: &str, migration: &str) -> String {
    format!("{repository}:{migration}")
}

/// Image of the transfer Job: as given, or `ms2m-transfer` of this version in the registry of the
/// checkpoints.
#[must_use]
pub fn transfer_image(spec: &StatefulMigrationSpec) -> String {
    let given = spec
        .transfer
        .as_ref()
        .and_then(|transfer| transfer.image.clone());
    given.unwrap_or_else(|| {
        let registry = spec
            .checkpoint_image_repository
            .split('/')
            .next()
            .unwrap_or_default();
        format!("{registry}/ms2m-transfer:{}", env!("CARGO_PKG_VERSION"))
    })
}

/// Compression of the checkpoint layer: as given, or gzip.
#[must_use]
pub fn compression(spec: &StatefulMigrationSpec) -> Compression {
    spec.transfer
        .as_ref()
        .and_then(|transfer| transfer.compression)
        .unwrap_or(Compression::Gzip)
}

/// Name of the pod that takes `source`'s place: `worker-0` becomes `worker-0-shadow`, and that one
/// becomes `worker-0` again when it moves on.
#[must_use]
pub fn target_pod_name(source: &str) -> String {
    const SUFFIX: &str = "-shadow";
    match source.strip_suffix(SUFFIX) {
        Some(original) if !original.is_empty() => original.to_owned(),
        _ => format!("{source}{SUFFIX}"),
    }
}

/// Of `names`, the one that `name` was probably meant to be.
#[must_use]
pub fn closest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Refuses whoever lacks rights, naming each and what it is needed for.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`] if any is missing.
pub fn permissions(missing: &[MissingPermission]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing
        .iter()
        .map(|right| match &right.namespace {
            Some(namespace) => format!(
                "{} in namespace {namespace} ({})",
                right.what, right.purpose
            ),
            None => format!("{} ({})", right.what, right.purpose),
        })
        .collect::<Vec<_>>()
        .join("; ");
    Err(Error::refused("you lack permissions that a migration takes")
        .because(list)
        .hint("ask a cluster administrator to bind the roles in examples/manifests/rbac-cli.yaml to you"))
}

fn source_pod<'a>(request: &Request, world: &'a World) -> Result<&'a PodView, Error> {
    let name = &request.spec.source_pod;
    let namespace = &request.namespace;
    let Some(pod) = &world.pod else {
        let error = Error::refused(format!("there is no pod {name} in namespace {namespace}"));
        return Err(
            match closest(name, world.pod_names.iter().map(String::as_str)) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error.hint("name the namespace with --namespace if it is another one"),
            },
        );
    };
    if pod.mirror {
        return Err(Error::refused(format!(
            "pod {name} is a static pod, which only its node's kubelet can move"
        ))
        .hint("move its manifest to the other node instead"));
    }
    if pod.terminating {
        return Err(Error::refused(format!("pod {name} is being deleted")));
    }
    if pod.phase != "Running" {
        return Err(
            Error::refused(format!("pod {name} is not running: it is {}", pod.phase)).hint(
                format!("see why: kubectl describe pod {name} -n {namespace}"),
            ),
        );
    }
    Ok(pod)
}

fn container<'a>(pod: &'a PodView, wanted: Option<&str>) -> Result<&'a ContainerView, Error> {
    let names = || {
        pod.containers
            .iter()
            .map(|container| container.name.as_str())
    };
    let found = match wanted {
        None => pod.containers.first(),
        Some(name) => pod
            .containers
            .iter()
            .find(|container| container.name == name),
    };
    let Some(container) = found else {
        let wanted = wanted.unwrap_or_default();
        let error = Error::refused(format!("pod {} has no container {wanted}", pod.name));
        return Err(error.hint(format!(
            "it has: {}",
            names().collect::<Vec<_>>().join(", ")
        )));
    };
    if !container.running {
        return Err(Error::refused(format!(
            "container {} of pod {} is not running",
            container.name, pod.name
        ))
        .hint(format!("see why: kubectl describe pod {}", pod.name)));
    }
    Ok(container)
}

fn strategy(pod: &PodView, wanted: Option<Strategy>) -> Result<Strategy, Error> {
    if let Some(owner) = &pod.owner {
        return Err(Error::refused(format!(
            "pod {} belongs to {} {}, which would replace it in mid-migration",
            pod.name, owner.kind, owner.name
        ))
        .hint("this version moves pods without an owner"));
    }
    match wanted {
        Some(Strategy::Sequential) => Err(Error::refused(format!(
            "strategy Sequential is for pods of a StatefulSet, and pod {} has no owner",
            pod.name
        ))
        .hint("leave --strategy out, or choose shadow-pod")),
        Some(Strategy::ShadowPod) | None => Ok(Strategy::ShadowPod),
    }
}

fn source_node<'a>(pod: &PodView, world: &'a World) -> Result<&'a NodeView, Error> {
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

fn target_node<'a>(
    wanted: Option<&str>,
    source: &NodeView,
    world: &'a World,
) -> Result<&'a NodeView, Error> {
    let Some(name) = wanted else {
        return Err(Error::refused("no target node is named").hint("name one with --to"));
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
    if node.name == source.name {
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
    Ok(node)
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

fn base_image(container: &ContainerView, warnings: &mut Vec<String>) -> String {
    let id = container.image_id.trim_start_matches("docker-pullable://");
    if id.contains('@') {
        return id.to_owned();
    }
    warnings.push(format!(
        "the runtime does not tell the digest of image {}: it is pulled by tag on the target node, and the \
         restore fails if the tag has moved",
        container.image
    ));
    container.image.clone()
}

fn queue(spec: &StatefulMigrationSpec, world: &World) -> Result<(), Error> {
    let name = &spec.message_queue_config.queue_name;
    let Some(queue) = &world.queue else {
        return Err(Error::refused(format!("there is no queue {name} on the broker"))
            .hint("give the queue that the pod consumes with --queue, and its virtual host in --broker-url"));
    };
    if let Some(part) = world.leftovers.first() {
        return Err(Error::refused(format!(
            "queue {name} is already being migrated: {part} is there"
        ))
        .hint("wait for the other migration, or see what it does: ms2m status"));
    }
    if queue.consumers == 0 {
        return Err(Error::refused(format!(
            "queue {name} has no consumer, so the pod does not work on it"
        ))
        .hint("check that --queue is the queue that the pod consumes"));
    }
    Ok(())
}

/// What makes the result uncertain is refused, unless somebody insists.
fn consumers(
    spec: &StatefulMigrationSpec,
    world: &World,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let name = &spec.message_queue_config.queue_name;
    let several = world.queue.map_or(0, |queue| queue.consumers);
    let mut doubts = Vec::new();
    if several > 1 {
        doubts.push((
            format!("queue {name} has {several} consumers"),
            "the handoff needs the pod to be the only one, or the others take messages that its state then lacks",
            "give each pod a queue of its own; if all of them are the pod's own, --force goes on",
        ));
    }
    let automatic = |consumer: &ConsumerView| !consumer.acknowledges;
    if world.consumers.iter().flatten().any(automatic) {
        doubts.push((
            format!("the consumer of queue {name} uses automatic acknowledgement"),
            "nobody can tell what it has been sent and not applied yet: such messages are lost with its connection",
            "let the application acknowledge a message after it has applied it; --force goes on without a promise",
        ));
    }
    if let Some(seen) = &world.consumers
        && (seen.len() as u64) < several
    {
        // Up to 5 s late for one that has just connected (measured on RabbitMQ 3.10 and 4.3).
        warnings.push(format!(
            "the broker does not show yet whether the consumer of queue {name} acknowledges: with automatic \
             acknowledgement messages would be lost"
        ));
    }
    for (what, why, remedy) in doubts {
        if spec.force != Some(true) {
            return Err(Error::refused(what).because(why).hint(remedy));
        }
        warnings.push(format!("{what}: {why}"));
    }
    Ok(())
}

/// Whether the application can take part in the handoff that was chosen, and what that promises.
fn handoff(
    spec: &StatefulMigrationSpec,
    pod: &str,
    world: &World,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    match spec.handoff.unwrap_or_default() {
        Handoff::Gate if !world.has_control_queue => Err(Error::refused(format!(
            "the application in pod {pod} has no control queue {}",
            control_queue(pod)
        ))
        .because("it does not listen to START_REPLAY and END_REPLAY, so it cannot take part in the handoff")
        .hint("see 'The consumer contract' in the README")
        .hint("an application that does not can be moved with --handoff mirror; see what that cannot promise first")),
        Handoff::Gate => Ok(()),
        Handoff::Mirror if spec.stale_identity == Some(StaleIdentity::StopSource) => {
            Err(Error::refused("--stale-identity stop-source goes with --handoff gate alone")
                .because("the source can be stopped first only when messages wait in a replay queue of its own"))
        }
        Handoff::Mirror => {
            warnings.push(
                "handoff Mirror is exact only at its end: what the source applies while the checkpoint is prepared is \
                 applied again by the target, what waits in the queue at the checkpoint never reaches it, and the target \
                 may take messages from the source until it obeys"
                    .to_owned(),
            );
            Ok(())
        }
    }
}

/// Control queues are named after pods alone, so two applications on one virtual host can meet
/// there.
fn control_queues(source: &str, target: &str, world: &World) -> Result<(), Error> {
    let (of_source, of_target) = world.control_consumers;
    let shared = if of_source > 1 {
        source
    } else if of_target > 0 {
        target
    } else {
        return Ok(());
    };
    Err(Error::refused(format!(
        "another process listens on control queue {}",
        control_queue(shared)
    ))
    .because("it would obey what is meant for the pod, as a pod of the same name in another namespace does")
    .hint("let the two applications use different virtual hosts, or give the pods different names"))
}

fn bindings(
    spec: &StatefulMigrationSpec,
    world: &World,
    warnings: &mut Vec<String>,
) -> Result<Vec<HandoffBinding>, Error> {
    let config = &spec.message_queue_config;
    if is_default_exchange(&config.exchange_name) {
        return Err(Error::refused("the producers publish to the default exchange")
            .because("its bindings cannot be changed, so no gate can stand before the queue")
            .hint("let the producers publish to an exchange of their own that is bound to the queue, and name it with --exchange"));
    }
    if !world.exchange_exists {
        return Err(Error::refused(format!(
            "there is no exchange {} on the broker",
            config.exchange_name
        ))
        .hint("give the exchange that the producers publish to with --exchange"));
    }
    let Some(found) = &world.bindings else {
        if world.queue.is_some() {
            warnings.push(format!(
                "the broker's management API was not used ({}): bindings are taken as given, and unacknowledged \
                 messages are waited for by time (--settle)",
                world.broker.management.as_deref().unwrap_or("it does not answer")
            ));
        }
        return Ok(vec![HandoffBinding {
            exchange: config.exchange_name.clone(),
            routing_key: config.routing_key.clone(),
            arguments: std::collections::BTreeMap::new(),
        }]);
    };
    if world.queue.is_some()
        && !found
            .iter()
            .any(|binding| binding.exchange == config.exchange_name)
    {
        let error = Error::refused(format!(
            "queue {} is not bound to exchange {}",
            config.queue_name, config.exchange_name
        ));
        return Err(match found.first() {
            Some(binding) => error.hint(format!("it is bound to {}: is that the one (--exchange)?", binding.exchange)),
            None => error.hint(
                "it is bound to no exchange, so its producers publish to the default exchange; let them publish to \
                 an exchange of their own that is bound to the queue",
            ),
        });
    }
    let key_is_bound = found.iter().any(|binding| {
        binding.exchange == config.exchange_name && binding.routing_key == config.routing_key
    });
    if world.queue.is_some() && !config.routing_key.is_empty() && !key_is_bound {
        warnings.push(format!(
            "queue {} is bound to {} by another key than {}: the bindings that are there are used",
            config.queue_name, config.exchange_name, config.routing_key
        ));
    }
    Ok(found.clone())
}

/// The default exchange has no name; tools show it under these.
fn is_default_exchange(name: &str) -> bool {
    matches!(name, "" | "amq.default" | "(AMQP default)")
}
