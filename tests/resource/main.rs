//! The resource `StatefulMigration` on an API server, seen through real kubectl: its CRD, its
//! rules, its columns, and migrations that are remembered in it.

#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::controller::install_crd;
use support::{App, Options, World, eventually};

/// The world with the CRD that `ms2m crd` prints.
async fn world_with_crd() -> &'static World {
    let world = World::get();
    install_crd(world).await;
    world
}

/// A manifest with the fields of the table in the documentation and no other.
fn manifest(name: &str) -> Value {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/manifests/migration.yaml"
    ));
    let mut manifest: Value =
        serde_yaml::from_str(&text.expect("it can be read")).expect("it is YAML");
    manifest["metadata"]["name"] = json!(name);
    manifest
}

async fn applied(world: &World, manifest: &Value) -> Result<String, String> {
    world
        .try_kubectl(&["apply", "-f", "-"], &manifest.to_string())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_applies_unchanged_and_reads_well() {
    let world = world_with_crd().await;
    let name = "as-it-is";
    let wanted = manifest(name);
    applied(world, &wanted).await.expect("it is valid");
    let stored: Value =
        serde_json::from_str(&world.kubectl(&["get", "sm", name, "-o", "json"]).await)
            .expect("JSON");
    assert_eq!(
        stored["spec"], wanted["spec"],
        "nothing is added and nothing pruned"
    );
    let table = world.kubectl(&["get", "sm", name]).await;
    for column in ["NAME", "POD", "FROM", "TO", "STRATEGY", "PHASE", "AGE"] {
        assert!(table.contains(column), "no {column} in:\n{table}");
    }
    let wide = world
        .kubectl(&["get", "statefulmigrations", name, "-o", "wide"])
        .await;
    assert!(
        wide.contains("DOWNTIME") && wide.contains("REPLAYED"),
        "{wide}"
    );
    let described = world.kubectl(&["describe", "sm", name]).await;
    assert!(described.contains("Source Pod:"), "{described}");
    world.kubectl(&["delete", "sm", name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_needed_is_required() {
    let world = world_with_crd().await;
    let least = json!({
        "apiVersion": "migration.ms2m.io/v1alpha1",
        "kind": "StatefulMigration",
        "metadata": {"name": "least"},
        "spec": {
            "sourcePod": "worker-0",
            "checkpointImageRepository": "registry.example.com/checkpoints",
            "messageQueueConfig": {"queueName": "q", "brokerUrl": "amqp://broker", "exchangeName": "x"},
        },
    });
    applied(world, &least).await.expect("it is valid");
    world.kubectl(&["delete", "sm", "least"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_invalid_field_gets_its_own_message() {
    let world = world_with_crd().await;
    let cases: [(&str, Value, &str); 9] = [
        ("/spec/sourcePod", json!(""), "spec.sourcePod"),
        (
            "/spec/sourcePod",
            json!("Worker_0"),
            "must be the name of a pod",
        ),
        (
            "/spec/replayCutoffSeconds",
            json!(-1),
            "spec.replayCutoffSeconds",
        ),
        (
            "/spec/migrationStrategy",
            json!("Teleport"),
            "spec.migrationStrategy",
        ),
        (
            "/spec/checkpointImageRepository",
            json!("https://registry/x"),
            "must be a repository",
        ),
        (
            "/spec/messageQueueConfig/brokerUrl",
            json!("http://broker"),
            "must begin with amqp://",
        ),
        (
            "/spec/timeouts",
            json!({"obey": "soon"}),
            "must be a duration",
        ),
        (
            "/spec/messageQueueConfig/managementUrl",
            json!("amqp://broker"),
            "must begin with http://",
        ),
        (
            "/spec/messageQueueConfig/queueName",
            json!(7),
            "spec.messageQueueConfig.queueName",
        ),
    ];
    for (field, value, words) in cases {
        let mut bad = manifest("bad");
        let (parent, key) = field.rsplit_once('/').expect("a path");
        bad.pointer_mut(parent).expect("it is there")[key] = value;
        let refusal = applied(world, &bad).await.expect_err(field);
        assert!(refusal.contains(words), "'{words}' is not in:\n{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_remembered_in_the_resource() {
    let world = world_with_crd().await;
    let app = App::start("resource", &Options::default()).await;
    let producers = app.produce(50.0, None);
    let result = app.migrate(&[]).await.expect_code(0).json();
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    let name = result["migration"].as_str().expect("it has a name");

    let get = async |more: &[&str]| {
        world
            .kubectl(&[&["get", "sm", name, "-n", &app.namespace], more].concat())
            .await
    };
    let stored: Value = serde_json::from_str(&get(&["-o", "json"]).await).expect("JSON");
    let status = &stored["status"];
    assert_eq!(status["phase"], "Completed");
    assert_eq!(status["sourceNode"], world.source_node.as_str());
    assert_eq!(status["targetPod"], app.target.as_str());
    assert!(
        status["checkpointID"]
            .as_str()
            .unwrap_or_default()
            .starts_with("/var/lib/kubelet/checkpoints/"),
        "{status}"
    );
    assert!(
        status["phaseTimings"]["Checkpointing"]
            .as_str()
            .unwrap_or_default()
            .ends_with('s'),
        "{status}"
    );
    let completed = status["conditions"].as_array().into_iter().flatten();
    assert!(
        completed
            .clone()
            .any(|c| c["type"] == "Completed" && c["status"] == "True"),
        "{status}"
    );
    assert!(
        !stored["spec"]["messageQueueConfig"]["brokerUrl"]
            .as_str()
            .unwrap_or("@")
            .contains('@'),
        "no credentials"
    );
    let wide = get(&["-o", "wide"]).await;
    assert!(
        wide.contains("Completed") && wide.contains(&world.target_node),
        "{wide}"
    );
    let condition = format!("--for=condition=Completed sm/{name}");
    let arguments: Vec<&str> = ["wait", "-n", &app.namespace]
        .into_iter()
        .chain(condition.split(' '))
        .collect();
    world.kubectl(&arguments).await;

    let patched = async |patch: &str| {
        let arguments = ["patch", "sm", name, "-n", &app.namespace, "--type=merge"];
        let arguments = [&arguments[..], &["-p", patch]].concat();
        world.try_kubectl(&arguments, "").await
    };
    let what_stays = [
        r#"{"spec":{"sourcePod":"another"}}"#,
        r#"{"spec":{"strict":true}}"#,
        r#"{"spec":{"timeouts":{"obey":"5s"}}}"#,
        r#"{"spec":{"transfer":null}}"#,
    ];
    for patch in what_stays {
        let refusal = patched(patch).await.expect_err("it is immutable now");
        assert!(refusal.contains("immutable"), "{refusal}");
    }
    patched(r#"{"spec":{"abort":true}}"#)
        .await
        .expect("an abort is let through");
    let refusal = patched(r#"{"spec":{"abort":false}}"#).await;
    let refusal = refusal.expect_err("it cannot be taken back");
    assert!(refusal.contains("cannot be taken back"), "{refusal}");

    let config_maps = world
        .kubectl(&["get", "configmaps", "-n", &app.namespace, "-o", "name"])
        .await;
    assert!(
        !config_maps.contains("ms2m-"),
        "no second journal: {config_maps}"
    );
    let leases = world
        .kubectl(&["get", "leases", "-n", &app.namespace, "-o", "name"])
        .await;
    assert_eq!(leases.trim(), "", "the lock is given back");
    let status = app
        .ms2m(&["status".to_owned(), "-n".to_owned(), app.namespace.clone()])
        .await
        .expect_code(0);
    assert!(status.stdout.contains(name), "{}", status.stdout);
    app.end().await;
}

/// From the plan on, of which the source pod's uid is a part: whoever takes over goes on by the spec.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_planned_is_not_changed_any_more() {
    let world = world_with_crd().await;
    let name = "planned";
    applied(world, &manifest(name)).await.expect("it is valid");
    let patched = async |more: &[&str], patch: &str| {
        let arguments = [&["patch", "sm", name, "--type=merge", "-p", patch], more].concat();
        world.try_kubectl(&arguments, "").await
    };
    let status = ["--subresource=status"];
    let waits = r#"{"status":{"phase":"Pending"}}"#;
    patched(&status, waits).await.expect("it waits");
    let change = |pod: &str| json!({"spec": {"sourcePod": pod}}).to_string();
    let before = patched(&[], &change("another")).await;
    before.expect("it is not planned yet");
    let planned = r#"{"status":{"sourcePodUID":"7d3c"}}"#;
    patched(&status, planned).await.expect("it is planned");
    let refusal = patched(&[], &change("a-third")).await;
    let refusal = refusal.expect_err("it is planned by the pod before");
    assert!(refusal.contains("immutable"), "{refusal}");
    world.kubectl(&["delete", "sm", name]).await;
}

/// Another process ends what a killed one has left in the resource. A resource that nobody has
/// begun is not taken for such a one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_a_resource_is_aborted_and_resumed() {
    let world = world_with_crd().await;
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("left", &options).await;
    let mut waiting = manifest("waiting");
    waiting["metadata"]["namespace"] = json!(app.namespace);
    waiting["spec"]["sourcePod"] = json!(app.pod);
    applied(world, &waiting).await.expect("it is valid");
    let mut record = app.publish(60).await;
    for (name, command, phase) in [
        ("m-1", vec!["abort", "m-1"], "Failed"),
        ("m-2", vec!["migrate", "--resume", "m-2"], "Completed"),
    ] {
        let producers = app.produce(100.0, Some(record));
        let mut arguments = app.migrate_arguments();
        arguments.extend(["--name".to_owned(), name.to_owned()]);
        let running = app.start_ms2m(&arguments);
        running.says("gate closed").await;
        running.signal("KILL").await;
        running.outcome().await;
        record = producers.stop().await;
        app.run(&command).await.expect_code(0);
        let path = "jsonpath={.status.phase}";
        let arguments = ["get", "sm", name, "-n", &app.namespace, "-o", path];
        assert_eq!(world.kubectl(&arguments).await, phase);
    }
    app.assert_exact(&record, &app.target).await;
    app.run(&["migrate", "--resume", "waiting"])
        .await
        .expect_code(3);
    app.end().await;
}

/// `kubectl get -w` shows each phase as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_the_phases() {
    let world = world_with_crd().await;
    let app = App::start("watch", &Options::default()).await;
    let record = app.publish(20).await;
    let output = tempfile::NamedTempFile::new().expect("a file");
    let mut watch = tokio::process::Command::new("kubectl")
        .env("KUBECONFIG", &world.places.kubeconfig)
        .args(["get", "sm", "-w", "-n", &app.namespace])
        .stdout(output.reopen().expect("the file"))
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl runs");
    app.migrate(&[]).await.expect_code(0);
    app.assert_exact(&record, &app.target).await;
    eventually("the watch has shown the end", async || {
        let seen = std::fs::read_to_string(output.path()).expect("it can be read");
        let phases = [
            "Checkpointing",
            "Transferring",
            "Restoring",
            "Replaying",
            "Finalizing",
            "Completed",
        ];
        phases
            .iter()
            .all(|phase| seen.contains(phase))
            .then_some(())
    })
    .await;
    watch.kill().await.expect("it ends");
    app.end().await;
}
