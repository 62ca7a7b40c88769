//! The target pod: made, watched, given its labels.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use ms2m::cluster::KubeCluster;
use ms2m::migration::error::PortError;
use ms2m::migration::ports::{Cluster as _, Restore as _, RestoreOrder, RestoreState};
use serde_json::json;
use tokio::time::Instant;

use crate::server::{World, soon};

const MIGRATION: &str = "m1";
const TARGET: &str = "web-0-shadow";

fn order(uid: &str) -> RestoreOrder {
    RestoreOrder {
        migration: MIGRATION.into(),
        source_pod: "web-0".into(),
        source_uid: uid.into(),
        target_pod: TARGET.into(),
        node: "node-b".into(),
        container: "main".into(),
        image: "registry:5000/cp@sha256:cc".into(),
        base_image: Some("shop/web@sha256:aa".into()),
        credentials_secret: None,
        kept_with: None,
        labelled: false,
    }
}

async fn made(world: &World) -> KubeCluster {
    let uid = world.running_pod("web-0").await.uid().expect("a uid");
    let cluster = world.cluster().await;
    for _ in 0..2 {
        cluster.ensure_target(&order(&uid)).await.expect("ensured");
    }
    cluster
}

/// Waits as the engine does.
async fn until(cluster: &KubeCluster, fits: impl Fn(&RestoreState) -> bool) -> RestoreState {
    soon(async {
        loop {
            let state = cluster.target(MIGRATION, TARGET).await.expect("seen");
            if fits(&state) {
                return state;
            }
            cluster
                .target_changed(TARGET, Duration::from_secs(10))
                .await
                .expect("watched");
        }
    })
    .await
}

#[tokio::test]
async fn a_target_starts_runs_and_takes_over_the_labels() {
    let world = World::start().await;
    let cluster = made(&world).await;
    let pod = world.api::<Pod>().get(TARGET).await.expect("made");
    assert_eq!(pod.labels().get("app"), None);
    assert!(matches!(
        cluster.target(MIGRATION, TARGET).await.expect("seen"),
        RestoreState::Starting(_)
    ));
    let begin = Instant::now();
    let change = async {
        world
            .container_state(TARGET, "main", "Running", json!({"running": {}}))
            .await;
    };
    let (state, ()) = tokio::join!(
        until(&cluster, |it| matches!(it, RestoreState::Running { .. })),
        change
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "told by watch");
    assert_eq!(
        state,
        RestoreState::Running {
            uid: pod.uid().expect("a uid"),
            ready: true
        }
    );
    for _ in 0..2 {
        cluster.hand_over_labels(TARGET).await.expect("labelled");
    }
    let labels = world
        .api::<Pod>()
        .get(TARGET)
        .await
        .expect("there")
        .metadata
        .labels;
    let labels = labels.unwrap_or_default();
    assert_eq!(labels["app"], "web");
    assert_eq!(labels["migration.ms2m.io/role"], "target");
}

#[tokio::test]
async fn a_change_between_two_looks_is_not_missed() {
    let world = World::start().await;
    let cluster = made(&world).await;
    cluster.target(MIGRATION, TARGET).await.expect("seen");
    world
        .container_state(TARGET, "main", "Running", json!({"running": {}}))
        .await;
    // The change was before the wait: the wait must end all the same.
    let begin = Instant::now();
    cluster
        .target_changed(TARGET, Duration::from_secs(15))
        .await
        .expect("watched");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_restore_that_cannot_work_fails_with_the_runtime_s_words() {
    let world = World::start().await;
    let cluster = made(&world).await;
    let waiting =
        json!({"waiting": {"reason": "CreateContainerError", "message": "image not known"}});
    world
        .container_state(TARGET, "main", "Pending", waiting)
        .await;
    let state = until(&cluster, |it| matches!(it, RestoreState::Failed(_))).await;
    let RestoreState::Failed(words) = state else {
        unreachable!("just looked for")
    };
    assert!(words.contains("image not known"), "{words}");
}

#[tokio::test]
async fn a_scheduler_that_finds_no_place_gets_a_few_seconds() {
    let world = World::start().await;
    let cluster = made(&world).await;
    world
        .pod_status(
            TARGET,
            json!({"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/2 nodes are available"
            }]}),
        )
        .await;
    let begin = Instant::now();
    let state = until(&cluster, |it| matches!(it, RestoreState::Failed(_))).await;
    assert!(matches!(state, RestoreState::Failed(words) if words.contains("0/2 nodes")));
    assert!(
        begin.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_watch_that_is_cut_or_too_old_is_made_again() {
    let world = World::start().await;
    world.cut("watch", "pods", 2);
    let cluster = made(&world).await;
    world.server.compact();
    cluster.target(MIGRATION, TARGET).await.expect("seen");
    world
        .container_state(TARGET, "main", "Running", json!({"running": {}}))
        .await;
    world.server.compact();
    until(&cluster, |it| matches!(it, RestoreState::Running { .. })).await;
}

#[tokio::test]
async fn no_target_is_made_from_another_pod_of_the_source_s_name() {
    let world = World::start().await;
    world.running_pod("web-0").await;
    let cluster = world.cluster().await;
    let end = cluster.ensure_target(&order("another-uid")).await;
    assert!(matches!(end, Err(PortError::NotFound(_))), "{end:?}");
    assert_eq!(
        cluster.target(MIGRATION, TARGET).await.expect("seen"),
        RestoreState::Absent
    );
}
