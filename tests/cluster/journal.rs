//! Records come back as they were written, from either kind of place.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use ms2m::api::{
    MessageQueueConfig, Phase, StatefulMigration, StatefulMigrationSpec, StatefulMigrationStatus,
};
use ms2m::migration::error::PortError;
use ms2m::migration::ports::Journal as _;
use ms2m::migration::record::Record;

use crate::server::{World, soon};

fn record(name: &str) -> Record {
    Record {
        name: name.into(),
        namespace: "default".into(),
        created: Timestamp::now(),
        spec: StatefulMigrationSpec {
            source_pod: "web-0".into(),
            container_name: None,
            target_node: Some("node-b".into()),
            checkpoint_image_repository: "registry:5000/cp".into(),
            replay_cutoff_seconds: Some(60),
            message_queue_config: MessageQueueConfig {
                queue_name: "orders".into(),
                broker_url: "amqp://broker:5672".into(),
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
        status: StatefulMigrationStatus {
            phase: Some(Phase::Pending),
            message: Some("begun".into()),
            start_time: Some(Time(Timestamp::UNIX_EPOCH)),
            ..StatefulMigrationStatus::default()
        },
    }
}

/// With the CRD the time of creation is the server's, and so is the generation of the spec.
fn same(found: &Record, wanted: &Record) {
    let mut found = Record {
        created: wanted.created,
        ..found.clone()
    };
    found.status.observed_generation = None;
    assert_eq!(&found, wanted);
}

async fn write_and_read(world: &World) {
    let journal = world.cluster().await.journal();
    assert_eq!(journal.list().await.expect("a list"), []);
    let mut one = record("one");
    journal.create(&one).await.expect("it is new");
    one.status.phase = Some(Phase::Checkpointing);
    one.status.message = None;
    one.status
        .phase_timings
        .insert("Pending".into(), "0.100s".into());
    journal.save(&one).await.expect("it can be saved");

    // As another process would find it.
    let other = world.cluster().await.journal();
    let listed = other.list().await.expect("a list");
    assert_eq!(listed.len(), 1);
    same(&listed[0], &one);

    let mut changed = record("one");
    changed.spec.source_pod = "web-1".into();
    assert!(matches!(
        other.create(&changed).await,
        Err(PortError::Conflict(_))
    ));
    other
        .save(&one)
        .await
        .expect("another process goes on with it");
    journal.create(&record("two")).await.expect("another name");
    let names: Vec<_> = other
        .list()
        .await
        .expect("a list")
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names.len(), 2);
}

async fn install_crd(world: &World) {
    world
        .make_global::<CustomResourceDefinition>(
            serde_json::to_value(ms2m::api::crd()).expect("JSON"),
        )
        .await;
    let migrations: Api<StatefulMigration> = world.api();
    soon(async {
        while migrations.list(&ListParams::default()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_the_crd_records_are_config_maps() {
    let world = World::start().await;
    write_and_read(&world).await;
    let maps = world.api::<ConfigMap>();
    let one = maps.get("ms2m-one").await.expect("a ConfigMap");
    let labels = one.metadata.labels.unwrap_or_default();
    assert_eq!(labels["migration.ms2m.io/role"], "journal");
    assert_eq!(labels["migration.ms2m.io/migration"], "one");
}

#[tokio::test]
async fn with_the_crd_they_are_resources_that_a_controller_leaves_alone() {
    let world = World::start().await;
    install_crd(&world).await;
    write_and_read(&world).await;
    let one = world
        .api::<StatefulMigration>()
        .get("one")
        .await
        .expect("a resource");
    let labels = one.metadata.labels.unwrap_or_default();
    assert_eq!(labels["migration.ms2m.io/driven-by"], "cli");
    let status = one.status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Checkpointing));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.message, None, "what is not set any more goes away");
    let maps = world.api::<ConfigMap>();
    assert!(maps.get_opt("ms2m-one").await.expect("an answer").is_none());
}

/// A process that comes back after another went on with its migration cannot take the journal
/// back; one beside which somebody only wrote a label can go on.
async fn fences(world: &World, kind: &str, name: &str) {
    let (one, two) = (
        world.cluster().await.journal(),
        world.cluster().await.journal(),
    );
    let mut mine = record(name);
    one.create(&mine).await.expect("it is new");
    world.label(kind, name).await;
    mine.status.phase = Some(Phase::Checkpointing);
    one.save(&mine).await.expect("a label is nobody's turn");

    let mut theirs = two
        .read(name)
        .await
        .expect("an answer")
        .expect("it is there");
    theirs.status.phase = Some(Phase::Replaying);
    two.save(&theirs).await.expect("it was just read");
    mine.status.phase = Some(Phase::Transferring);
    for _ in 0..2 {
        let end = one.save(&mine).await;
        assert!(matches!(end, Err(PortError::Fenced(_))), "{end:?}");
    }
    let now = two
        .read(name)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(now.status.phase, Some(Phase::Replaying));
    theirs.status.phase = Some(Phase::Completed);
    two.save(&theirs).await.expect("nobody else has written");
}

#[tokio::test]
async fn whoever_was_left_behind_cannot_write_a_record() {
    let world = World::start().await;
    fences(&world, "configmaps", "one").await;
    install_crd(&world).await;
    fences(&world, "statefulmigrations", "two").await;
}

/// Several migrations of one process share a journal, and each begins with a look at all records:
/// what such a look shows of another migration's record is nobody's turn to write it.
async fn a_listing_gives_no_turn(world: &World, name: &str) {
    let (one, two) = (
        world.cluster().await.journal(),
        world.cluster().await.journal(),
    );
    let mut mine = record(name);
    one.create(&mine).await.expect("it is new");
    let mut theirs = two
        .read(name)
        .await
        .expect("an answer")
        .expect("it is there");
    theirs.status.phase = Some(Phase::Replaying);
    two.save(&theirs).await.expect("it was just read");
    one.list().await.expect("a list");
    mine.status.phase = Some(Phase::Checkpointing);
    let end = one.save(&mine).await;
    assert!(matches!(end, Err(PortError::Fenced(_))), "{end:?}");
}

#[tokio::test]
async fn who_lists_the_records_has_not_read_them() {
    let world = World::start().await;
    a_listing_gives_no_turn(&world, "one").await;
    install_crd(&world).await;
    a_listing_gives_no_turn(&world, "two").await;
}

#[tokio::test]
async fn records_from_before_the_crd_are_still_there() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    let mut old = record("old");
    journal.create(&old).await.expect("it is new");
    install_crd(&world).await;
    let later = world.cluster().await.journal();
    later.create(&record("new")).await.expect("it is new");
    let listed = later.list().await.expect("a list");
    let names: Vec<_> = listed.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    old.status.phase = Some(Phase::Failed);
    later.save(&old).await.expect("where it is");
    let listed = later.list().await.expect("a list");
    let found = listed
        .iter()
        .find(|it| it.name == "old")
        .expect("still there");
    assert_eq!(found.status.phase, Some(Phase::Failed));
}

#[tokio::test]
async fn a_disturbed_api_server_loses_no_record() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    world.cut("create", "configmaps", 2);
    world.fail("create", "configmaps", 500, 2);
    soon(journal.create(&record("one")))
        .await
        .expect("after some tries");
    world.fail("patch", "configmaps", 503, 2);
    world.cut("patch", "configmaps", 2);
    let mut later = record("one");
    later.status.phase = Some(Phase::Replaying);
    soon(journal.save(&later)).await.expect("after some tries");
    world.fail("list", "configmaps", 429, 1);
    let listed = soon(journal.list()).await.expect("after some tries");
    assert_eq!(listed[0].status.phase, Some(Phase::Replaying));
}
