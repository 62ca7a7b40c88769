//! The table of built-in resources: names, short names, categories, subresources and types.

use k8s_openapi::api::{apps, batch, coordination, core, discovery, policy, rbac, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;

use super::resource::{ResourceDef, Storage};

const CLUSTER: bool = false;
const NAMESPACED: bool = true;

struct Builder(ResourceDef);

impl Builder {
    fn short(mut self, names: &[&str]) -> Self {
        self.0.short_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    fn all(mut self) -> Self {
        self.0.categories = vec!["all".to_owned()];
        self
    }

    fn with(mut self, subresources: &[&str]) -> Self {
        self.0.subresources = subresources.iter().map(|&s| s.to_owned()).collect();
        self
    }

    fn kept(mut self, storage: Storage) -> Self {
        self.0.storage = storage;
        self
    }
}

fn of<T: schemars::JsonSchema>(
    group: &str,
    version: &str,
    plural: &str,
    kind: &str,
    namespaced: bool,
) -> Builder {
    let mut def = ResourceDef::new(group, version, plural, kind, namespaced);
    def.source = Some(|generator| generator.subschema_for::<T>());
    Builder(def)
}

fn review(group: &str, plural: &str, kind: &str, namespaced: bool) -> Builder {
    Builder(ResourceDef::new(group, "v1", plural, kind, namespaced)).kept(Storage::Virtual)
}

/// Every built-in resource.
pub(crate) fn resources() -> Vec<ResourceDef> {
    let mut all = core_resources();
    all.extend(workloads());
    all.extend(cluster_resources());
    all.extend(reviews());
    all.into_iter().map(|builder| builder.0).collect()
}

fn core_resources() -> Vec<Builder> {
    use core::v1::{
        ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
        PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret,
        Service, ServiceAccount,
    };
    const POD: &[&str] = &[
        "attach",
        "binding",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "status",
    ];
    vec![
        of::<Namespace>("", "v1", "namespaces", "Namespace", CLUSTER)
            .short(&["ns"])
            .with(&["finalize", "status"]),
        of::<Node>("", "v1", "nodes", "Node", CLUSTER)
            .short(&["no"])
            .with(&["proxy", "status"]),
        of::<Pod>("", "v1", "pods", "Pod", NAMESPACED)
            .short(&["po"])
            .all()
            .with(POD),
        of::<PodTemplate>("", "v1", "podtemplates", "PodTemplate", NAMESPACED),
        of::<Service>("", "v1", "services", "Service", NAMESPACED)
            .short(&["svc"])
            .all()
            .with(&["status"]),
        of::<Endpoints>("", "v1", "endpoints", "Endpoints", NAMESPACED).short(&["ep"]),
        of::<ConfigMap>("", "v1", "configmaps", "ConfigMap", NAMESPACED).short(&["cm"]),
        of::<Secret>("", "v1", "secrets", "Secret", NAMESPACED),
        of::<Event>("", "v1", "events", "Event", NAMESPACED).short(&["ev"]),
        of::<ServiceAccount>("", "v1", "serviceaccounts", "ServiceAccount", NAMESPACED)
            .short(&["sa"])
            .with(&["token"]),
        of::<PersistentVolumeClaim>(
            "",
            "v1",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            NAMESPACED,
        )
        .short(&["pvc"])
        .with(&["status"]),
        of::<PersistentVolume>("", "v1", "persistentvolumes", "PersistentVolume", CLUSTER)
            .short(&["pv"])
            .with(&["status"]),
        of::<ResourceQuota>("", "v1", "resourcequotas", "ResourceQuota", NAMESPACED)
            .short(&["quota"])
            .with(&["status"]),
        of::<LimitRange>("", "v1", "limitranges", "LimitRange", NAMESPACED).short(&["limits"]),
        of::<ReplicationController>(
            "",
            "v1",
            "replicationcontrollers",
            "ReplicationController",
            NAMESPACED,
        )
        .short(&["rc"])
        .all()
        .with(&["scale", "status"]),
    ]
}

fn workloads() -> Vec<Builder> {
    use apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
    use batch::v1::{CronJob, Job};
    const SCALED: &[&str] = &["scale", "status"];
    vec![
        of::<Deployment>("apps", "v1", "deployments", "Deployment", NAMESPACED)
            .short(&["deploy"])
            .all()
            .with(SCALED),
        of::<ReplicaSet>("apps", "v1", "replicasets", "ReplicaSet", NAMESPACED)
            .short(&["rs"])
            .all()
            .with(SCALED),
        of::<StatefulSet>("apps", "v1", "statefulsets", "StatefulSet", NAMESPACED)
            .short(&["sts"])
            .all()
            .with(SCALED),
        of::<DaemonSet>("apps", "v1", "daemonsets", "DaemonSet", NAMESPACED)
            .short(&["ds"])
            .all()
            .with(&["status"]),
        of::<ControllerRevision>(
            "apps",
            "v1",
            "controllerrevisions",
            "ControllerRevision",
            NAMESPACED,
        ),
        of::<Job>("batch", "v1", "jobs", "Job", NAMESPACED)
            .all()
            .with(&["status"]),
        of::<CronJob>("batch", "v1", "cronjobs", "CronJob", NAMESPACED)
            .short(&["cj"])
            .all()
            .with(&["status"]),
    ]
}

fn cluster_resources() -> Vec<Builder> {
    use apiextensions::v1::CustomResourceDefinition;
    use coordination::v1::Lease;
    use discovery::v1::EndpointSlice;
    use policy::v1::PodDisruptionBudget;
    use rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
    use storage::v1::{StorageClass, VolumeAttachment};
    const RBAC: &str = "rbac.authorization.k8s.io";
    vec![
        of::<Lease>("coordination.k8s.io", "v1", "leases", "Lease", NAMESPACED),
        of::<k8s_openapi::api::events::v1::Event>(
            "events.k8s.io",
            "v1",
            "events",
            "Event",
            NAMESPACED,
        )
        .short(&["ev"])
        .kept(Storage::EventView)
        .sharing("events"),
        of::<EndpointSlice>(
            "discovery.k8s.io",
            "v1",
            "endpointslices",
            "EndpointSlice",
            NAMESPACED,
        ),
        of::<PodDisruptionBudget>(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            NAMESPACED,
        )
        .short(&["pdb"])
        .with(&["status"]),
        of::<StorageClass>(
            "storage.k8s.io",
            "v1",
            "storageclasses",
            "StorageClass",
            CLUSTER,
        )
        .short(&["sc"]),
        of::<VolumeAttachment>(
            "storage.k8s.io",
            "v1",
            "volumeattachments",
            "VolumeAttachment",
            CLUSTER,
        )
        .with(&["status"]),
        of::<k8s_openapi::api::scheduling::v1::PriorityClass>(
            "scheduling.k8s.io",
            "v1",
            "priorityclasses",
            "PriorityClass",
            CLUSTER,
        )
        .short(&["pc"]),
        of::<Role>(RBAC, "v1", "roles", "Role", NAMESPACED),
        of::<RoleBinding>(RBAC, "v1", "rolebindings", "RoleBinding", NAMESPACED),
        of::<ClusterRole>(RBAC, "v1", "clusterroles", "ClusterRole", CLUSTER),
        of::<ClusterRoleBinding>(
            RBAC,
            "v1",
            "clusterrolebindings",
            "ClusterRoleBinding",
            CLUSTER,
        ),
        of::<CustomResourceDefinition>(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            CLUSTER,
        )
        .short(&["crd", "crds"])
        .with(&["status"]),
    ]
}

fn reviews() -> Vec<Builder> {
    const AUTHORIZATION: &str = "authorization.k8s.io";
    const AUTHENTICATION: &str = "authentication.k8s.io";
    vec![
        review(
            AUTHORIZATION,
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            CLUSTER,
        ),
        review(
            AUTHORIZATION,
            "selfsubjectrulesreviews",
            "SelfSubjectRulesReview",
            CLUSTER,
        ),
        review(
            AUTHORIZATION,
            "subjectaccessreviews",
            "SubjectAccessReview",
            CLUSTER,
        ),
        review(
            AUTHORIZATION,
            "localsubjectaccessreviews",
            "LocalSubjectAccessReview",
            NAMESPACED,
        ),
        review(
            AUTHENTICATION,
            "selfsubjectreviews",
            "SelfSubjectReview",
            CLUSTER,
        ),
        review(AUTHENTICATION, "tokenreviews", "TokenReview", CLUSTER),
    ]
}

impl Builder {
    /// Keeps its objects where another resource keeps its own.
    fn sharing(mut self, key: &str) -> Self {
        self.0.key = key.into();
        self
    }
}
