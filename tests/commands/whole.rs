//! The commands with a real controller, which runs in a pod, on a real application.

use serde_json::{Value, json};

use crate::support::controller::install_crd;
use crate::support::image::of_ms2m;
use crate::support::{App, Options, World};

/// A controller of that namespace, in a pod of it, with the rights of the administrator.
async fn controller(app: &App) {
    let world = app.world;
    let kubeconfig = std::fs::read_to_string(&world.places.kubeconfig).expect("it can be read");
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kubeconfig"},
        "stringData": {"config": kubeconfig},
    }))
    .await;
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "controller", "labels": {"app.kubernetes.io/name": "ms2m", "app.kubernetes.io/component": "controller"},
        },
        "spec": {
            "containers": [{
                "name": "controller",
                "image": of_ms2m(world).await,
                "args": [
                    "controller", "--namespace", app.namespace, "--lease-namespace", app.namespace,
                    "--listen", "127.0.0.1:0", "--log-format", "json",
                    "--kubeconfig", "/etc/ms2m/config",
                ],
                "volumeMounts": [{"name": "kubeconfig", "mountPath": "/etc/ms2m"}],
            }],
            "volumes": [{"name": "kubeconfig", "secret": {"secretName": "kubeconfig"}}],
        },
    }))
    .await;
    app.await_ready("controller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_made_followed_logged_and_deleted() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    install_crd(world).await;
    let app = App::start("whole", &Options::default()).await;
    app.make_secret().await;
    controller(&app).await;
    let producers = app.produce(50.0, None);
    let mut arguments = app.migrate_arguments();
    let more = [
        "--via-controller",
        "--broker-credentials",
        "broker",
        "--name",
        "m",
    ];
    arguments.extend(more.map(str::to_owned));
    let migrate = app.start_ms2m(&arguments);
    migrate.says("you may safely stop waiting").await;
    let logs = [
        "logs",
        "m",
        "-f",
        "--controller-namespace",
        &app.namespace,
        "-o",
        "json",
    ];
    let logs: Vec<String> = logs
        .into_iter()
        .chain(["-n", &app.namespace])
        .map(str::to_owned)
        .collect();
    let logs = app.start_ms2m(&logs);
    let result = migrate.outcome().await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    for words in ["moving", "Checkpointing done", "committed", "completed in"] {
        assert!(result.stderr.contains(words), "{result:?}");
    }
    assert_eq!(result.json()["phase"], "Completed");

    let logs = logs.outcome().await.expect_code(0).stdout;
    let lines: Vec<Value> = logs
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |source: &str| lines.iter().filter(|line| line["from"] == source).count();
    assert!(of("transfer") > 0 && of("controller") > 0, "{logs}");
    assert!(logs.contains("pushed"), "{logs}");

    let later = ["logs", "m", "--controller-namespace", &app.namespace];
    let later = app.run(&later).await.expect_code(0);
    assert!(
        later.stdout.contains("controller/controller {"),
        "{later:?}"
    );
    assert!(
        later
            .stderr
            .contains("transfer's pod of migration m is gone"),
        "{later:?}"
    );
    let elsewhere = app.run(&["logs", "m"]).await.expect_code(0);
    assert!(
        elsewhere
            .stderr
            .contains("no controller in namespace ms2m-system"),
        "{elsewhere:?}"
    );

    let shown = app.run(&["status", "m"]).await.expect_code(0).stdout;
    assert!(shown.contains("Driver    the controller"), "{shown}");
    assert!(shown.contains("\nEvents\n"), "{shown}");
    app.run(&["delete", "m"]).await.expect_code(0);
    app.run(&["watch", "m"]).await.expect_code(3);
    app.end().await;
}

/// An abort that the controller carries out, and a retry that it then brings to its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_aborted_is_tried_again() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    install_crd(world).await;
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("again", &options).await;
    app.make_secret().await;
    controller(&app).await;
    let record = app.publish(60).await;
    app.apply(&app.resource("m")).await;
    let watch = ["watch", "m", "-n", &app.namespace].map(str::to_owned);
    let watch = app.start_ms2m(&watch);
    watch.says("Checkpointing").await;
    app.run(&["abort", "m"]).await.expect_code(0);
    let watched = watch.outcome().await;
    // Whether it was planned already when it was to be aborted.
    assert!(matches!(watched.code, Some(3 | 4)), "{watched:?}");
    let again = app.run(&["retry", "m", "--watch"]).await.expect_code(0);
    assert!(again.stdout.contains("replayed"), "{again:?}");
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}
