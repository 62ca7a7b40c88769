//! What the broker refuses and what it does not tell.

use serde_json::json;

use crate::shown::{arguments, check};
use crate::support::{App, Options, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_connect_and_nothing_else() {
    let app = App::start("powerless", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let own = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let user = format!("nobody-{}", std::process::id());
    let vhost: String = url::form_urlencoded::byte_serialize(own.vhost().as_bytes()).collect();
    put(
        &app,
        &format!("users/{user}"),
        json!({"password": "p0werless", "tags": ""}),
    )
    .await;
    let rights = |pattern: &str| json!({"configure": pattern, "write": pattern, "read": pattern});
    let place = format!("permissions/{vhost}/{user}");
    put(&app, &place, rights("^$")).await;
    let url = app.world.places.broker_url.replace(
        &format!("{}:{}@", own.user(), own.password()),
        &format!("{user}:p0werless@"),
    );
    const MAY: &str = "may make, bind and use the replay queues";
    let shown = check(&app, &["--broker-url", &url]).await;
    shown
        .expect("Broker", MAY, "fail")
        // That user may not see it either.
        .expect("Broker", "management API", "warn");
    let remedy = shown.remedies("Broker", MAY).join("\n");
    assert!(
        remedy.starts_with("rabbitmqctl set_permissions"),
        "{remedy}"
    );
    assert!(!format!("{:#}", shown.document).contains("p0werless"));
    // What the remedy does, by the management API.
    put(&app, &place, rights(".*")).await;
    let shown = check(&app, &["--broker-url", &url]).await;
    shown.expect("Broker", MAY, "pass");
    app.end().await;
}

pub(crate) async fn put(app: &App, path: &str, body: serde_json::Value) {
    let broker = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let base = app.world.places.management_url.trim_end_matches('/');
    let answer = reqwest::Client::new()
        .put(format!("{base}/api/{path}"))
        .basic_auth(broker.user(), Some(broker.password()))
        .json(&body)
        .send()
        .await
        .expect("the management API answers");
    assert!(answer.status().is_success(), "{path}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer() {
    let app = App::start("away", &Options::default()).await;
    let shown = check(&app, &["--broker-url", "amqp://u:s3cret@127.0.0.1:1/"]).await;
    assert_eq!(shown.code, Some(3));
    shown
        .expect("Broker", "it answers", "fail")
        .expect("Broker", "the producers' exchange", "skipped")
        .expect("Broker", "may make, bind", "skipped")
        .expect("Pod", "the pod runs", "pass");
    assert!(!format!("{:#}", shown.document).contains("s3cret"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_management_api_that_does_not_answer() {
    let app = App::start("untold", &Options::default()).await;
    let shown = check(&app, &["--management-url", "http://127.0.0.1:1/"]).await;
    shown
        .expect("Broker", "management API", "warn")
        .expect("Broker", "bound to it", "warn")
        .expect("Broker", "no policy", "skipped")
        .expect("Broker", "acknowledges", "skipped");
    assert_eq!(shown.code, Some(0), "a migration would begin, too");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_bindings() {
    let app = App::start("limits", &Options::default()).await;
    let shown = eventually("the broker tells of policies", async || {
        let shown = check(&app, &[]).await;
        let told = shown.check("Broker", "no policy")["outcome"] == "pass";
        told.then_some(shown)
    })
    .await;
    shown
        .expect("Broker", "bound to it", "pass")
        .expect("Broker", "only consumer", "pass")
        .expect("Broker", "nobody else listens", "pass");
    let wrong = check(&app, &["--exchange", "amq.topic"]).await;
    wrong.expect("Broker", "bound to it", "fail");
    wrong.expect("Broker", "the producers' exchange", "pass");
    let broker = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let vhost: String = url::form_urlencoded::byte_serialize(broker.vhost().as_bytes()).collect();
    let policy = json!({
        "pattern": format!("^{}", app.namespace), "definition": {"max-length": 100}, "apply-to": "queues",
    });
    put(&app, &format!("policies/{vhost}/{}", app.namespace), policy).await;
    eventually("the broker tells of the policy", async || {
        let shown = check(&app, &[]).await;
        (shown.check("Broker", "no policy")["outcome"] == "fail").then_some(())
    })
    .await;
    app.end().await;
}

/// Control queues are named after pods alone: namesakes of the pod, and of its target, hear what is
/// meant for them.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_on_a_control_queue() {
    const NOBODY: &str = "nobody else listens on its control queue";
    let app = App::start("heard", &Options::default()).await;
    check(&app, &[]).await.expect("Broker", NOBODY, "pass");
    for name in [&app.pod, &app.target] {
        let mut other = App::named(app.world, "namesake", &Options::default());
        other.pod.clone_from(name);
        let namespace = other.namespace.clone();
        app.world
            .kubectl(&["create", "namespace", &namespace])
            .await;
        let other = other.run_it(&Options::default()).await;
        let shown = check(&app, &[]).await;
        shown.expect("Broker", NOBODY, "fail");
        let meaning = shown.check("Broker", NOBODY)["meaning"].to_string();
        assert!(
            meaning.contains(&format!("ms2m.control.{name}\"")),
            "{meaning}"
        );
        // A name of its own, as the remedy says: this one goes.
        let pod = ["delete", "pod", name, "-n", &namespace, "--grace-period=1"];
        app.world.kubectl(&pod).await;
        eventually("the broker has seen it go", async || {
            let shown = check(&app, &[]).await;
            (shown.check("Broker", NOBODY)["outcome"] == "pass").then_some(())
        })
        .await;
        other.end().await;
    }
    app.end().await;
}

/// What was sent and not applied yet is nobody's then.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_acknowledges_nothing() {
    const APPLIED: &str = "it acknowledges what it has applied";
    let options = Options {
        environment: vec![("AUTO_ACK", "true".to_owned())],
        ..Options::default()
    };
    let app = App::start("automatic", &options).await;
    eventually("the broker tells of the consumer", async || {
        let shown = check(&app, &[]).await;
        (shown.check("Broker", APPLIED)["outcome"] == "fail").then_some(())
    })
    .await;
    let insisted = check(&app, &["--force"]).await;
    insisted.expect("Broker", APPLIED, "warn");
    app.migrate(&["--dry-run"]).await.expect_code(3);
    app.end().await;
}

/// An application that does not listen on its control queue.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_without_a_part_in_the_handoff() {
    let app = App::start("deaf", &Options::default()).await;
    let mut arguments = arguments(&app);
    // Another pod's queue is consumed, and its own control queue is not there.
    let name = format!("{}-deaf", app.pod);
    let image = &app.world.places.worker_image;
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": app.from},
            "containers": [{"name": "worker", "image": image, "env": [
                {"name": "AMQP_URL", "value": "amqp://127.0.0.1:1"}, {"name": "QUEUE", "value": "none"},
            ]}],
        },
    }))
    .await;
    let pod = format!("pod/{name}");
    let running = "--for=jsonpath={.status.phase}=Running";
    app.world
        .kubectl(&["wait", "-n", &app.namespace, running, "--timeout=60s", &pod])
        .await;
    arguments[1] = name;
    let shown = crate::shown::Shown::of(&app.ms2m(&arguments).await);
    shown.expect("Broker", "the application takes part", "fail");
    app.end().await;
}
