//! The broker adapter on a real RabbitMQ: what it sees, what it ensures, and that the gate cuts
//! exactly under load.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use ms2m::api::HandoffBinding;
use ms2m::broker::{AmqpBroker, BrokerUrl, Options};
use ms2m::migration::error::PortError;
use ms2m::migration::handoff::Names;
use ms2m::migration::ports::{Broker, Deletion, Destination};
use ms2m_worker::producer::{self, ExchangeType, Topology};
use support::{World, eventually};
use tokio_util::sync::CancellationToken;

async fn adapter() -> AmqpBroker {
    adapter_for(&World::get().places.broker_url)
}

fn adapter_for(url: &str) -> AmqpBroker {
    let management = World::get().places.management_url.parse();
    AmqpBroker::new(&Options {
        url: BrokerUrl::parse(url).expect("a URL"),
        management: Some(management.expect("a URL")),
    })
}

/// An adapter that cannot reach the management API.
fn mute(url: &str) -> AmqpBroker {
    AmqpBroker::new(&Options {
        url: BrokerUrl::parse(url).expect("a URL"),
        management: Some("http://127.0.0.1:1".parse().expect("a URL")),
    })
}

async fn channel() -> (Connection, Channel) {
    channel_named("a test").await
}

async fn channel_named(name: &str) -> (Connection, Channel) {
    let url = World::get().places.broker_url.clone();
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = Connection::connect(&url, properties)
        .await
        .expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

fn binding(exchange: &str, routing_key: &str) -> HandoffBinding {
    HandoffBinding {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        arguments: BTreeMap::new(),
    }
}

async fn declare(name: &str, quorum: bool) -> Topology {
    let topology = Topology {
        amqp_url: World::get().places.broker_url.clone(),
        exchange: format!("{name}.events"),
        exchange_type: ExchangeType::Topic,
        queue: format!("{name}.orders"),
        routing_key: "orders.*".to_owned(),
        quorum,
    };
    producer::declare(&topology)
        .await
        .expect("the topology is declared");
    topology
}

fn publishing(
    topology: &Topology,
    publishers: u16,
    rate: f64,
    count: Option<u64>,
) -> producer::Options {
    producer::Options {
        amqp_url: topology.amqp_url.clone(),
        exchange: topology.exchange.clone(),
        routing_key: "orders.new".to_owned(),
        publishers,
        prefix: "p".to_owned(),
        rate,
        duration: None,
        count,
        window: 100,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_what_is_there() {
    let broker = adapter().await;
    let topology = declare("sees", false).await;
    let view = broker.describe().await.expect("it answers");
    assert!(view.product.starts_with("RabbitMQ "), "{view:?}");
    assert_eq!(view.management, None);
    assert!(
        broker
            .exchange_exists(&topology.exchange)
            .await
            .expect("it answers")
    );
    assert!(
        !broker
            .exchange_exists("no-such")
            .await
            .expect("a refusal closes a channel, no more")
    );
    let bindings = broker.bindings(&topology.queue).await.expect("it answers");
    assert_eq!(
        bindings,
        Some(vec![binding(&topology.exchange, "orders.*")])
    );

    let options = publishing(&topology, 1, 0.0, Some(3));
    producer::run(&options, None, CancellationToken::new())
        .await
        .expect("three are published");
    let (_connection, channel) = channel().await;
    let taken = channel
        .basic_get(topology.queue.as_str().into(), BasicGetOptions::default())
        .await;
    assert!(taken.expect("it answers").is_some());
    let consumed = declare("consumed", false).await;
    let _consumer = channel
        .basic_consume(
            consumed.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("a consumer");
    let queues = broker
        .queues(&[&topology.queue, "no-such", &consumed.queue])
        .await
        .expect("it answers");
    let first = queues[0].expect("it is there");
    assert_eq!(
        (first.ready, first.unacknowledged, first.consumers),
        (2, Some(1), 0)
    );
    assert_eq!(queues[1], None);
    assert_eq!(queues[2].expect("it is there").consumers, 1);
}

/// A new consumer is in the list once the broker has gathered its statistics; one that is gone is
/// gone at once.
#[tokio::test(flavor = "multi_thread")]
async fn it_tells_who_consumes() {
    let broker = adapter().await;
    for quorum in [false, true] {
        let topology = declare(&format!("consumers-{quorum}"), quorum).await;
        let queue = topology.queue.as_str();
        let (connection, channel) = channel_named("the-application").await;
        // A consumer that is dropped cancels itself.
        let mut consumers = Vec::new();
        for (prefetch, no_ack) in [(7, false), (0, true)] {
            let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
            qos.await.expect("the prefetch is set");
            let options = BasicConsumeOptions {
                no_ack,
                ..BasicConsumeOptions::default()
            };
            let none = FieldTable::default();
            let consumer = channel.basic_consume(queue.into(), "".into(), options, none);
            consumers.push(consumer.await.expect("a consumer"));
        }
        let mut seen = eventually("both consumers to be listed", async || {
            let seen = broker.consumers(queue).await.expect("it answers");
            seen.filter(|seen| seen.len() == 2)
        })
        .await;
        seen.sort_by_key(|consumer| consumer.acknowledges);
        let facts: Vec<_> = seen
            .iter()
            .map(|one| (one.acknowledges, one.prefetch))
            .collect();
        assert_eq!(facts, [(false, 0), (true, 7)]);
        for consumer in seen {
            assert_eq!(consumer.client_name.as_deref(), Some("the-application"));
            let from = format!(
                "{}:{} -> ",
                consumer.peer_host.expect("it is told"),
                consumer.peer_port.expect("it is told")
            );
            let connection = consumer.connection.expect("it is told");
            assert!(connection.starts_with(&from), "{connection} from {from}");
        }
        connection
            .close(200, "done".into())
            .await
            .expect("it is closed");
        eventually("nobody to be listed", async || {
            let seen = broker.consumers(queue).await.expect("it answers");
            seen.filter(Vec::is_empty)
        })
        .await;
    }
    assert_eq!(
        broker.consumers("no-such").await.expect("it answers"),
        Some(vec![])
    );
    assert_eq!(
        mute(&World::get().places.broker_url)
            .consumers("any")
            .await
            .expect("a silence is no error"),
        None
    );
}

/// The management API is late for quorum queues, so their unacknowledged messages are unknown.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_trust_a_late_count() {
    let broker = adapter().await;
    let topology = declare("quorum", true).await;
    let queues = broker.queues(&[&topology.queue]).await.expect("it answers");
    assert_eq!(queues[0].expect("it is there").unacknowledged, None);
    assert_eq!(
        broker
            .delete_queue(&topology.queue, true)
            .await
            .expect("it is deleted"),
        Deletion::Gone
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_deletes_nothing_that_would_be_missed() {
    let broker = adapter().await;
    let topology = declare("delete", false).await;
    let options = publishing(&topology, 1, 0.0, Some(1));
    producer::run(&options, None, CancellationToken::new())
        .await
        .expect("one is published");
    assert_eq!(
        broker
            .delete_queue(&topology.queue, true)
            .await
            .expect("it answers"),
        Deletion::InUse
    );
    assert_eq!(
        broker
            .delete_queue(&topology.queue, false)
            .await
            .expect("it answers"),
        Deletion::Gone
    );
    assert_eq!(
        broker
            .delete_queue(&topology.queue, true)
            .await
            .expect("it answers"),
        Deletion::Gone
    );
    broker
        .delete_exchange(&topology.exchange)
        .await
        .expect("it is deleted");
    broker
        .delete_exchange(&topology.exchange)
        .await
        .expect("deleting again is no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_queue_that_is_gone_is_an_error() {
    let broker = adapter().await;
    let error = broker
        .publish("ms2m.control.nobody", b"{}")
        .await
        .expect_err("no such queue");
    assert!(matches!(error, PortError::NotFound(_)), "{error}");
    broker
        .ensure_queue("ms2m.control.somebody")
        .await
        .expect("it is declared");
    broker
        .ensure_queue("ms2m.control.somebody")
        .await
        .expect("declaring again is no error");
    broker
        .publish("ms2m.control.somebody", b"{}")
        .await
        .expect("it is confirmed");
    let queues = broker
        .queues(&["ms2m.control.somebody"])
        .await
        .expect("it answers");
    assert_eq!(queues[0].map(|queue| queue.ready), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_without_the_password() {
    let url = World::get().places.broker_url.clone();
    let password = BrokerUrl::parse(&url).expect("a URL").password();
    let attempts = [
        (url.replace(&password, "wrong-w0rd"), "refused"),
        (url.replace("%2f", "no-such-vhost"), "no-such-vhost"),
        (
            "amqp://ms2m:wrong-w0rd@127.0.0.1:1/".to_owned(),
            "127.0.0.1:1",
        ),
    ];
    for (url, word) in attempts {
        let options = Options {
            url: BrokerUrl::parse(&url).expect("a URL"),
            management: None,
        };
        let words = AmqpBroker::new(&options)
            .describe()
            .await
            .expect_err("it is refused")
            .to_string();
        assert!(words.to_lowercase().contains(word), "{words}");
        assert!(
            !words.contains("wrong-w0rd") && !words.contains(&password),
            "{words}"
        );
    }
    let broker = adapter_for(&powerless(&url).await);
    let error = broker
        .ensure_queue("not-allowed")
        .await
        .expect_err("it is refused");
    assert!(matches!(error, PortError::Denied(_)), "{error}");
}

/// A user who may connect and touch nothing.
async fn powerless(url: &str) -> String {
    let owner = BrokerUrl::parse(url).expect("a URL");
    let base = &World::get().places.management_url;
    let rights = r#"{"configure":"^$","write":"^$","read":"^$"}"#;
    let user = r#"{"password":"p0werless","tags":""}"#;
    for (path, body) in [("users/nobody", user), ("permissions/%2F/nobody", rights)] {
        let answer = reqwest::Client::new()
            .put(format!("{base}/api/{path}"))
            .basic_auth(owner.user(), Some(owner.password()))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("the management API answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    url.replace(
        &format!("{}:{}@", owner.user(), owner.password()),
        "nobody:p0werless@",
    )
}

/// Toggles the gate under load: every message is either in Q, or in both R and H.
#[tokio::test(flavor = "multi_thread")]
async fn the_gate_cuts_exactly() {
    let broker = adapter().await;
    let topology = declare("gate", false).await;
    let names = Names::of(&topology.queue);
    let stop = CancellationToken::new();
    let (options, token) = (publishing(&topology, 3, 1500.0, None), stop.clone());
    let producers = tokio::spawn(async move { producer::run(&options, None, token).await });

    let gate = binding(&names.gate, "");
    let to_queue = Destination::Queue(names.queue.clone());
    let to_gate = Destination::Exchange(names.gate.clone());
    let producers_exchange = binding(&topology.exchange, "orders.*");
    broker
        .ensure_fanout(&names.fanout, None)
        .await
        .expect("declared");
    broker
        .ensure_fanout(&names.gate, Some(&names.fanout))
        .await
        .expect("declared");
    for queue in [&names.replay, &names.hold] {
        broker.ensure_queue(queue).await.expect("declared");
        broker
            .bind(
                &binding(&names.fanout, ""),
                &Destination::Queue(queue.clone()),
            )
            .await
            .expect("bound");
    }
    broker.bind(&gate, &to_queue).await.expect("open");
    broker
        .bind(&producers_exchange, &to_gate)
        .await
        .expect("bound");
    broker
        .unbind(&producers_exchange, &to_queue)
        .await
        .expect("unbound");
    for _ in 0..10 {
        broker.unbind(&gate, &to_queue).await.expect("closed");
        await_growth(&broker, &names.replay).await;
        broker.bind(&gate, &to_queue).await.expect("opened");
        await_growth(&broker, &names.queue).await;
    }
    broker
        .bind(&producers_exchange, &to_queue)
        .await
        .expect("bound");
    broker
        .unbind(&producers_exchange, &to_gate)
        .await
        .expect("unbound");
    await_growth(&broker, &names.queue).await;
    stop.cancel();
    let record = producers.await.expect("no panic").expect("published");
    let confirmed: u64 = record
        .publishers
        .values()
        .map(producer::PublisherRecord::confirmed)
        .sum();

    let queues = broker
        .queues(&[&names.queue, &names.replay, &names.hold])
        .await
        .expect("it answers");
    let ready: Vec<u64> = queues
        .iter()
        .map(|queue| queue.expect("it is there").ready)
        .collect();
    assert_eq!(ready[1], ready[2], "R and H hold the same");
    assert!(
        ready[0] > 0 && ready[1] > 0,
        "both ways were taken: {ready:?}"
    );
    assert_eq!(
        ready[0] + ready[1],
        confirmed,
        "each message went one way, and once: {ready:?}"
    );
}

async fn await_growth(broker: &AmqpBroker, queue: &str) {
    let depth = async || {
        let queues = broker.queues(&[queue]).await.expect("it answers");
        queues[0].expect("it is there").ready
    };
    let (before, until) = (depth().await, Instant::now() + Duration::from_secs(30));
    while depth().await <= before + 10 {
        assert!(Instant::now() < until, "{queue} does not grow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
