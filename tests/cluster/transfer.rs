//! A transfer is followed to its end, and every wait has a way out.

use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use ms2m::api::Compression;
use ms2m::cluster::KubeCluster;
use ms2m::migration::ports::{ArchiveToSend, Cluster as _, TransferEnd, TransferOrder};
use ms2m_transfer::Report;
use serde_json::{Value, json};

use crate::server::{World, soon};

const NAME: &str = "m1-transfer";

fn order() -> TransferOrder {
    TransferOrder {
        name: NAME.into(),
        migration: "m1".into(),
        node: "node-a".into(),
        archive: ArchiveToSend::At("/var/lib/kubelet/checkpoints/a:b.tar".into()),
        image: "registry:5000/cp:m1".into(),
        transfer_image: "registry:5000/ms2m-transfer:dev".into(),
        pod: "web-0".into(),
        container: "main".into(),
        compression: Compression::Gzip,
        plain_http: true,
        direct: None,
        credentials_secret: None,
        keep_archive: false,
        discard: false,
        deadline: Duration::from_secs(3600),
    }
}

async fn made(world: &World) -> KubeCluster {
    let cluster = world.cluster().await;
    for _ in 0..2 {
        cluster.ensure_transfer(&order()).await.expect("ensured");
    }
    cluster
}

/// Makes the Job's pod, as the Job controller does.
pub(crate) async fn job_pod(world: &World) {
    let job = world.api::<Job>().get(NAME).await.expect("a Job");
    let uid = job.uid();
    let template = job.spec.expect("a spec").template;
    let mut labels = template
        .metadata
        .unwrap_or_default()
        .labels
        .unwrap_or_default();
    labels.insert("batch.kubernetes.io/job-name".into(), NAME.into());
    let mut spec = serde_json::to_value(template.spec).expect("JSON");
    spec["nodeName"] = json!("node-a");
    world
        .make::<Pod>(json!({
            "metadata": {
                "name": "m1-transfer-x", "labels": labels,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": uid, "controller": true}]
            },
            "spec": spec
        }))
        .await;
}

async fn state(world: &World, phase: &str, state: Value) {
    world
        .container_state("m1-transfer-x", "transfer", phase, state)
        .await;
}

/// The binary ends with the report that the registry has refused it.
async fn denied(world: &World) {
    let message = r#"{"result":"failed","code":"registry-denied","message":"no"}"#;
    let ended = json!({"terminated": {"exitCode": 5, "message": message}});
    state(world, "Failed", ended).await;
}

async fn follow(cluster: &KubeCluster) -> TransferEnd {
    soon(cluster.follow_transfer(NAME, &|_| {}))
        .await
        .expect("followed")
}

fn lost(end: TransferEnd) -> String {
    match end {
        TransferEnd::Lost(words) => words,
        TransferEnd::Reported(report) => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn the_termination_message_is_the_end() {
    let world = World::start().await;
    let cluster = made(&world).await;
    let kubelet = async {
        job_pod(&world).await;
        state(
            &world,
            "Pending",
            json!({"waiting": {"reason": "ContainerCreating"}}),
        )
        .await;
        state(&world, "Running", json!({"running": {}})).await;
        denied(&world).await;
    };
    let (end, ()) = tokio::join!(follow(&cluster), kubelet);
    assert!(
        matches!(end, TransferEnd::Reported(Report::Failed(_))),
        "{end:?}"
    );

    let (since, _) = world.requests(0).await;
    cluster.remove_transfer(NAME).await.expect("removed");
    let (_, asked) = world.requests(since).await;
    assert_eq!(asked, ["delete jobs"], "its pod has ended");
    assert!(
        world
            .api::<Job>()
            .get_opt(NAME)
            .await
            .expect("an answer")
            .is_none()
    );
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_ends_the_wait() {
    let world = World::start().await;
    let cluster = made(&world).await;
    let kubelet = async {
        job_pod(&world).await;
        let waiting =
            json!({"waiting": {"reason": "ErrImagePull", "message": "repository not found"}});
        state(&world, "Pending", waiting).await;
    };
    let (end, ()) = tokio::join!(follow(&cluster), kubelet);
    let words = lost(end);
    assert!(words.contains("repository not found"), "{words}");
}

#[tokio::test]
async fn a_job_whose_pod_is_refused_says_why() {
    let world = World::start().await;
    let cluster = made(&world).await;
    world
        .make::<Event>(json!({
            "metadata": {"name": "m1-transfer.1"},
            "involvedObject": {"kind": "Job", "name": NAME, "namespace": "default"},
            "reason": "FailedCreate", "type": "Warning",
            "message": "pods \"m1-transfer-x\" is forbidden: violates PodSecurity \"baseline:latest\": hostPath volumes"
        }))
        .await;
    let words = lost(follow(&cluster).await);
    assert!(words.contains("violates PodSecurity"), "{words}");
}

#[tokio::test]
async fn a_pod_or_job_that_is_taken_away_ends_the_wait() {
    let world = World::start().await;
    let cluster = made(&world).await;
    job_pod(&world).await;
    state(&world, "Running", json!({"running": {}})).await;
    let removal = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.end_pod("m1-transfer-x").await;
    };
    let (end, ()) = tokio::join!(follow(&cluster), removal);
    let words = lost(end);
    assert!(words.contains("was deleted"), "{words}");

    world
        .api::<Job>()
        .delete(NAME, &DeleteParams::background())
        .await
        .expect("deleted");
    let words = lost(follow(&cluster).await);
    assert!(words.contains("Job m1-transfer was deleted"), "{words}");
}

/// The Job controller can be behind: a Job was removed and made again under its name, and the pod of the
/// first one comes and goes beside that of the second.
#[tokio::test]
async fn the_pod_of_an_earlier_job_of_that_name_is_not_its_own() {
    let world = World::start().await;
    let cluster = made(&world).await;
    world
        .make::<Pod>(json!({
            "metadata": {
                "name": "m1-transfer-old",
                "labels": {"migration.ms2m.io/transfer": NAME},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "an-earlier-one", "controller": true}]
            },
            "spec": {"nodeName": "node-a", "containers": [{"name": "transfer", "image": "i"}]}
        }))
        .await;
    let kubelet = async {
        job_pod(&world).await;
        state(&world, "Running", json!({"running": {}})).await;
        world.end_pod("m1-transfer-old").await;
        denied(&world).await;
    };
    let (end, ()) = tokio::join!(follow(&cluster), kubelet);
    assert!(
        matches!(end, TransferEnd::Reported(Report::Failed(_))),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_cut_watch_is_no_end() {
    let world = World::start().await;
    let cluster = made(&world).await;
    world.cut("watch", "pods", 2);
    world.fail("list", "pods", 500, 1);
    let seen = Mutex::new(0);
    let kubelet = async {
        job_pod(&world).await;
        state(&world, "Running", json!({"running": {}})).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        state(
            &world,
            "Failed",
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        )
        .await;
    };
    let count = |_| *seen.lock().expect("no panic") += 1;
    let following = async {
        soon(cluster.follow_transfer(NAME, &count))
            .await
            .expect("followed")
    };
    let (end, ()) = tokio::join!(following, kubelet);
    assert_eq!(
        lost(end),
        "container transfer ended with exit code 137 (OOMKilled)"
    );
}

#[tokio::test]
async fn removing_a_transfer_that_still_runs_waits_for_its_pod() {
    let world = World::start().await;
    let cluster = made(&world).await;
    job_pod(&world).await;
    state(&world, "Running", json!({"running": {}})).await;
    let removal = tokio::spawn(async move { cluster.remove_transfer(NAME).await });
    let pods = world.api::<Pod>();
    soon(async {
        while pods
            .get("m1-transfer-x")
            .await
            .is_ok_and(|it| it.metadata.deletion_timestamp.is_none())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!removal.is_finished());
    world.end_pod("m1-transfer-x").await;
    soon(removal).await.expect("no panic").expect("removed");
}
