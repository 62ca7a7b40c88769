//! The sandbox's API server, with an adapter for each user that is asked for.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use ms2m::api::StatefulMigration;
use ms2m::cluster::{ConnectOptions, KubeCluster, connect};
use ms2m_sandbox::apiserver::{ApiServer, Failure, Fault, FaultAction, FaultMatch, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the requests of adapters under test call themselves.
const UNDER_TEST: &str = "under-test";

/// How long anything in these tests may take that is expected to come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The server, and what a test does to it as administrator, kubelet and controller.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) admin: Client,
    token: String,
    dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let options = Options::default();
        let token = options.admin_token.clone();
        let server = ApiServer::start(options).await.expect("the server starts");
        let dir = TempDir::new().expect("a temporary directory");
        let admin = cluster_of(&dir, "admin", &server.admin_kubeconfig(), "test").await;
        Self {
            admin: admin.client(),
            server,
            token,
            dir,
        }
    }

    /// An adapter for the administrator, with a watch list and memory of its own.
    pub(crate) async fn cluster(&self) -> KubeCluster {
        cluster_of(
            &self.dir,
            "admin",
            &self.server.admin_kubeconfig(),
            UNDER_TEST,
        )
        .await
    }

    /// An adapter for a user who has only the rights that RBAC gives.
    pub(crate) async fn cluster_for(&self, user: &str) -> KubeCluster {
        let kubeconfig = self.server.kubeconfig(user, &format!("user/{user}"));
        cluster_of(&self.dir, user, &kubeconfig, UNDER_TEST).await
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.admin.clone(), "default")
    }

    /// Makes an object from JSON.
    pub(crate) async fn make<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .expect("it can be made")
    }

    /// Makes an object of the whole cluster from JSON.
    pub(crate) async fn make_global<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        Api::<K>::all(self.admin.clone())
            .create(&PostParams::default(), &object)
            .await
            .expect("it can be made")
    }

    /// Labels the object that remembers a migration, as a bystander does.
    pub(crate) async fn label(&self, kind: &str, migration: &str) {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"seen": "yes"}}}));
        let params = PatchParams::default();
        if kind == "configmaps" {
            let name = format!("ms2m-{migration}");
            let maps = self.api::<ConfigMap>();
            maps.patch(&name, &params, &patch).await.expect("a label");
        } else {
            let migrations = self.api::<StatefulMigration>();
            let patched = migrations.patch(migration, &params, &patch).await;
            patched.expect("a label");
        }
    }

    /// A running pod of one container on `node-a`.
    pub(crate) async fn running_pod(&self, name: &str) -> Pod {
        self.make::<Pod>(json!({
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {
                "nodeName": "node-a",
                "containers": [{"name": "main", "image": "shop/web:1"}],
                "imagePullSecrets": [{"name": "registry"}]
            }
        }))
        .await;
        self.container_state(name, "main", "Running", json!({"running": {}}))
            .await
    }

    /// Says, as the kubelet, how the pod's one container stands.
    pub(crate) async fn container_state(
        &self,
        pod: &str,
        container: &str,
        phase: &str,
        state: Value,
    ) -> Pod {
        let ready = state.get("running").is_some();
        self.pod_status(
            pod,
            json!({
                "phase": phase,
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [{
                    "name": container, "image": "i", "imageID": "", "ready": ready,
                    "restartCount": 0, "state": state
                }]
            }),
        )
        .await
    }

    /// Writes a pod's status, as the kubelet or the scheduler.
    pub(crate) async fn pod_status(&self, pod: &str, status: Value) -> Pod {
        self.api::<Pod>()
            .patch_status(
                pod,
                &PatchParams::default(),
                &Patch::Merge(json!({"status": status})),
            )
            .await
            .expect("a status can be written")
    }

    /// Ends a pod that is being deleted, as its kubelet does.
    pub(crate) async fn end_pod(&self, pod: &str) {
        let at_once = DeleteParams::default().grace_period(0);
        self.api::<Pod>()
            .delete(pod, &at_once)
            .await
            .expect("it can be ended");
    }

    /// The next `times` requests that match fail with `status`.
    pub(crate) fn fail(&self, verb: &str, path: &str, status: u16, times: u64) {
        self.order(
            verb,
            path,
            times,
            FaultAction::Status(Failure {
                status,
                message: "ordered by a test".into(),
                retry_after: None,
            }),
        );
    }

    /// The next `times` requests that match lose their connection.
    pub(crate) fn cut(&self, verb: &str, path: &str, times: u64) {
        self.order(verb, path, times, FaultAction::Cut);
    }

    fn order(&self, verb: &str, path: &str, times: u64, action: FaultAction) {
        let fault = Fault {
            matches: FaultMatch {
                verb: Some(verb.into()),
                path: Some(path.into()),
                ..FaultMatch::default()
            },
            skip: 0,
            times,
            action,
            after: false,
        };
        self.server.faults().order(fault).expect("a fault");
    }

    /// The number of the newest request, and the requests after `since` of adapters under test:
    /// each as verb and resource.
    pub(crate) async fn requests(&self, since: u64) -> (u64, Vec<String>) {
        let url = format!("{}/sandbox/requests?since={since}", self.server.url());
        let report: Value = reqwest::Client::new()
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let last = report["last"].as_u64().expect("a number");
        let log = report["log"].as_array().expect("a log");
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let asked = log
            .iter()
            .filter(|entry| text(entry, "userAgent") == UNDER_TEST)
            .map(|entry| format!("{} {}", text(entry, "verb"), text(entry, "resource")))
            .collect();
        (last, asked)
    }
}

async fn cluster_of(dir: &TempDir, user: &str, kubeconfig: &str, agent: &str) -> KubeCluster {
    let path = dir.path().join(user);
    std::fs::write(&path, kubeconfig).expect("it can be written");
    let options = ConnectOptions {
        kubeconfig: Some(path),
        user_agent: Some(agent.to_owned()),
        ..ConnectOptions::default()
    };
    connect(&options).await.expect("a usable kubeconfig")
}

/// Waits for `what` with a deadline.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it comes within the deadline")
}
