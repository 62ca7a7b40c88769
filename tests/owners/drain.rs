//! A whole node: what can move moves, a few at a time; what cannot is said before anything begins.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scene::Set;
use crate::support::app::Producers;
use crate::support::cli::{Outcome, Running};
use crate::support::{App, Options, World, eventually};

/// A node with two pods of a StatefulSet, one without an owner, one of which nothing says what it
/// consumes, and one of a DaemonSet.
struct Node {
    set: Set,
    lone: App,
    producers: Producers,
}

impl Node {
    async fn start(name: &str) -> Self {
        let mut set = Set::start(name, 2, |set| {
            // Both on one node, and not where there is room.
            let pinned = json!({"kubernetes.io/hostname": World::get().source_node});
            set["spec"]["template"]["spec"]["nodeSelector"] = pinned;
        })
        .await;
        for app in &set.pods {
            let says = [
                format!("migration.ms2m.io/queue={}", app.queue),
                format!("migration.ms2m.io/exchange={}", app.exchange),
                format!("migration.ms2m.io/routing-key={}", app.routing_key),
                transfer_image(app),
            ];
            for one in &says {
                annotate(app, one).await;
            }
        }
        let lone = beside(&set, name, true).await;
        annotate(&lone, &transfer_image(&lone)).await;
        beside(&set, name, false).await;
        of_daemon_set(&set).await;
        set.produce(20.0).await;
        let producers = lone.produce(20.0, None);
        Self {
            set,
            lone,
            producers,
        }
    }

    fn start_drain(&self, more: &[&str]) -> Running {
        let world = self.set.world;
        let repository = format!("{}/checkpoints", world.places.registry);
        let mut arguments: Vec<String> = ["drain", &self.lone.from, "-n", &self.set.namespace]
            .into_iter()
            .chain(["--repository", &repository])
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect();
        if world.plain_http {
            arguments.push("--registry-plain-http".to_owned());
        }
        self.lone.start_ms2m(&arguments)
    }

    async fn drain(&self, more: &[&str]) -> Outcome {
        self.start_drain(more).outcome().await
    }

    /// The node of each pod of the namespace.
    async fn places(&self) -> BTreeMap<String, String> {
        let arguments = ["get", "pods", "-n", &self.set.namespace, "-o", "json"];
        let list: Value =
            serde_json::from_str(&self.set.world.kubectl(&arguments).await).expect("JSON");
        let pods = list["items"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pods.map(|pod| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["spec"]["nodeName"]),
            )
        })
        .collect()
    }

    /// Every message is where it belongs; `lone` is the name that the pod without an owner has now.
    async fn all_exact(mut self, lone: &str) {
        let record = self.producers.stop().await;
        self.lone.assert_exact(&record, lone).await;
        self.set.all_exact().await;
        self.set.end().await;
    }
}

/// The one that is the tests' own, as each pod may name another.
fn transfer_image(app: &App) -> String {
    let image = &app.world.places.transfer_image;
    format!("migration.ms2m.io/transfer-image={image}")
}

/// Has the pod say something.
async fn annotate(app: &App, text: &str) {
    let namespace = app.namespace.as_str();
    let pod = app.pod.as_str();
    let arguments = ["annotate", "--overwrite", "pod", pod, "-n", namespace, text];
    app.world.kubectl(&arguments).await;
}

/// A pod without an owner on the same node, in the same namespace.
async fn beside(set: &Set, name: &str, annotated: bool) -> App {
    let options = Options {
        annotated,
        ..Options::default()
    };
    let mut app = App::named(set.world, name, &options);
    app.namespace.clone_from(&set.namespace);
    // They are taken by their names, so it is known who comes first.
    app.pod = format!("x-{}", app.pod);
    app.target = format!("{}-shadow", app.pod);
    app.queue = format!("{}.{}", app.namespace, app.pod);
    app.declare(options.exchange_type).await;
    let mut manifest = app.manifest(&options);
    manifest["metadata"]["labels"] = json!({"app": "lone"});
    app.apply(&manifest).await;
    eventually("the worker consumes its queue", async || {
        app.report(&app.pod).await.filter(|report| report.consuming)
    })
    .await;
    app
}

/// A pod that a DaemonSet has on the node. The sandbox has no controller for them.
async fn of_daemon_set(set: &Set) {
    let template = json!({
        "metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [{"name": "agent", "image": set.world.places.worker_image}]},
    });
    let owner = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template},
    });
    set.apply(&owner).await;
    let owner = set.get("daemonset", "agent").await.expect("it was made");
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "agent-x",
            "labels": {"app": "agent"},
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "name": "agent",
                "uid": owner["metadata"]["uid"],
                "controller": true,
            }],
        },
        "spec": {"nodeName": set.world.source_node, "containers": template["spec"]["containers"]},
    });
    set.apply(&pod).await;
}

/// How many pods were under way at most, by the words on stderr.
fn at_once(stderr: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in stderr.lines() {
        if line.contains("] moving ") {
            now += 1;
        } else if line.contains("] completed in ") || line.ends_with("] failed") {
            now -= 1;
        }
        most = most.max(now);
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_is_said_and_the_rest_moves() {
    let node = Node::start("drain").await;
    let before = node.places().await;
    let (from, lone) = (node.lone.from.clone(), node.lone.pod.clone());

    let refused = node.drain(&[]).await.expect_code(3);
    for words in [
        "nothing says which queue it consumes",
        "kubectl annotate pod",
        "1 of a DaemonSet",
        "1 of 4 pods",
        "--partial moves the others",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    let planned = node.drain(&["--partial", "--dry-run", "-o", "json"]).await;
    let planned = planned.expect_code(0).json();
    let targets: Vec<&str> = planned["pods"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pod| pod["plan"]["targetNode"].as_str())
        .collect();
    assert_eq!(targets.len(), 3, "{planned:#}");
    assert!(
        targets.iter().any(|node| *node != targets[0]),
        "they spread: {targets:?}"
    );
    assert_eq!(node.places().await, before, "nothing was changed");

    let done = node.drain(&["--partial"]).await.expect_code(0);
    assert!(done.stderr.contains("is schedulable"), "{done:?}");
    assert_eq!(done.stdout.matches("┆ moved ").count(), 3, "{done:?}");
    assert_eq!(at_once(&done.stderr), 2, "{}", done.stderr);
    let after = node.places().await;
    for pod in node.set.pods.iter().map(|app| app.pod.as_str()) {
        assert_ne!(after[pod], from, "{pod} moved");
    }
    assert!(!after.contains_key(&lone), "{after:?}");
    assert_ne!(after[&node.lone.target], from);
    let shadow = node.lone.target.clone();
    node.all_exact(&shadow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_rolls_back_what_is_under_way_and_begins_nothing_more() {
    let node = Node::start("stopped").await;
    let before = node.places().await;
    let running = node.start_drain(&["--partial", "--at-once", "1", "-o", "json"]);
    running.says("gate closed").await;
    running.signal("INT").await;
    let done = running.outcome().await.expect_code(130);
    assert!(
        done.stderr.contains("no further pod begins"),
        "{}",
        done.stderr
    );
    let done = done.json();
    assert_eq!(
        results(&done),
        ["interrupted", "notBegun", "notBegun"],
        "{done:#}"
    );
    assert_eq!(node.places().await, before);
    let lone = node.lone.pod.clone();
    node.all_exact(&lone).await;
}

fn results(done: &Value) -> Vec<&str> {
    let pods = done["pods"].as_array().into_iter().flatten();
    pods.filter_map(|pod| pod["result"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_holds_back_those_that_have_not_begun() {
    let node = Node::start("failing").await;
    let first = &node.set.pods[0];
    annotate(
        first,
        "migration.ms2m.io/transfer-image=127.0.0.1:1/nothing:0",
    )
    .await;

    let options = ["--partial", "--at-once", "1", "-o", "json"];
    let held = node.drain(&options).await.expect_code(4);
    let held = held.json();
    assert_eq!(
        results(&held),
        ["rolledBack", "notBegun", "notBegun"],
        "{held:#}"
    );

    let options = ["--partial", "--keep-going", "-o", "json"];
    let gone_on = node.drain(&options).await.expect_code(4);
    let gone_on = gone_on.json();
    assert_eq!(
        results(&gone_on),
        ["rolledBack", "moved", "moved"],
        "{gone_on:#}"
    );
    let shadow = node.lone.target.clone();
    node.all_exact(&shadow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_has_left_is_gone_on_with() {
    let node = Node::start("killed").await;
    let running = node.start_drain(&["--partial", "--at-once", "1"]);
    running.says("gate closed").await;
    running.signal("KILL").await;
    running.outcome().await;

    let planned = node.drain(&["-A", "--partial", "--dry-run"]).await;
    let planned = planned.expect_code(0).stdout;
    let label = format!("{}/{}", node.set.namespace, node.set.pods[0].pod);
    let line = planned.lines().find(|line| line.starts_with(&label));
    assert!(
        line.is_some_and(|line| line.contains("goes on with")),
        "{planned}"
    );

    let done = node.drain(&["--partial", "-o", "json"]).await;
    let done = done.expect_code(0).json();
    assert_eq!(results(&done), ["moved", "moved", "moved"], "{done:#}");
    let shadow = node.lone.target.clone();
    node.all_exact(&shadow).await;
}
