//! One pod's migration: everything that stands against it is shown, not only what comes first.

use serde_json::json;

use crate::shown::{arguments, check, without_password};
use crate::support::{App, Options, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_against_which_nothing_stands() {
    let app = App::start("sound", &Options::default()).await;
    eventually(
        "the broker tells of policies and of the consumer",
        async || {
            let shown = check(&app, &[]).await;
            let told = shown.check("Broker", "no policy")["outcome"] == "pass"
                && shown.check("Broker", "it acknowledges")["outcome"] == "pass";
            told.then_some(())
        },
    )
    .await;
    let mut arguments = arguments(&app);
    let format = arguments.iter().position(|it| it == "json");
    "table".clone_into(&mut arguments[format.expect("a format is asked for")]);
    let outcome = app.ms2m(&arguments).await.expect_code(0);
    without_password(app.world, &outcome);
    let shown = outcome
        .stdout
        .replace(&app.namespace, "NAMESPACE")
        .replace(&app.pod, "POD")
        .replace(&app.world.places.registry, "REGISTRY");
    let shown = regex::Regex::new(r"RabbitMQ [0-9.]+|sha256:[0-9a-f]+")
        .expect("a pattern")
        .replace_all(&shown, "X")
        .into_owned();
    // Whether the image is there depends on which test ran before.
    let shown: Vec<&str> = shown
        .lines()
        .filter(|line| !line.contains("image") && !line.contains("ms2m-pull"))
        .filter(|line| !line.contains("a migration pulls it") && !line.contains("stands against"))
        .collect();
    if app.world.is_sandbox() {
        insta::assert_snapshot!(shown.join("\n"));
    }
    app.migrate(&["--dry-run"]).await.expect_code(0);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_stands_against_it_is_shown() {
    let app = App::start("all", &Options::default()).await;
    let wrong = [
        "--queue",
        "no-such-queue",
        "--exchange",
        "no-such-exchange",
        "--to",
        "nowhere",
        "--container",
        "nobody",
        "--strategy",
        "sequential",
    ];
    let shown = check(&app, &wrong).await;
    assert_eq!(shown.code, Some(3));
    shown
        .expect("Pod", "its container runs", "fail")
        .expect("Pod", "its owner", "fail")
        .expect("Nodes", "the target node is another one", "fail")
        .expect("Nodes", "same container runtime", "skipped")
        .expect("Broker", "the producers' exchange", "fail")
        .expect("Broker", "the queue is there", "fail")
        .expect("Broker", "bound to it", "skipped")
        .expect("Broker", "the application takes part", "pass");
    // In the words of the refusal that a migration meets.
    let refused = app.migrate(&wrong).await.expect_code(3);
    let first = shown.check("Pod", "its container runs")["meaning"][0].clone();
    let first = first.as_str().expect("a text");
    assert!(refused.stderr.contains(first), "{first}: {refused:?}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_there() {
    let app = App::start("absent", &Options::default()).await;
    let mut arguments = arguments(&app);
    arguments[1] = format!("{}x", app.pod);
    let outcome = app.ms2m(&arguments).await.expect_code(3);
    let shown = crate::shown::Shown::of(&outcome);
    shown
        .expect("Pod", "the pod runs", "fail")
        .expect("Pod", "its container runs", "skipped")
        .expect("Nodes", "its node is ready", "skipped");
    let hints = shown.remedies("Pod", "the pod runs");
    assert_eq!(hints, [format!("did you mean {}?", app.pod)]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_nobody_gives_are_a_matter_of_usage() {
    let world = World::get();
    let arguments = ["check", "worker-0", "--to", "node-b"];
    let outcome = crate::support::cli::start(world, &arguments, &[]);
    let outcome = outcome.outcome().await.expect_code(2);
    assert!(outcome.stderr.contains("--queue"), "{outcome:?}");
}

/// What stays behind is said, and fails where that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_behind() {
    let app = App::start("stays", &Options::default()).await;
    let name = format!("{}-v", app.pod);
    let image = &app.world.places.worker_image;
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": app.from},
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "containers": [{
                "name": "worker", "image": image,
                "env": [
                    {"name": "AMQP_URL", "value": app.world.places.broker_url},
                    {"name": "QUEUE", "value": app.queue},
                ],
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            }],
        },
    }))
    .await;
    app.await_ready(&name).await;
    let outcome = async |more: &[&str]| {
        let mut arguments = arguments(&app);
        arguments[1].clone_from(&name);
        arguments.extend(more.iter().map(|it| (*it).to_owned()));
        crate::shown::Shown::of(&app.ms2m(&arguments).await)
    };
    outcome(&[]).await.expect("Pod", "stays behind", "warn");
    let strict = outcome(&["--strict"]).await;
    strict.expect("Pod", "stays behind", "fail");
    // The two of them share the queue.
    strict.expect("Broker", "only consumer", "fail");
    app.end().await;
}

/// A port of the node can be had by one pod only.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_has() {
    const FREE: &str = "ports that it asks for are free";
    let app = App::start("ports", &Options::default()).await;
    let asks = |name: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [{
                    "name": "worker", "image": app.world.places.worker_image,
                    "ports": [{"containerPort": 8080, "hostPort": 17_080}],
                    "env": [
                        {"name": "AMQP_URL", "value": app.world.places.broker_url},
                        {"name": "QUEUE", "value": app.queue},
                    ],
                }],
            },
        })
    };
    let name = format!("{}-p", app.pod);
    app.apply(&asks(&name, &app.from)).await;
    app.await_ready(&name).await;
    let outcome = async || {
        let mut arguments = arguments(&app);
        arguments[1].clone_from(&name);
        crate::shown::Shown::of(&app.ms2m(&arguments).await)
    };
    outcome().await.expect("Nodes", FREE, "pass");
    let other = format!("{name}-other");
    app.apply(&asks(&other, &app.to)).await;
    app.await_ready(&other).await;
    outcome().await.expect("Nodes", FREE, "fail");
    app.end().await;
}

/// While a pod is moved, and its gate is there, it cannot be moved once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_migration_is_under_way() {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("moving", &options).await;
    app.publish(100).await;
    let first = app.start_ms2m(&app.migrate_arguments());
    eventually("the gate is there", async || {
        let listing = app.broker_listing().await;
        let gate = |name: &String| name.ends_with(".ms2m-gate");
        listing.iter().any(gate).then_some(())
    })
    .await;
    let second = app.ms2m(&arguments(&app)).await;
    let shown = crate::shown::Shown::of(&second);
    shown.expect("Pod", "it is in no migration", "fail").expect(
        "Broker",
        "the queue is there",
        "fail",
    );
    first.outcome().await.expect_code(0);
    app.end().await;
}
