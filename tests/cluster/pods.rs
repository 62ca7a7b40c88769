//! Pods are made once, and removed for certain.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use ms2m::migration::error::PortError;
use ms2m::migration::ports::{Cluster as _, ImagePull};
use serde_json::json;

use crate::server::{World, soon};

const WATCH: &str = "watch pods";

const GRACE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_pod_is_gone_when_its_kubelet_says_so_and_not_before() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    let uid = world.running_pod("web-0").await.uid().expect("a uid");
    let removal = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.remove_pod("web-0", Some(&uid), GRACE).await }
    });
    let pods = world.api::<Pod>();
    soon(async {
        while pods
            .get("web-0")
            .await
            .is_ok_and(|it| it.metadata.deletion_timestamp.is_none())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!removal.is_finished());
    let pod = pods.get("web-0").await.expect("still there");
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(1));
    world.end_pod("web-0").await;
    soon(removal).await.expect("no panic").expect("it is gone");
    cluster
        .remove_pod("web-0", None, GRACE)
        .await
        .expect("gone is gone");
}

#[tokio::test]
async fn another_pod_of_the_same_name_is_left_alone() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    let pod = world.running_pod("web-0").await;
    soon(cluster.remove_pod("web-0", Some("another-uid"), GRACE))
        .await
        .expect("there is nothing to remove");
    let now = world.api::<Pod>().get("web-0").await.expect("still there");
    assert_eq!(now.uid(), pod.uid());
    assert!(now.metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn a_removal_survives_cut_watches_and_lost_answers() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    let uid = world.running_pod("web-0").await.uid().expect("a uid");
    world.fail("delete", "pods/web-0", 500, 2);
    world.cut("watch", "pods", 2);
    let removal = tokio::spawn(async move { cluster.remove_pod("web-0", Some(&uid), GRACE).await });
    let pods = world.api::<Pod>();
    soon(async {
        while pods
            .get("web-0")
            .await
            .is_ok_and(|it| it.metadata.deletion_timestamp.is_none())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    world.end_pod("web-0").await;
    soon(removal).await.expect("no panic").expect("it is gone");
}

/// The pod has been ending for so long that the API server has forgotten when it began to: a watch
/// from its own resource version would be refused for ever.
#[tokio::test]
async fn a_pod_that_has_not_changed_for_long_is_read_once_and_watched() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    let uid = world.running_pod("web-0").await.uid().expect("a uid");
    let ends = DeleteParams::default().grace_period(30);
    let deleted = world.api::<Pod>().delete("web-0", &ends).await;
    deleted.expect("it is asked to end");
    world.server.compact();
    let (since, _) = world.requests(0).await;
    let removal = tokio::spawn(async move { cluster.remove_pod("web-0", Some(&uid), GRACE).await });
    soon(async {
        while !world.requests(since).await.1.contains(&WATCH.to_owned()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    world.end_pod("web-0").await;
    soon(removal).await.expect("no panic").expect("it is gone");
    let (_, asked) = world.requests(since).await;
    assert_eq!(asked, ["delete pods", "list pods", WATCH]);
}

#[tokio::test]
async fn an_image_is_pulled_by_one_pod_with_the_source_s_secrets() {
    let world = World::start().await;
    world.running_pod("web-0").await;
    let cluster = world.cluster().await;
    for _ in 0..2 {
        cluster
            .ensure_image_pull("m1", "m1-pull", "node-b", "shop/web@sha256:aa", "web-0")
            .await
            .expect("ensured");
    }
    let pods = world.api::<Pod>();
    assert_eq!(
        pods.list(&ListParams::default())
            .await
            .expect("a list")
            .items
            .len(),
        2
    );
    let pull = pods.get("m1-pull").await.expect("the pod");
    let spec = pull.spec.expect("a spec");
    let secrets = spec.image_pull_secrets.unwrap_or_default();
    assert!(secrets.iter().any(|it| it.name == "registry"));
    assert_eq!(
        cluster.image_pull("m1-pull").await.expect("seen"),
        ImagePull::Pulling
    );

    let (since, _) = world.requests(0).await;
    let waiting = json!({"waiting": {"reason": "CreateContainerError", "message": "no such file"}});
    world
        .container_state("m1-pull", "image-pull", "Pending", waiting)
        .await;
    soon(async {
        while cluster.image_pull("m1-pull").await.expect("seen") != ImagePull::Present {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let (_, asked) = world.requests(since).await;
    assert_eq!(asked, [""; 0], "looking costs nothing");
    assert_eq!(
        cluster.image_pull("other").await.expect("seen"),
        ImagePull::Absent
    );
}

#[tokio::test]
async fn a_pull_that_can_never_work_fails_at_once() {
    let world = World::start().await;
    world.running_pod("web-0").await;
    let cluster = world.cluster().await;
    cluster
        .ensure_image_pull("m1", "m1-pull", "node-b", "shop/web@sha256:aa", "web-0")
        .await
        .expect("ensured");
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}});
    world
        .container_state("m1-pull", "image-pull", "Pending", waiting)
        .await;
    let words = soon(async {
        loop {
            if let ImagePull::Failed(words) = cluster.image_pull("m1-pull").await.expect("seen") {
                return words;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(words.contains("manifest unknown"), "{words}");
}

#[tokio::test]
async fn a_foreign_pod_of_the_wanted_name_is_not_taken_for_ours() {
    let world = World::start().await;
    world.running_pod("web-0").await;
    world.running_pod("m1-pull").await;
    let cluster = world.cluster().await;
    let end = cluster
        .ensure_image_pull("m1", "m1-pull", "node-b", "shop/web@sha256:aa", "web-0")
        .await;
    assert!(matches!(end, Err(PortError::Conflict(_))), "{end:?}");
}

#[tokio::test]
async fn names_and_nodes_are_listed() {
    let world = World::start().await;
    let cluster = world.cluster().await;
    for name in ["web-0", "web-1"] {
        world.running_pod(name).await;
    }
    let mut names = cluster.pod_names().await.expect("a list");
    names.sort();
    assert_eq!(names, ["web-0", "web-1"]);
    world
        .make_global::<Node>(
            json!({"metadata": {"name": "node-a"}, "spec": {"unschedulable": true}}),
        )
        .await;
    let nodes = cluster.nodes().await.expect("a list");
    assert_eq!(nodes.len(), 1);
    assert!(nodes[0].unschedulable && !nodes[0].ready);
    assert_eq!(cluster.pod("web-2").await.expect("an answer"), None);
}
