//! Bad input gets a clear error and its exit code, and changes nothing: neither in the cluster nor
//! at the broker.

use serde_json::{Value, json};

use crate::support::{App, Options, eventually};

/// Replaces the value of a flag.
fn set(arguments: &mut [String], flag: &str, value: &str) {
    let at = arguments
        .iter()
        .position(|argument| argument == flag)
        .expect("the flag is given");
    arguments[at + 1] = value.to_owned();
}

/// Runs with these arguments, and sees that it is refused with `words` and that nothing changed.
async fn refused(app: &App, arguments: &[String], code: i32, words: &[&str]) -> Value {
    let before = (app.cluster_listing().await, app.broker_listing().await);
    let outcome = app.ms2m(arguments).await.expect_code(code);
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    for word in words {
        assert!(all.contains(word), "'{word}' is not in:\n{all}");
    }
    assert_no_password(app, &all);
    assert_eq!(
        (app.cluster_listing().await, app.broker_listing().await),
        before
    );
    serde_json::from_str(&outcome.stdout).unwrap_or_default()
}

fn assert_no_password(app: &App, text: &str) {
    let broker =
        ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a broker URL");
    assert!(
        !text.contains(&broker.password()),
        "the broker's password is in the output:\n{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_does_not_have() {
    let app = App::start("unknown", &Options::default()).await;
    let good = app.migrate_arguments();

    let mut arguments = good.clone();
    arguments[1] = format!("{}x", app.pod);
    let error = refused(&app, &arguments, 3, &["there is no pod", &app.pod]).await;
    assert_eq!(error["error"]["kind"], "refused");
    assert!(
        error["error"]["hints"][0]
            .as_str()
            .unwrap_or_default()
            .contains("did you mean"),
        "{error}"
    );

    let mut arguments = good.clone();
    arguments.extend(["--container".to_owned(), "sidecar".to_owned()]);
    refused(
        &app,
        &arguments,
        3,
        &["has no container sidecar", "it has: worker"],
    )
    .await;

    let mut arguments = good.clone();
    set(&mut arguments, "--to", "nowhere");
    refused(&app, &arguments, 3, &["there is no node nowhere"]).await;

    let mut arguments = good.clone();
    set(&mut arguments, "--to", &app.world.source_node);
    refused(&app, &arguments, 3, &["already runs on node"]).await;

    let mut arguments = good.clone();
    arguments.extend(["--strategy".to_owned(), "sequential".to_owned()]);
    refused(&app, &arguments, 3, &["has no owner"]).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_run() {
    let app = App::start("pending", &Options::default()).await;
    let image = &app.world.places.worker_image;
    let name = format!("{}-waits", app.pod);
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "worker", "image": image}]},
    }))
    .await;
    let mut arguments = app.migrate_arguments();
    arguments[1] = name;
    refused(&app, &arguments, 3, &["is not running: it is Pending"]).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_does_not_have() {
    let app = App::start("broker", &Options::default()).await;
    let good = app.migrate_arguments();

    let mut arguments = good.clone();
    set(&mut arguments, "--queue", "no-such-queue");
    refused(&app, &arguments, 3, &["there is no queue no-such-queue"]).await;

    let mut arguments = good.clone();
    set(&mut arguments, "--exchange", "no-such-exchange");
    refused(
        &app,
        &arguments,
        3,
        &["there is no exchange no-such-exchange"],
    )
    .await;

    let mut arguments = good.clone();
    set(&mut arguments, "--exchange", "amq.topic");
    refused(&app, &arguments, 3, &["is not bound to exchange amq.topic"]).await;

    for default_exchange in ["amq.default", ""] {
        let mut arguments = good.clone();
        set(&mut arguments, "--exchange", default_exchange);
        refused(
            &app,
            &arguments,
            3,
            &["the producers publish to the default exchange"],
        )
        .await;
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_be_reached() {
    let app = App::start("unreachable", &Options::default()).await;
    let mut arguments = app.migrate_arguments();
    arguments.extend([
        "--broker-url".to_owned(),
        "amqp://user:s3cret-w0rd@127.0.0.1:1/".to_owned(),
    ]);
    let before = app.cluster_listing().await;
    let outcome = app.ms2m(&arguments).await.expect_code(3);
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(
        all.contains("cannot reach the broker") && all.contains("127.0.0.1:1"),
        "{all}"
    );
    assert!(!all.contains("s3cret-w0rd"), "{all}");
    assert_eq!(app.cluster_listing().await, before);

    for malformed in [
        "amqp://user:s3cret-w0rd@host:port/",
        "http://user:s3cret-w0rd@host/",
        "s3cret-w0rd",
    ] {
        let mut arguments = app.migrate_arguments();
        arguments.extend(["--broker-url".to_owned(), malformed.to_owned()]);
        let outcome = app.ms2m(&arguments).await.expect_code(2);
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(all.contains("broker URL"), "{all}");
        assert!(!all.contains("s3cret-w0rd"), "{all}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_migration_is_under_way() {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("twice", &options).await;
    let record = app.publish(100).await;
    let first = app.start_ms2m(&app.migrate_arguments());
    eventually("the first has begun", async || {
        app.broker_listing()
            .await
            .iter()
            .any(|name| name.ends_with(".ms2m-gate"))
            .then_some(())
    })
    .await;
    let second = app.migrate(&[]).await.expect_code(3);
    assert!(
        format!("{}{}", second.stdout, second.stderr).contains("already under way"),
        "{second:?}"
    );
    first.outcome().await.expect_code(0);
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_node_that_is_not_ready() {
    let app = App::start("unready", &Options::default()).await;
    if !app.world.is_sandbox() {
        // Making a node unready takes an ordered fault.
        app.end().await;
        return;
    }
    app.world
        .order("/node", json!({"node": "node-c", "ready": false}))
        .await;
    let mut arguments = app.migrate_arguments();
    set(&mut arguments, "--to", "node-c");
    eventually("node-c is not ready", async || {
        let state = app
            .world
            .kubectl(&["get", "node", "node-c", "--no-headers"])
            .await;
        state.contains("NotReady").then_some(())
    })
    .await;
    refused(&app, &arguments, 3, &["node node-c is not ready"]).await;
    app.world
        .order("/node", json!({"node": "node-c", "ready": true}))
        .await;
    app.end().await;
}

/// A user without rights learns which ones are missing.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_may_not() {
    let app = App::start("rights", &Options::default()).await;
    let mut arguments = app.migrate_arguments();
    // Impersonation of a user without any right, which a cluster administrator may do.
    let kubeconfig = without_rights(&app).await;
    arguments.extend([
        "--kubeconfig".to_owned(),
        kubeconfig.path().display().to_string(),
    ]);
    refused(
        &app,
        &arguments,
        3,
        &["you lack permissions", "create nodes/proxy"],
    )
    .await;
    app.end().await;
}

async fn without_rights(app: &App) -> tempfile::NamedTempFile {
    let text = app
        .world
        .kubectl(&["config", "view", "--raw", "-o", "json"])
        .await;
    let mut config: Value = serde_json::from_str(&text).expect("a kubeconfig");
    for user in config["users"].as_array_mut().into_iter().flatten() {
        if app.world.is_sandbox() {
            user["user"] = json!({"token": "user/nobody"});
        } else {
            user["user"]["as"] = json!("ms2m-nobody");
        }
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("the file is written");
    file
}

/// A policy that limits the queue limits its replay queues as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_drops_messages() {
    let app = App::start("policy", &Options::default()).await;
    let broker = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let vhost: String = url::form_urlencoded::byte_serialize(broker.vhost().as_bytes()).collect();
    let base = app
        .world
        .places
        .management_url
        .trim_end_matches('/')
        .to_owned();
    let url = format!("{base}/api/policies/{vhost}/{}", app.namespace);
    let client = reqwest::Client::new();
    let request = |request: reqwest::RequestBuilder| {
        request
            .basic_auth(broker.user(), Some(broker.password()))
            .send()
    };
    let policy = json!({
        "pattern": format!("^{}", app.namespace), "definition": {"max-length": 100}, "apply-to": "queues",
    });
    let answer = request(client.put(&url).json(&policy))
        .await
        .expect("it answers");
    assert!(answer.status().is_success(), "{answer:?}");
    let outcome = eventually("the broker tells of the policy", async || {
        let outcome = app.migrate(&["--dry-run"]).await;
        (outcome.code == Some(3)).then_some(outcome)
    })
    .await;
    assert!(
        outcome.stderr.contains("max-length 100 (policy"),
        "{outcome:?}"
    );
    request(client.delete(&url)).await.expect("it answers");
    app.end().await;
}
