//! Observed facts → a validated [`Plan`]: the only way into the engine.
//!
//! Pure: it reads nothing and changes nothing. What it refuses, it refuses with the remedy.

mod broker;
mod direct;
mod examine;
mod node;
mod owner;
mod pod;
mod runtime;

use std::collections::BTreeMap;

use serde::Serialize;

use examine::examine;

pub use direct::{direct_port, image_of, port_of, receivers_registry, receivers_repository};
pub use examine::{Finding, Found, Rule, Seen, Subject};

use super::error::Error;
use super::ports::{
    BrokerView, ConsumerView, MissingPermission, NodeView, OwnerView, PodView, QueueView,
    Surroundings,
};
use crate::api::{Compression, HandoffBinding, StatefulMigrationSpec, Strategy};
use crate::explain;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Rights that the caller lacks. Where there are any, the rest was not looked at.
    pub missing: Vec<MissingPermission>,
    /// The cluster.
    pub cluster: InCluster,
    /// The broker.
    pub broker: AtBroker,
}

/// What was seen in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InCluster {
    /// The source pod.
    pub pod: Option<PodView>,
    /// The other pods of the namespace.
    pub pod_names: Vec<String>,
    /// What surrounds it.
    pub around: Surroundings,
    /// All nodes.
    pub nodes: Vec<NodeView>,
}

/// What was seen at the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtBroker {
    /// The broker.
    pub broker: BrokerView,
    /// Whether the exchange is there.
    pub exchange_exists: bool,
    /// The primary queue.
    pub queue: Option<QueueView>,
    /// What makes it drop messages by itself, where the broker tells.
    pub limits: Option<Vec<String>>,
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
            ..Self::default()
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
    /// The owner that has a part in it: a StatefulSet or a ReplicaSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerView>,
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
    /// How long it will probably take, as far as that can be told: `estimate::Estimate::figures`.
    #[serde(skip)]
    pub estimate: BTreeMap<String, String>,
}

/// Makes the plan for `request` in `world`, or says what stands against it.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`] with the reason and the remedy; nothing was changed.
pub fn plan(request: &Request, world: &World) -> Result<Plan, Error> {
    let spec = &request.spec;
    permissions(&world.missing)?;
    let seen = Seen {
        cluster: Some(&world.cluster),
        broker: Some(&world.broker),
    };
    let (findings, chosen) = examine(request, seen);
    let mut warnings = Vec::new();
    for finding in findings {
        match finding.found {
            Found::Held(mut said) => warnings.append(&mut said),
            Found::Refused(error) => return Err(error),
            // What could not be looked at does not stand against it.
            Found::Unseen(_) => {}
        }
    }
    let Some(chosen) = chosen else {
        return Err(Error::refused("not all that a plan needs could be seen"));
    };
    Ok(Plan {
        name: request.name.clone(),
        namespace: request.namespace.clone(),
        source_pod: chosen.pod.name.clone(),
        source_uid: chosen.pod.uid.clone(),
        source_node: chosen.source_node.name.clone(),
        container: chosen.container.name.clone(),
        base_image: chosen.base_image,
        target_node: chosen.target_node.name.clone(),
        target_pod: chosen.target_pod,
        strategy: chosen.strategy,
        owner: chosen.owner,
        queue: spec.message_queue_config.queue_name.clone(),
        bindings: chosen.bindings,
        checkpoint_image: image_of(spec, &request.name, &chosen.pod.uid),
        transfer_image: transfer_image(spec),
        compression: compression(spec),
        warnings,
        estimate: BTreeMap::new(),
    })
}

/// Whether the node's container runtime takes and restores checkpoints, by its version. What the
/// version does not tell is a warning.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`]: it certainly does not.
pub fn runtime_suits(node: &NodeView, warnings: &mut Vec<String>) -> Result<(), Error> {
    // What nobody has tried is said once.
    runtime::allows(node, runtime::checkpoints(&node.runtime), &mut Vec::new())?;
    runtime::allows(node, runtime::restores(&node.runtime), warnings)
}

/// The runtime's name in a node's `containerRuntimeVersion`, as `cri-o` of `cri-o://1.36.3`.
#[must_use]
pub fn runtime_name(runtime: &str) -> &str {
    runtime::product(runtime)
}

/// Its version, as far as it decides: major, minor, patch.
#[must_use]
pub fn runtime_version(runtime: &str) -> Option<(u64, u64, u64)> {
    let it = runtime::version(runtime)?;
    Some((it.major, it.minor, it.patch))
}

/// Whether it restores only where that is configured.
#[must_use]
pub fn needs_switch(runtime: &str) -> bool {
    matches!(runtime::restores(runtime), runtime::Can::With(_))
}

/// Name of the node that the pod goes to: the one that is named, or that is chosen, if any can be.
#[must_use]
pub fn target_node(request: &Request, seen: Option<&InCluster>) -> Option<String> {
    let wanted = request.spec.target_node.as_deref();
    let seen = seen?;
    let source = node::source_node(seen.pod.as_ref()?, seen).ok()?;
    let node = node::target_node(wanted, source, seen).ok()?;
    Some(node.name.clone())
}

/// What every rule of a plan finds, in the order in which [`plan`] refuses, as far as the world could
/// be seen.
#[must_use]
pub fn findings(request: &Request, seen: Seen<'_>) -> Vec<Finding> {
    examine(request, seen).0
}

/// Whether the target pod can have its name.
fn is_free(request: &Request, source: &str, target: &str, world: &InCluster) -> Result<(), Error> {
    if target == source || !world.pod_names.iter().any(|name| name == target) {
        return Ok(());
    }
    Err(Error::refused(format!(
        "a pod named {target} is already there, and the target pod would have that name"
    ))
    .hint(format!(
        "delete it if it is not needed: kubectl delete pod {target} -n {}",
        request.namespace
    )))
}

/// How much of a pod's uid stands in a tag: 48 random bits (RFC 9562).
const UID_IN_TAG: usize = 12;

/// Reference that a migration's checkpoint is pushed to. Runtimes reuse a tag that they already
/// have, so each migration has one of its own; and since its name is unique in a namespace alone,
/// while one repository may serve many clusters, the pod's uid is in it. An image whose digest was
/// never learnt is deleted by its tag, which must not be anybody else's.
#[must_use]
pub fn checkpoint_image(repository: &str, migration: &str, source_uid: &str) -> String {
    let uid = source_uid.chars().filter(char::is_ascii_alphanumeric);
    let uid: String = uid.take(UID_IN_TAG).collect();
    format!("{repository}:{migration}.{uid}")
}

/// Image of the transfer Job: as given, or `ms2m-transfer` of this version in the registry of the
/// checkpoints.
#[must_use]
pub fn transfer_image(spec: &StatefulMigrationSpec) -> String {
    let given = spec
        .transfer
        .as_ref()
        .and_then(|transfer| transfer.image.clone());
    given.unwrap_or_else(|| transfer_image_beside(&spec.checkpoint_image_repository))
}

/// That of this version in the registry that `repository` is in.
#[must_use]
pub fn transfer_image_beside(repository: &str) -> String {
    let registry = repository.split('/').next().unwrap_or_default();
    format!("{registry}/ms2m-transfer:{}", env!("CARGO_PKG_VERSION"))
}

/// Compression of the checkpoint layer: as given, or zstd.
#[must_use]
pub fn compression(spec: &StatefulMigrationSpec) -> Compression {
    spec.transfer
        .as_ref()
        .and_then(|transfer| transfer.compression)
        .unwrap_or(Compression::Zstd)
}

/// Name of the pod that takes `source`'s place. Sequentially that is its own; else `worker-0`
/// becomes `worker-0-shadow`, and that one becomes `worker-0` again when it moves on.
#[must_use]
pub fn target_pod_name(source: &str, strategy: Strategy) -> String {
    const SUFFIX: &str = "-shadow";
    if strategy == Strategy::Sequential {
        return source.to_owned();
    }
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
        .code(&explain::RIGHTS_MISSING)
        .because(list)
        .hint("ask a cluster administrator to bind the roles in examples/manifests/rbac-cli.yaml to you"))
}
