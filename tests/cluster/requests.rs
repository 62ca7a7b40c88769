//! A migration asks little of the API server: everything that it does to the cluster, in its
//! order, with every request counted.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use ms2m::api::{Compression, MessageQueueConfig, StatefulMigrationSpec, StatefulMigrationStatus};
use ms2m::migration::ports::{
    ArchiveToSend, Cluster as _, ImagePull, Journal as _, Restore as _, RestoreOrder, RestoreState,
    TransferEnd, TransferOrder,
};
use ms2m::migration::record::Record;
use ms2m_transfer::Report;
use serde_json::json;

use crate::kubelet::Kubelet;
use crate::server::{World, soon};
use crate::transfer::job_pod;

const ARCHIVE: &str = "/var/lib/kubelet/checkpoints/c.tar";
const PUSHED: &str = r#"{"result":"pushed","image":"r/cp@sha256:cc","digest":"sha256:cc","layerDigest":"sha256:bb","diffId":"sha256:aa","archiveBytes":3,"layerBytes":2,"seconds":0.1}"#;
const SECOND: Duration = Duration::from_secs(1);

/// How often the journal is written besides its creation; the engine decides, this is generous.
const SAVES: usize = 12;

/// What a whole migration may ask for.
const BUDGET: usize = 40;

fn node_a(asked: &str) -> (u16, String) {
    if asked.starts_with("POST /checkpoint/default/web-0/main?timeout=") {
        return (200, format!(r#"{{"items":["{ARCHIVE}"]}}"#));
    }
    let line = r#"{"event":"progress","archiveBytes":3,"readBytes":3,"sentBytes":2,"seconds":0.1}"#;
    (200, format!("a word of the runtime\n{line}\n"))
}

#[tokio::test]
async fn a_whole_migration_takes_few_requests() {
    let world = World::start().await;
    let kubelet = Kubelet::start(&world, "node-a", node_a).await;
    let source = world.running_pod("web-0").await.uid().expect("a uid");
    let cluster = world.cluster().await;
    let journal = cluster.journal();
    let record = record();
    let (since, _) = world.requests(0).await;

    // Pending: look, take the lock, remember.
    assert_eq!(cluster.missing_permissions(None).await.expect("asked"), []);
    cluster.pod("web-0").await.expect("read").expect("there");
    cluster.nodes().await.expect("listed");
    journal.list().await.expect("listed");
    let lock = journal.lock("web-0").await.expect("locked");
    journal.create(&record).await.expect("remembered");
    cluster
        .ensure_image_pull("m1", "m1-pull", "node-b", "shop/web@sha256:aa", "web-0")
        .await
        .expect("made");
    for _ in 0..SAVES {
        journal.save(&record).await.expect("remembered");
    }
    // Checkpointing and Transferring.
    let archive = cluster
        .checkpoint("node-a", "web-0", "main", SECOND)
        .await
        .expect("taken");
    assert_eq!(archive, ARCHIVE);
    cluster.ensure_transfer(&transfer()).await.expect("made");
    let progress = Mutex::new(Vec::new());
    let tell = |now: ms2m_transfer::event::Progress| {
        progress.lock().expect("no panic").push(now.sent_bytes);
    };
    let (end, ()) = tokio::join!(
        soon(cluster.follow_transfer("m1-transfer", &tell)),
        transfer_runs(&world, &kubelet)
    );
    assert!(
        matches!(end, Ok(TransferEnd::Reported(Report::Pushed(_)))),
        "{end:?}"
    );
    assert!(progress.lock().expect("no panic").contains(&2));
    // Restoring.
    let pulled = json!({"waiting": {"reason": "CreateContainerError"}});
    world
        .container_state("m1-pull", "image-pull", "Pending", pulled)
        .await;
    soon(async {
        while cluster.image_pull("m1-pull").await.expect("seen") != ImagePull::Present {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    cluster
        .ensure_target(&restore(&source))
        .await
        .expect("made");
    world
        .container_state("web-0-shadow", "main", "Running", json!({"running": {}}))
        .await;
    soon(async {
        while !matches!(
            cluster.target("m1", "web-0-shadow").await.expect("seen"),
            RestoreState::Running { .. }
        ) {
            cluster
                .target_changed("web-0-shadow", SECOND)
                .await
                .expect("watched");
        }
    })
    .await;
    // Finalizing.
    cluster
        .hand_over_labels("web-0-shadow")
        .await
        .expect("labelled");
    let pods = world.api::<Pod>();
    let kubelets = async {
        for name in ["web-0", "m1-pull"] {
            soon(async {
                while pods
                    .get(name)
                    .await
                    .is_ok_and(|it| it.metadata.deletion_timestamp.is_none())
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            if pods.get_opt(name).await.expect("read").is_some() {
                world.end_pod(name).await;
            }
        }
    };
    let removals = async {
        cluster
            .remove_pod("web-0", Some(&source), SECOND)
            .await
            .expect("removed");
        cluster
            .remove_pod("m1-pull", None, SECOND)
            .await
            .expect("removed");
    };
    tokio::join!(removals, kubelets);
    cluster
        .remove_transfer("m1-transfer")
        .await
        .expect("removed");
    lock.release().await.expect("released");

    let (_, asked) = world.requests(since).await;
    let renewals = asked.iter().filter(|it| *it == "update leases").count();
    let count = asked.len() - renewals;
    assert!(count <= BUDGET, "{count} requests: {asked:#?}");
    let checkpoints = kubelet.requests();
    let checkpoints = checkpoints
        .iter()
        .filter(|it| it.starts_with("POST"))
        .count();
    assert_eq!(checkpoints, 1);
}

/// Job controller and kubelet: the pod runs until its log was read, then reports.
async fn transfer_runs(world: &World, kubelet: &Kubelet) {
    job_pod(world).await;
    let pod = "m1-transfer-x";
    world
        .container_state(pod, "transfer", "Running", json!({"running": {}}))
        .await;
    soon(async {
        while !kubelet
            .requests()
            .iter()
            .any(|it| it.contains("containerLogs"))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let end = json!({"terminated": {"exitCode": 0, "message": PUSHED}});
    world
        .container_state(pod, "transfer", "Succeeded", end)
        .await;
}

fn record() -> Record {
    Record {
        name: "m1".into(),
        namespace: "default".into(),
        created: Timestamp::now(),
        spec: StatefulMigrationSpec {
            source_pod: "web-0".into(),
            container_name: None,
            target_node: Some("node-b".into()),
            checkpoint_image_repository: "r/cp".into(),
            replay_cutoff_seconds: None,
            message_queue_config: MessageQueueConfig {
                queue_name: "orders".into(),
                broker_url: "amqp://broker".into(),
                exchange_name: "shop".into(),
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
        },
        status: StatefulMigrationStatus::default(),
    }
}

fn transfer() -> TransferOrder {
    TransferOrder {
        name: "m1-transfer".into(),
        migration: "m1".into(),
        node: "node-a".into(),
        archive: ArchiveToSend::At(ARCHIVE.into()),
        image: "r/cp:m1".into(),
        transfer_image: "r/ms2m-transfer:dev".into(),
        pod: "web-0".into(),
        container: "main".into(),
        compression: Compression::None,
        plain_http: true,
        direct: None,
        credentials_secret: None,
        keep_archive: false,
        discard: false,
        deadline: Duration::from_secs(3600),
    }
}

fn restore(uid: &str) -> RestoreOrder {
    RestoreOrder {
        migration: "m1".into(),
        source_pod: "web-0".into(),
        source_uid: uid.into(),
        target_pod: "web-0-shadow".into(),
        node: "node-b".into(),
        container: "main".into(),
        image: "r/cp@sha256:cc".into(),
        base_image: Some("shop/web@sha256:aa".into()),
        credentials_secret: None,
        kept_with: None,
        labelled: false,
    }
}
