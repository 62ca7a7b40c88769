//! A failure on the way ends with the source serving and the broker as it was found.

use serde_json::json;

use crate::support::{App, Options};

/// Migrates while something fails, and sees that all is as before but for the record. Returns what
/// was said.
async fn rolled_back(app: App, more: &[&str], words: &[&str]) -> String {
    let (cluster, broker) = (app.cluster_listing().await, app.broker_listing().await);
    let producers = app.produce(50.0, None);
    let outcome = app.migrate(more).await.expect_code(4);
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    for word in words {
        assert!(all.contains(word), "'{word}' is not in:\n{all}");
    }
    assert_eq!(outcome.json()["error"]["kind"], "rolledBack");
    // It goes on serving after the roll-back, so the producers go on for a while.
    let served = app
        .report(&app.pod)
        .await
        .expect("the source answers")
        .state
        .count;
    crate::support::eventually("the source serves on", async || {
        app.report(&app.pod)
            .await
            .filter(|report| report.state.count > served + 20)
    })
    .await;
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.pod).await;
    assert_eq!(report.restores, 0, "it is the source itself");
    assert_eq!(report.queue, app.queue);
    app.await_broker(&broker).await;
    let is_no_record = |name: &String| !name.starts_with("configmap/ms2m-");
    let now: Vec<String> = app
        .cluster_listing()
        .await
        .into_iter()
        .filter(is_no_record)
        .collect();
    assert_eq!(now, cluster);
    app.end().await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_there() {
    let app = App::start("noregistry", &Options::default()).await;
    rolled_back(
        app,
        &["--repository", "127.0.0.1:1/checkpoints"],
        &["could not be sent to the registry"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_image_that_cannot_be_pulled() {
    let app = App::start("noimage", &Options::default()).await;
    let image = format!("{}/no-such-image:1", app.world.places.registry);
    // Known before anything was done to the service.
    let words = ["the transfer cannot start", "no-such-image"];
    let told = rolled_back(app, &["--transfer-image", &image], &words).await;
    assert!(!told.contains("gate"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_does_not_listen() {
    // It polls its control queue so rarely that it does not hear within the limit: the gate is not
    // closed for it.
    let options = Options {
        environment: vec![("CONTROL_POLL", "6s".to_owned())],
        ..Options::default()
    };
    let app = App::start("deaf", &options).await;
    rolled_back(
        app,
        &["--obey-timeout", "2s"],
        &["waited for the source to read its control queue"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_fails() {
    let app = App::start("nocheckpoint", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let text = "Connected TCP socket, consider using --tcp-established option";
    let fault = json!({"node": app.world.source_node, "pod": format!("{}/{}", app.namespace, app.pod), "on": "checkpoint", "error": text, "times": 1});
    app.world.order("/kubelet", fault).await;
    rolled_back(app, &[], &["could not be checkpointed", text, "tcp-close"]).await;
}

/// Names are unique in a namespace alone, and one registry serves many. One that fails before it
/// knows the digest of its image looks for it by tag.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leaves_the_image_of_a_namesake_alone() {
    let other = App::start("namesake-kept", &Options::default()).await;
    if !other.world.is_sandbox() {
        other.end().await;
        return;
    }
    let named = ["--name", "namesake"];
    let arguments = [&named[..], &["--keep-checkpoint"]].concat();
    let kept = other.migrate(&arguments).await.expect_code(0);
    let kept = kept.json()["checkpointImage"].clone();
    let kept = kept.as_str().expect("it has an image");

    let app = App::start("namesake-fails", &Options::default()).await;
    let world = app.world;
    let text = "Connected TCP socket, consider using --tcp-established option";
    let fault = json!({"node": world.source_node, "pod": format!("{}/{}", app.namespace, app.pod), "on": "checkpoint", "error": text, "times": 1});
    world.order("/kubelet", fault).await;
    rolled_back(app, &named, &["could not be checkpointed"]).await;

    let (repository, digest) = kept.split_once('@').expect("it is named by digest");
    let repository = repository.rsplit('/').next().expect("it has a name");
    let url = format!(
        "http://{}/v2/{repository}/manifests/{digest}",
        world.places.registry
    );
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let asked = reqwest::Client::new().head(url).header("accept", accept);
    let answer = asked.send().await.expect("the registry answers");
    assert!(answer.status().is_success(), "{kept}: {answer:?}");
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails() {
    let app = App::start("norestore", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let text = "criu failed: type RESTORE errno 0";
    let fault = json!({"node": app.world.target_node, "pod": format!("{}/{}", app.namespace, app.target), "on": "restore", "error": text, "times": 100});
    app.world.order("/kubelet", fault).await;
    rolled_back(app, &[], &["could not be restored", text]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_answers_with_errors() {
    let app = App::start("badregistry", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    // A repository that nobody else uses, so that other tests' transfers are left alone.
    let repository = format!("{}/{}", app.world.places.registry, app.namespace);
    let fault = json!({"path": app.namespace, "status": 507, "times": 1000});
    app.world.order("/registry", fault).await;
    rolled_back(
        app,
        &["--repository", &repository],
        &["could not be sent to the registry"],
    )
    .await;
}
