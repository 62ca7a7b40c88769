//! `ms2m create`.

use serde_json::{Value, json};

use crate::stage::{Stage, file, manifest};
use crate::support::World;
use crate::support::cli::start;

const PASSWORD: &str = "hunter2";

/// What is typed for a pod that need not be there in truth.
fn typed(pod: &str) -> Vec<&str> {
    vec![
        "create",
        pod,
        "--to",
        "node-b",
        "--queue",
        "orders",
        "--exchange",
        "events",
        "--repository",
        "registry.example.com/checkpoints",
    ]
}

async fn pod(stage: &Stage, name: &str) {
    stage
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {"migration.ms2m.io/routing-key": "orders.*"}},
            "spec": {"nodeName": "nowhere", "containers": [{"name": "c", "image": "none"}]},
        }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_made_of_flags_and_annotations_and_holds_no_password() {
    let stage = Stage::set().await;
    pod(&stage, "worker-0").await;
    let url = format!("amqp://shop:{PASSWORD}@broker/v");
    let mut arguments = typed("worker-0");
    arguments.extend(["-n", &stage.namespace, "--name", "m-1"]);
    let environment = [("MS2M_BROKER_URL", url.as_str())];
    let made = start(stage.world, &arguments, &environment).outcome().await;
    let made = made.expect_code(0);
    assert!(made.stdout.contains("created"), "{made:?}");
    assert!(made.stderr.contains("--broker-credentials"), "{made:?}");
    let follow = format!("ms2m watch m-1 -n {}", stage.namespace);
    assert!(made.stderr.contains(&follow), "{made:?}");

    arguments.extend(["--broker-credentials", "mq", "-o", "json"]);
    let at = arguments.iter().position(|word| *word == "m-1");
    arguments[at.expect("it is there")] = "m-2";
    let second = start(stage.world, &arguments, &environment).outcome().await;
    let second = second.expect_code(0);
    assert!(!second.stderr.contains("warning"), "{second:?}");
    assert_eq!(second.json()["metadata"]["name"], "m-2");
    for outcome in [&made, &second] {
        assert!(!format!("{outcome:?}").contains(PASSWORD), "{outcome:?}");
    }

    let stored = stage.stored("m-2").await;
    assert!(!stored.to_string().contains(PASSWORD), "{stored}");
    let spec = &stored["spec"];
    assert_eq!(spec["sourcePod"], "worker-0");
    assert_eq!(spec["targetNode"], "node-b");
    let queue = &spec["messageQueueConfig"];
    assert_eq!(queue["routingKey"], "orders.*", "from the annotation");
    assert_eq!(queue["brokerUrl"], "amqp://broker/v");
    assert_eq!(
        queue["credentials"],
        json!({
            "username": {"secretKeyRef": {"name": "mq", "key": "username"}},
            "password": {"secretKeyRef": {"name": "mq", "key": "password"}},
        })
    );
    assert_eq!(
        stored["metadata"]["labels"],
        Value::Null,
        "nobody's but the controller's"
    );

    let again = start(stage.world, &arguments, &environment).outcome().await;
    let again = again.expect_code(3);
    assert!(again.stderr.contains("already exists"), "{again:?}");
    let mut unknown = typed("worker-1");
    unknown.extend(["-n", &stage.namespace]);
    let unknown = start(stage.world, &unknown, &environment).outcome().await;
    let unknown = unknown.expect_code(3);
    assert!(
        unknown.stderr.contains("did you mean worker-0"),
        "{unknown:?}"
    );
    stage.end().await;
}

/// What the API server says of a manifest, and what is said without one, are the same words.
#[tokio::test(flavor = "multi_thread")]
async fn each_invalid_field_gets_the_api_server_s_words_without_one() {
    let stage = Stage::set().await;
    let cases: [(&str, Value); 13] = [
        ("/spec/sourcePod", json!("")),
        ("/spec/sourcePod", json!("Worker_0")),
        ("/spec/sourcePod", json!("w".repeat(254))),
        ("/spec/sourcePod", Value::Null),
        ("/spec/replayCutoffSeconds", json!(-1)),
        ("/spec/replayCutoffSeconds", json!(86_401)),
        ("/spec/replayCutoffSeconds", json!("1m")),
        ("/spec/migrationStrategy", json!("Teleport")),
        (
            "/spec/checkpointImageRepository",
            json!("https://registry/x"),
        ),
        ("/spec/messageQueueConfig/brokerUrl", json!("http://broker")),
        ("/spec/messageQueueConfig/queueName", json!(7)),
        ("/spec/timeouts", json!({"obey": "soon"})),
        (
            "/spec/messageQueueConfig/credentials",
            json!({"username": {}}),
        ),
    ];
    for (field, value) in cases {
        let mut bad = manifest("bad");
        let (parent, key) = field.rsplit_once('/').expect("a path");
        bad.pointer_mut(parent).expect("it is there")[key] = value;
        let file = file(&bad.to_string());
        let path = file.path().to_string_lossy().into_owned();
        let offline = stage
            .run(&["create", "-f", &path, "--dry-run=client"])
            .await;
        let offline = offline.expect_code(2).stderr;
        let arguments = ["create", "-n", &stage.namespace, "-f", "-"];
        let server = stage.world.try_kubectl(&arguments, &bad.to_string()).await;
        let server = server.expect_err("the API server refuses it too");
        let mut lines = offline
            .lines()
            .filter_map(|line| line.trim().strip_prefix("because: ").or(line.trim().into()))
            .filter(|line| line.starts_with("spec."))
            .peekable();
        assert!(lines.peek().is_some(), "{field}: {offline}");
        for line in lines {
            assert!(server.contains(line), "'{line}' is not in:\n{server}");
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_manifests_all_are_made_or_none() {
    let stage = Stage::set().await;
    let (one, two) = (manifest("one"), manifest("two"));
    let mut bad = manifest("bad");
    bad["spec"]["sourcePod"] = json!("Worker_0");
    let mut other = manifest("other");
    other["spec"]["messageQueueConfig"]["brokerUrl"] = json!(format!("amqp://u:{PASSWORD}@mq"));
    let text = format!("{one}\n---\n{bad}\n---\n{other}\n");
    let mixed = file(&text);
    let path = mixed.path().to_string_lossy().into_owned();
    let refused = stage.run(&["create", "-f", &path]).await.expect_code(2);
    assert!(
        refused.stderr.contains("(bad): spec.sourcePod"),
        "{refused:?}"
    );
    assert!(!format!("{refused:?}").contains(PASSWORD), "{refused:?}");
    assert!(refused.stderr.contains("warning"), "{refused:?}");
    let verdicts = refused.stdout.lines().filter(|line| line.contains("valid"));
    assert_eq!(verdicts.count(), 3, "{}", refused.stdout);
    assert_eq!(stage.kubectl(&["get", "sm", "-o", "name"]).await, "");

    let good = file(&format!("{one}\n---\n{two}\n"));
    let path = good.path().to_string_lossy().into_owned();
    let checked = ["create", "-f", &path, "--dry-run=server"];
    let checked = stage.run(&checked).await.expect_code(0);
    assert_eq!(checked.stdout.matches("accepted").count(), 2, "{checked:?}");
    assert_eq!(stage.kubectl(&["get", "sm", "-o", "name"]).await, "");
    let made = ["create", "-f", &path, "-o", "name"];
    let made = stage.run(&made).await.expect_code(0);
    assert_eq!(made.stdout, "one\ntwo\n");

    let third = file(&format!("{}\n---\n{two}\n", manifest("three")));
    let path = third.path().to_string_lossy().into_owned();
    let refused = stage.run(&["create", "-f", &path]).await.expect_code(3);
    assert!(refused.stderr.contains("already exists"), "{refused:?}");
    let names = stage.kubectl(&["get", "sm", "-o", "name"]).await;
    assert!(!names.contains("three"), "{names}");
    stage.end().await;
}

/// Neither a cluster nor a kubeconfig.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_dry_run_needs_no_cluster() {
    let world = World::get();
    let nowhere = [("KUBECONFIG", "/nonexistent")];
    let file = file(&manifest("m").to_string());
    let path = file.path().to_string_lossy().into_owned();
    let arguments = ["create", "-f", &path, "--dry-run=client", "-o", "yaml"];
    let shown = start(world, &arguments, &nowhere).outcome().await;
    let shown: Value = serde_yaml::from_str(&shown.expect_code(0).stdout).expect("YAML");
    assert_eq!(shown, manifest("m"));
    let mut arguments = typed("worker-0");
    arguments.extend([
        "--broker-url",
        "amqp://mq",
        "--dry-run=client",
        "-o",
        "name",
    ]);
    let shown = start(world, &arguments, &nowhere).outcome().await;
    assert!(shown.expect_code(0).stdout.starts_with("worker-0-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_crd_it_says_what_to_install() {
    let world = World::sandbox(&["node-a"]);
    let file = file(&manifest("m").to_string());
    let path = file.path().to_string_lossy().into_owned();
    let refused = start(&world, &["create", "-f", &path], &[]).outcome().await;
    let refused = refused.expect_code(3);
    for words in [
        "is not installed",
        "ms2m crd | kubectl apply -f -",
        "ms2m install",
    ] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
}
