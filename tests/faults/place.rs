//! The sandboxes of the matrix: one that most cases share, and one for what disturbs everybody.

use serde_json::json;
use tokio::sync::OnceCell;

use crate::support::World;
use crate::support::api::Api;

/// A sandbox.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) api: Api,
}

static SHARED: OnceCell<Place> = OnceCell::const_new();
static DISTURBED: OnceCell<Place> = OnceCell::const_new();

/// The nodes of the shared one. Pods are moved from the first to the second; two behave as
/// containerd does; the others are for cases in which one is lost.
const NODES: [&str; 15] = [
    "crio-a",
    "crio-b",
    "ctr-a=containerd",
    "ctr-b=containerd",
    VICTIMS[0],
    VICTIMS[1],
    VICTIMS[2],
    VICTIMS[3],
    VICTIMS[4],
    VICTIMS[5],
    VICTIMS[6],
    VICTIMS[7],
    VICTIMS[8],
    VICTIMS[9],
    FORGETFUL,
];

/// A node whose images may go, in one case.
pub(crate) const FORGETFUL: &str = "forgetful";

/// Nodes that may be lost, each in one case.
pub(crate) const VICTIMS: [&str; 10] = [
    "lost-1", "lost-2", "lost-3", "lost-4", "lost-5", "lost-6", "lost-7", "lost-8", "lost-9",
    "lost-10",
];

impl Place {
    /// The sandbox that cases share which disturb nobody else.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(&NODES)).await
    }

    /// The sandbox for what disturbs everybody.
    pub(crate) async fn disturbed() -> &'static Self {
        DISTURBED.get_or_init(|| Self::start(&NODES[..2])).await
    }

    /// Starts one. Every authenticated user may there what the documentation gives to users of
    /// ms2m, so that each case can have a user of its own, by whom its requests are known.
    async fn start(nodes: &'static [&'static str]) -> Self {
        let world = tokio::task::spawn_blocking(|| World::sandbox(nodes))
            .await
            .expect("the sandbox starts");
        let api = Api::new(&world.places.kubeconfig).await;
        let roles = include_str!("../../examples/manifests/rbac-cli.yaml");
        for document in serde_yaml::Deserializer::from_str(roles) {
            let mut object: serde_json::Value =
                serde::Deserialize::deserialize(document).expect("the manifest is YAML");
            let kind = match object["kind"].as_str() {
                Some("ClusterRole") => "clusterroles",
                // The bindings there are an example's; those here follow.
                _ => continue,
            };
            let name = object["metadata"]["name"].clone();
            let path = "/apis/rbac.authorization.k8s.io/v1";
            api.post(&format!("{path}/{kind}"), &object).await;
            object = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}],
            });
            api.post(&format!("{path}/clusterrolebindings"), &object)
                .await;
        }
        Self { world, api }
    }
}
