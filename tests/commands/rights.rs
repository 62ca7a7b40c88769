//! With exactly the roles that are exported for the users of resources, everything about resources
//! works, and what they do not have is said.

use serde_json::{Value, json};

use crate::stage::{Stage, completed, file, manifest, rolled_back};
use crate::support::cli::{Outcome, Running, start};

/// A user who has one of the exported roles in the namespace, and no other right.
struct User<'a> {
    stage: &'a Stage,
    kubeconfig: tempfile::NamedTempFile,
}

impl<'a> User<'a> {
    async fn with(stage: &'a Stage, role: &str) -> Self {
        let roles = include_str!("../../examples/manifests/rbac-users.yaml");
        stage.world.kubectl_with(&["apply", "-f", "-"], roles).await;
        let name = format!("{role}-{}", stage.namespace);
        stage
            .apply(&json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
            }))
            .await;
        let text = std::fs::read_to_string(&stage.world.places.kubeconfig).expect("a kubeconfig");
        let mut config: Value = serde_yaml::from_str(&text).expect("YAML");
        config["users"][0]["user"] = json!({"token": format!("user/{name}")});
        Self {
            stage,
            kubeconfig: file(&config.to_string()),
        }
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let arguments = [arguments, &["-n", &self.stage.namespace]].concat();
        let path = self.kubeconfig.path().to_string_lossy();
        start(self.stage.world, &arguments, &[("KUBECONFIG", &path)])
    }

    async fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).outcome().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_role_is_enough_for_all_commands_about_resources() {
    let stage = Stage::set().await;
    if !stage.world.is_sandbox() {
        return;
    }
    let user = User::with(&stage, "ms2m-admin").await;
    let manifest = file(&manifest("m").to_string());
    let path = manifest.path().to_string_lossy().into_owned();
    user.run(&["create", "-f", &path]).await.expect_code(0);
    let typed = [
        "create",
        "worker-0",
        "--queue",
        "q",
        "--exchange",
        "x",
        "--repository",
        "reg/cp",
        "--broker-url",
        "amqp://mq",
        "--name",
        "typed",
    ];
    user.run(&typed).await.expect_code(0);
    user.run(&["status"]).await.expect_code(0);
    user.run(&["status", "m"]).await.expect_code(0);
    let watch = user.start(&["watch", "m"]);
    user.run(&["abort", "m", "--wait=false"])
        .await
        .expect_code(0);
    stage.status("m", rolled_back("it was aborted")).await;
    watch.outcome().await.expect_code(4);
    stage.status("typed", completed()).await;
    let retry = ["retry", "m", "--new-name", "m-2"];
    user.run(&retry).await.expect_code(0);
    user.run(&["delete", "--finished"]).await.expect_code(0);
    let left = stage.kubectl(&["get", "sm", "-o", "name"]).await;
    assert_eq!(left.trim(), "statefulmigration.migration.ms2m.io/m-2");
    let logs = user.run(&["logs", "m-2"]).await.expect_code(3);
    assert!(logs.stderr.contains("lines cannot be read"), "{logs:?}");
    let followed = user.run(&["logs", "m-2", "-f"]).await.expect_code(3);
    assert!(
        followed.stderr.contains("lines cannot be read"),
        "{followed:?}"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_sees_all_and_changes_nothing() {
    let stage = Stage::set().await;
    if !stage.world.is_sandbox() {
        return;
    }
    let user = User::with(&stage, "ms2m-view").await;
    stage.apply(&manifest("m")).await;
    user.run(&["status", "m"]).await.expect_code(0);
    let watch = user.start(&["watch", "m"]);
    stage.status("m", completed()).await;
    watch.outcome().await.expect_code(0);
    stage.apply(&manifest("n")).await;
    for arguments in [
        &["abort", "n"][..],
        &["delete", "m"],
        &["delete", "n", "--force"],
    ] {
        let refused = user.run(arguments).await.expect_code(3);
        assert!(refused.stderr.contains("forbidden"), "{refused:?}");
    }
    let stored = stage.stored("n").await;
    assert_eq!(stored["spec"]["abort"], Value::Null);
    stage.end().await;
}
