//! How the lists and maps of the built-in types merge: the `x-kubernetes-list-type`,
//! `-list-map-keys` and `-patch-merge-key` extensions of the published OpenAPI document
//! (Kubernetes 1.36), which k8s-openapi's schemas leave out.

use std::sync::Arc;

use super::{ListKind, Schema};

/// How one field merges.
enum Merge {
    /// By these keys when applied, and by the first of them in a strategic merge patch.
    Keys(&'static [&'static str]),
    /// By these keys when applied; a strategic merge patch replaces it.
    ApplyKeys(&'static [&'static str]),
    /// By this key in a strategic merge patch; replaced when applied.
    PatchKey(&'static str),
    /// A set in both.
    Set,
    /// A set when applied, replaced by a strategic merge patch.
    ApplySet,
    /// A map that is replaced as a whole when applied.
    AtomicMap,
}

use Merge::{ApplyKeys, ApplySet, AtomicMap, Keys, PatchKey, Set};

/// Type (end of its OpenAPI name), field, how it merges.
const RULES: &[(&str, &str, Merge)] = &[
    ("meta.v1.ObjectMeta", "finalizers", Set),
    ("meta.v1.ObjectMeta", "ownerReferences", Keys(&["uid"])),
    ("core.v1.PodSpec", "containers", Keys(&["name"])),
    ("core.v1.PodSpec", "ephemeralContainers", Keys(&["name"])),
    ("core.v1.PodSpec", "hostAliases", Keys(&["ip"])),
    ("core.v1.PodSpec", "imagePullSecrets", Keys(&["name"])),
    ("core.v1.PodSpec", "initContainers", Keys(&["name"])),
    ("core.v1.PodSpec", "nodeSelector", AtomicMap),
    ("core.v1.PodSpec", "resourceClaims", Keys(&["name"])),
    ("core.v1.PodSpec", "schedulingGates", Keys(&["name"])),
    (
        "core.v1.PodSpec",
        "topologySpreadConstraints",
        Keys(&["topologyKey", "whenUnsatisfiable"]),
    ),
    ("core.v1.PodSpec", "volumes", Keys(&["name"])),
    ("core.v1.Container", "env", Keys(&["name"])),
    (
        "core.v1.Container",
        "ports",
        Keys(&["containerPort", "protocol"]),
    ),
    ("core.v1.Container", "volumeDevices", Keys(&["devicePath"])),
    ("core.v1.Container", "volumeMounts", Keys(&["mountPath"])),
    ("core.v1.EphemeralContainer", "env", Keys(&["name"])),
    (
        "core.v1.EphemeralContainer",
        "ports",
        Keys(&["containerPort", "protocol"]),
    ),
    (
        "core.v1.EphemeralContainer",
        "volumeDevices",
        Keys(&["devicePath"]),
    ),
    (
        "core.v1.EphemeralContainer",
        "volumeMounts",
        Keys(&["mountPath"]),
    ),
    (
        "core.v1.ResourceRequirements",
        "claims",
        ApplyKeys(&["name"]),
    ),
    ("core.v1.PodStatus", "conditions", Keys(&["type"])),
    ("core.v1.PodStatus", "hostIPs", PatchKey("ip")),
    ("core.v1.PodStatus", "podIPs", Keys(&["ip"])),
    (
        "core.v1.PodStatus",
        "resourceClaimStatuses",
        Keys(&["name"]),
    ),
    (
        "core.v1.ContainerStatus",
        "volumeMounts",
        Keys(&["mountPath"]),
    ),
    ("core.v1.NodeSpec", "podCIDRs", Set),
    ("core.v1.NodeSpec", "taints", PatchKey("key")),
    ("core.v1.NodeStatus", "addresses", Keys(&["type"])),
    ("core.v1.NodeStatus", "conditions", Keys(&["type"])),
    ("core.v1.NamespaceStatus", "conditions", Keys(&["type"])),
    (
        "core.v1.PersistentVolumeClaimStatus",
        "conditions",
        Keys(&["type"]),
    ),
    ("core.v1.ReplicationControllerSpec", "selector", AtomicMap),
    (
        "core.v1.ReplicationControllerStatus",
        "conditions",
        Keys(&["type"]),
    ),
    ("core.v1.ServiceAccount", "secrets", Keys(&["name"])),
    ("core.v1.ServiceSpec", "ports", Keys(&["port", "protocol"])),
    ("core.v1.ServiceSpec", "selector", AtomicMap),
    ("core.v1.ServiceStatus", "conditions", Keys(&["type"])),
    ("core.v1.LocalObjectReference", "", AtomicMap),
    ("core.v1.ObjectReference", "", AtomicMap),
    ("core.v1.SecretKeySelector", "", AtomicMap),
    ("core.v1.ConfigMapKeySelector", "", AtomicMap),
    ("core.v1.ObjectFieldSelector", "", AtomicMap),
    ("core.v1.ResourceFieldSelector", "", AtomicMap),
    ("core.v1.NodeSelector", "", AtomicMap),
    ("core.v1.NodeSelectorTerm", "", AtomicMap),
    ("meta.v1.LabelSelector", "", AtomicMap),
    ("apps.v1.DaemonSetStatus", "conditions", Keys(&["type"])),
    ("apps.v1.DeploymentStatus", "conditions", Keys(&["type"])),
    ("apps.v1.ReplicaSetStatus", "conditions", Keys(&["type"])),
    ("apps.v1.StatefulSetStatus", "conditions", Keys(&["type"])),
    ("batch.v1.JobStatus", "conditions", PatchKey("type")),
    (
        "batch.v1.PodFailurePolicyOnExitCodesRequirement",
        "values",
        ApplySet,
    ),
    ("batch.v1.UncountedTerminatedPods", "failed", ApplySet),
    ("batch.v1.UncountedTerminatedPods", "succeeded", ApplySet),
    ("discovery.v1.Endpoint", "addresses", ApplySet),
    (
        "policy.v1.PodDisruptionBudgetStatus",
        "conditions",
        Keys(&["type"]),
    ),
    (
        "apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        ApplyKeys(&["type"]),
    ),
];

/// Puts the rules of that type into its schema.
pub(crate) fn apply(type_name: &str, schema: &mut Schema) {
    for (_, field, merge) in RULES
        .iter()
        .filter(|(of, _, _)| ends_with_type(type_name, of))
    {
        if field.is_empty() {
            schema.atomic_map = true;
            continue;
        }
        let Some(member) = schema.properties.get_mut(*field) else {
            continue;
        };
        // Members that are lists or maps are compiled for this one field, so they are not shared.
        if let Some(member) = Arc::get_mut(member) {
            set(member, merge);
        }
    }
}

fn ends_with_type(name: &str, of: &str) -> bool {
    name.strip_suffix(of)
        .is_some_and(|head| head.ends_with('.'))
}

fn set(schema: &mut Schema, merge: &Merge) {
    let owned = |keys: &[&str]| ListKind::Map(keys.iter().map(|&k| k.to_owned()).collect());
    match merge {
        Keys(keys) => {
            schema.list = owned(keys);
            schema.patch_key = keys.first().map(|&k| k.to_owned());
        }
        ApplyKeys(keys) => schema.list = owned(keys),
        PatchKey(key) => schema.patch_key = Some((*key).to_owned()),
        Set => {
            schema.list = ListKind::Set;
            schema.patch_key = Some(String::new());
        }
        ApplySet => schema.list = ListKind::Set,
        AtomicMap => schema.atomic_map = true,
    }
}
