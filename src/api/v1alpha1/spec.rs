//! What a migration is asked for: the resource, its spec and the rules on how that may change.

#![allow(
    unreachable_pub,
    reason = "deriving KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::config::{
    Handoff, MessageQueueConfig, StaleIdentity, Strategy, Timeouts, TransferConfig,
};
use super::status::StatefulMigrationStatus;

/// That an optional field of the spec is as it was, in CEL.
macro_rules! unchanged {
    ($field:literal) => {
        concat!(
            " && has(self.spec.",
            $field,
            ") == has(oldSelf.spec.",
            $field,
            ") && (!has(self.spec.",
            $field,
            ") || self.spec.",
            $field,
            " == oldSelf.spec.",
            $field,
            ")"
        )
    };
}

/// What to move, where to, and how.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "migration.ms2m.io",
    version = "v1alpha1",
    kind = "StatefulMigration",
    plural = "statefulmigrations",
    singular = "statefulmigration",
    shortname = "sm",
    namespaced,
    status = "StatefulMigrationStatus",
    derive = "PartialEq",
    cel,
    doc = "A running, stateful, message-driven pod on its way from one node to another.",
    validation = Rule::new(UNCHANGED).message("spec is immutable once the migration has begun, save abort"),
    validation = Rule::new(
        "!has(oldSelf.spec.abort) || !oldSelf.spec.abort || has(self.spec.abort) && self.spec.abort"
    ).message("an abort cannot be taken back"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.sourcePod"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.sourceNode"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.targetNode"),
    printcolumn(name = "Strategy", type_ = "string", json_path = ".status.strategy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Downtime", type_ = "string", json_path = ".status.receipt.downtime", priority = 1),
    printcolumn(name = "Replayed", type_ = "integer", json_path = ".status.receipt.messagesReplayed", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct StatefulMigrationSpec {
    /// The pod to move, in the resource's namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("must be the name of a pod: lower-case letters, digits, '-' and '.'"))]
    pub source_pod: String,
    /// The container to checkpoint; the pod's first one if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container_name: Option<String>,
    /// The node for the restored pod. Omitted: the scheduler picks, never the source node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub target_node: Option<String>,
    /// Registry path of the checkpoint image, without tag, as `registry.example.com/checkpoints`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("!self.contains('://') && !self.contains('@')").message("must be a repository such as registry.example.com/checkpoints, without scheme and digest"))]
    pub checkpoint_image_repository: String,
    /// How long, in seconds, source and target may run side by side before the handoff is forced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub replay_cutoff_seconds: Option<i64>,
    /// Where the pod's messages come from.
    pub message_queue_config: MessageQueueConfig,
    /// Omitted: `Sequential` when a StatefulSet owns the pod, else `ShadowPod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_strategy: Option<Strategy>,
    /// How the messages change over; `Gate` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
    /// What to do about a target that still goes by the source's name; `RollBack` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_identity: Option<StaleIdentity>,
    /// Go on in spite of what makes the result uncertain: several consumers on the queue, or
    /// automatic acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// Move a pod whose owner ms2m does not know. Whatever that owner does about it is its own
    /// affair: the target has no owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<bool>,
    /// Refuse what is else only warned about: contents of volumes that do not travel, containers that
    /// start fresh, a liveness probe that the checkpoint may trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// How the checkpoint travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferConfig>,
    /// How long things may take. Each has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// `true` rolls the migration back; past its commit point it is finished all the same. Cannot be
    /// taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<bool>,
}

/// The rule that keeps a spec as it is once there is a plan, of which the source pod's uid is a part:
/// field by field, since a CEL rule cannot leave one out. A test
/// sees to it that none is missing.
const UNCHANGED: &str = concat!(
    "!has(oldSelf.status) || (!has(oldSelf.status.sourcePodUID)",
    " && (!has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending')) || (",
    "self.spec.sourcePod == oldSelf.spec.sourcePod",
    " && self.spec.checkpointImageRepository == oldSelf.spec.checkpointImageRepository",
    " && self.spec.messageQueueConfig == oldSelf.spec.messageQueueConfig",
    unchanged!("containerName"),
    unchanged!("targetNode"),
    unchanged!("replayCutoffSeconds"),
    unchanged!("migrationStrategy"),
    unchanged!("handoff"),
    unchanged!("staleIdentity"),
    unchanged!("force"),
    unchanged!("orphan"),
    unchanged!("strict"),
    unchanged!("transfer"),
    unchanged!("timeouts"),
    ")",
);

impl StatefulMigrationSpec {
    /// All that the migration is planned by, as text: what may still change is left out, which is the abort.
    #[must_use]
    pub fn without_abort(&self) -> String {
        let mut spec = self.clone();
        spec.abort = None;
        serde_json::to_string(&spec).unwrap_or_default()
    }
}

#[cfg(test)]
impl StatefulMigrationSpec {
    /// A spec as short as can be, for tests: of the pod, with queue `q`, exchange `x` and no key.
    pub(crate) fn sample(pod: &str) -> Self {
        Self {
            source_pod: pod.to_owned(),
            container_name: None,
            target_node: None,
            checkpoint_image_repository: "reg/cp".to_owned(),
            replay_cutoff_seconds: None,
            message_queue_config: MessageQueueConfig {
                queue_name: "q".to_owned(),
                broker_url: "amqp://mq".to_owned(),
                exchange_name: "x".to_owned(),
                routing_key: String::new(),
                management_url: None,
                credentials: None,
            },
            migration_strategy: None,
            handoff: None,
            stale_identity: None,
            force: None,
            orphan: None,
            strict: None,
            transfer: None,
            timeouts: None,
            abort: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_the_spec_can_change_unnoticed() {
        let crd = crate::api::crd();
        let schema = crd.spec.versions.into_iter().next();
        let schema = schema.and_then(|version| version.schema?.open_api_v3_schema);
        let mut top = schema
            .and_then(|schema| schema.properties)
            .expect("the CRD has a schema");
        let fields = top
            .remove("spec")
            .and_then(|spec| spec.properties)
            .expect("the schema has a spec");
        for field in fields.keys().filter(|field| *field != "abort") {
            let rule = format!("self.spec.{field} == oldSelf.spec.{field}");
            assert!(UNCHANGED.contains(&rule), "{field} is not in the rule");
        }
    }
}
