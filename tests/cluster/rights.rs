//! The check of rights, and the manifest that grants them.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use ms2m::cluster::rbac_manifest;
use ms2m::migration::ports::Cluster as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::server::World;

#[tokio::test]
async fn an_administrator_is_asked_about_once() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    let (since, _) = world.requests(0).await;
    assert_eq!(
        cluster.missing_permissions(None).await.expect("an answer"),
        []
    );
    let (_, asked) = world.requests(since).await;
    assert_eq!(asked, ["create selfsubjectaccessreviews"]);
}

#[tokio::test]
async fn who_may_do_nothing_is_told_everything_that_is_missing() {
    let world = World::start().await;
    let jane = world.cluster_for("jane").await;
    let missing = jane.missing_permissions(None).await.expect("an answer");
    let names: Vec<_> = missing.iter().map(|it| it.what.as_str()).collect();
    for what in [
        "create nodes/proxy",
        "create pods",
        "get pods/log",
        "create jobs.batch",
        "update leases.coordination.k8s.io",
        "create configmaps",
    ] {
        assert!(names.contains(&what), "{what} in {names:?}");
    }
    for it in &missing {
        let of_nodes = it.what.contains("nodes");
        assert_eq!(it.namespace.is_none(), of_nodes, "{it:?}");
        assert!(!it.purpose.is_empty());
    }
}

#[tokio::test]
async fn the_manifest_grants_all_that_is_asked_for() {
    let world = World::start().await;
    for document in documents() {
        match document["kind"].as_str().expect("a kind") {
            "ClusterRole" => drop(world.make_global::<ClusterRole>(document).await),
            "ClusterRoleBinding" => drop(world.make_global::<ClusterRoleBinding>(document).await),
            "RoleBinding" => drop(world.make::<RoleBinding>(document).await),
            other => panic!("{other}"),
        }
    }
    let jane = world.cluster_for("jane").await;
    assert_eq!(jane.missing_permissions(None).await.expect("an answer"), []);
}

/// The manifest, bound to jane.
fn documents() -> Vec<Value> {
    let text = rbac_manifest();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| {
            let mut object = Value::deserialize(document).expect("YAML");
            if object.get("subjects").is_some() {
                object["subjects"] = json!([
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
                ]);
            }
            object
        })
        .collect()
}
