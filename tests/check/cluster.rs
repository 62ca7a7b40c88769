//! A cluster without a pod.

use serde_json::json;

use crate::shown::{Shown, apply, check_cluster};
use crate::support::World;
use crate::support::cli::start;

/// Everything that a check of a whole cluster can be told by settings.
fn environment(world: &World) -> Vec<(&'static str, String)> {
    let places = &world.places;
    vec![
        ("MS2M_BROKER_URL", places.broker_url.clone()),
        ("MS2M_MANAGEMENT_URL", places.management_url.clone()),
        (
            "MS2M_REPOSITORY",
            format!("{}/checkpoints", places.registry),
        ),
        ("MS2M_REGISTRY_PLAIN_HTTP", world.plain_http.to_string()),
    ]
}

fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    pairs
        .iter()
        .map(|(name, it)| (*name, it.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_cluster_has_nothing_against_it() {
    let world = World::get();
    let environment = environment(world);
    let shown = check_cluster(world, "default", &borrowed(&environment)).await;
    assert_eq!(shown.failed(), Vec::<&str>::new(), "{:#}", shown.document);
    assert_eq!(shown.code, Some(0));
    assert_eq!(shown.document["ok"], true);
    shown
        .expect("Kubernetes API", "version", "pass")
        .expect("Permissions", "create nodes/proxy", "pass")
        .expect("Nodes", "two nodes", "pass")
        .expect("Node", "it is ready", "pass")
        .expect("Namespace", "the transfer's pod", "pass")
        .expect("Registry", "can be pushed to", "pass")
        .expect("Broker", "it answers", "pass")
        .expect("Broker", "management API", "pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_setting_names_is_not_checked() {
    let world = World::get();
    let shown = check_cluster(world, "default", &[]).await;
    shown
        .expect("Registry", "it answers", "skipped")
        .expect("Broker", "it answers", "skipped");
    assert_eq!(shown.code, Some(0));
}

/// `MS2M_TO` is for those who move pods; typed, it is a usage error (tests/cli.rs).
#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_the_environment_says_nothing_of_a_cluster() {
    let world = World::get();
    let shown = check_cluster(world, "default", &[("MS2M_TO", "nowhere")]).await;
    shown.expect("Nodes", "two nodes", "pass");
    assert_eq!(shown.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_answer() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let text = std::fs::read_to_string(&world.places.kubeconfig).expect("a kubeconfig");
    let mut config: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    config["clusters"][0]["cluster"] = json!({"server": "https://127.0.0.1:1"});
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("it is written");
    let path = file.path().to_string_lossy();
    let shown = check_cluster(world, "default", &[("KUBECONFIG", &path)]).await;
    shown.expect("Kubernetes API", "answers", "fail");
    assert_eq!(shown.code, Some(3));
    let groups = shown.document["groups"].as_array().map(Vec::len);
    assert_eq!(groups, Some(1), "nothing else is taken for checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_and_one_that_does_not_answer() {
    let world = World::get();
    let away = [("MS2M_REPOSITORY", "127.0.0.1:1/checkpoints")];
    let shown = check_cluster(world, "default", &away).await;
    shown
        .expect("Registry", "answers from here", "warn")
        .expect("Registry", "can be pushed to", "skipped");
    if !world.is_sandbox() {
        return;
    }
    // A path of its own: the order is for whoever comes first.
    let refuses = json!({"status": 403, "method": "POST", "path": "/not-for-us/", "times": 1});
    world.order("/registry", refuses).await;
    let repository = format!("{}/not-for-us", world.places.registry);
    let plain = world.plain_http.to_string();
    let refused = [
        ("MS2M_REPOSITORY", repository.as_str()),
        ("MS2M_REGISTRY_PLAIN_HTTP", plain.as_str()),
    ];
    let shown = check_cluster(world, "default", &refused).await;
    shown
        .expect("Registry", "answers from here", "pass")
        .expect("Registry", "can be pushed to", "fail");
    assert_eq!(shown.code, Some(3));
}

/// A namespace of its own.
async fn namespace(world: &World, name: &str) -> String {
    let namespace = format!("check-{name}-{}", std::process::id());
    world.kubectl(&["create", "namespace", &namespace]).await;
    namespace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_level_keeps_the_transfer_out() {
    const ADMITS: &str = "admits the transfer's pod";
    let world = World::get();
    let namespace = namespace(world, "level").await;
    let label = "pod-security.kubernetes.io/enforce=baseline";
    world
        .kubectl(&["label", "namespace", &namespace, label])
        .await;
    let shown = check_cluster(world, &namespace, &[]).await;
    shown.expect("Namespace", ADMITS, "fail");
    assert_eq!(shown.code, Some(3));
    for remedy in shown.remedies("Namespace", ADMITS) {
        apply(world, &remedy).await;
    }
    let shown = check_cluster(world, &namespace, &[]).await;
    shown.expect("Namespace", ADMITS, "pass");
    world
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_without_room() {
    const ADMITS: &str = "admits the transfer's pod";
    let world = World::get();
    let namespace = namespace(world, "quota").await;
    world
        .kubectl(&["create", "quota", "few", "--hard=pods=0", "-n", &namespace])
        .await;
    let shown = check_cluster(world, &namespace, &[]).await;
    shown.expect("Namespace", ADMITS, "fail");
    for remedy in shown.remedies("Namespace", ADMITS) {
        apply(world, &remedy).await;
    }
    let shown = check_cluster(world, &namespace, &[]).await;
    shown.expect("Namespace", ADMITS, "pass");
    world
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await;
}

/// The formats say the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_json_and_yaml() {
    let world = World::get();
    let environment = environment(world);
    let run = async |format: &str| {
        let arguments = ["check", "-n", "default", "-o", format];
        let run = start(world, &arguments, &borrowed(&environment));
        run.outcome().await.expect_code(0)
    };
    let json = Shown::of(&run("json").await);
    let yaml: serde_json::Value = serde_yaml::from_str(&run("yaml").await.stdout).expect("YAML");
    assert_eq!(json.document, yaml);
    let table = run("table").await.stdout;
    let version = env!("CARGO_PKG_VERSION");
    let table = table
        .replace(&world.places.registry, "REGISTRY")
        .replace(version, "VERSION");
    let table = regex::Regex::new(r"RabbitMQ [0-9.]+")
        .expect("a pattern")
        .replace_all(&table, "RabbitMQ X")
        .into_owned();
    if world.is_sandbox() {
        insta::assert_snapshot!(table);
    }
}
