//! Applications that cannot take part in the handoff as it should be, and what is offered to them.

use ms2m::broker::{AmqpBroker, BrokerUrl};
use ms2m::migration::ports::Broker as _;
use serde_json::Value;

use crate::support::{App, Options, eventually};

fn with(environment: &[(&'static str, &str)]) -> Options {
    Options {
        environment: environment
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        ..Options::default()
    }
}

async fn has_applied(app: &App, pod: &str, count: u64) {
    eventually("the worker has applied them", async || {
        app.report(pod)
            .await
            .filter(|report| report.state.count >= count)
    })
    .await;
}

/// `Mirror` promises nothing about its beginning, so nothing is on the way then. Its end is exact:
/// what is published once the target replays arrives once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_begins_at_a_quiet_moment_is_exact() {
    let app = App::start("mirror", &Options::default()).await;
    let before = app.publish(20).await;
    has_applied(&app, &app.pod, 20).await;
    let mut arguments = app.migrate_arguments();
    arguments.extend(["--handoff", "mirror"].map(str::to_owned));
    let running = app.start_ms2m(&arguments);
    running.says("] Replaying").await;
    let producers = app.produce(200.0, Some(before));
    let outcome = running.outcome().await.expect_code(0);
    assert!(
        outcome.stderr.contains("exact only at its end"),
        "what it cannot promise is said:\n{}",
        outcome.stderr
    );
    has_applied(&app, &app.target, 60).await;
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.target).await;
    assert_eq!(report.queue, app.queue);
    app.end().await;
}

/// The restored process listens on the source's control queue: alone there it can be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_by_the_sources_name_is_told_when_the_source_is_gone() {
    let app = App::start("stale", &with(&[("CACHE_POD_NAME", "true")])).await;
    let producers = app.produce(50.0, None);
    let more = ["--stale-identity", "stop-source"];
    let result = app.migrate(&more).await.expect_code(0).json();
    assert_eq!(result["messagesLeft"], 0, "{result}");
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.target).await;
    assert_eq!(report.queue, app.queue);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_consumers_take_force() {
    let app = App::start("several", &with(&[("CONSUMERS", "2")])).await;
    let refused = app.migrate(&["--dry-run"]).await.expect_code(3);
    assert!(refused.stderr.contains("has 2 consumers"), "{refused:?}");
    let forced = app.migrate(&["--dry-run", "--force"]).await.expect_code(0);
    let plan: Value = forced.json();
    let warnings = plan["plan"]["warnings"].to_string();
    assert!(warnings.contains("has 2 consumers"), "{plan:#}");
    app.end().await;
}

/// An application that has no control queue cannot be told anything.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_queue_there_is_no_gate() {
    // One that looks there so rarely does not notice that its queue is gone.
    let app = App::start("uncontrolled", &with(&[("CONTROL_POLL", "300s")])).await;
    let options = ms2m::broker::Options {
        url: BrokerUrl::parse(&app.world.places.broker_url).expect("a broker URL"),
        management: None,
    };
    let control = format!("ms2m.control.{}", app.pod);
    let deleted = AmqpBroker::new(&options)
        .delete_queue(&control, false)
        .await;
    deleted.expect("the broker deletes it");
    let refused = app.migrate(&["--dry-run"]).await.expect_code(3);
    for words in ["has no control queue", "--handoff mirror"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    app.end().await;
}
