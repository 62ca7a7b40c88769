//! The broker adapter on a real RabbitMQ: what it sees, what it ensures, what it refuses. The
//! handoff as a whole is in `tests/handoff`, a broker that goes away in `tests/broker_outage`.

#[path = "../support/mod.rs"]
mod support;

mod bindings;
mod changes;
mod refusals;
mod sees;

use std::collections::BTreeMap;

use lapin::{Channel, Connection, ConnectionProperties};
use ms2m::api::HandoffBinding;
use ms2m::broker::{AmqpBroker, BrokerUrl, Options};
use ms2m_worker::producer::{self, ExchangeType, Topology};
use support::World;

pub(crate) async fn adapter() -> AmqpBroker {
    adapter_for(&World::get().places.broker_url)
}

pub(crate) fn adapter_for(url: &str) -> AmqpBroker {
    let management = World::get().places.management_url.parse();
    AmqpBroker::new(&Options {
        url: BrokerUrl::parse(url).expect("a URL"),
        management: Some(management.expect("a URL")),
    })
}

/// An adapter that cannot reach the management API.
pub(crate) fn mute(url: &str) -> AmqpBroker {
    AmqpBroker::new(&Options {
        url: BrokerUrl::parse(url).expect("a URL"),
        management: Some("http://127.0.0.1:1".parse().expect("a URL")),
    })
}

pub(crate) async fn channel() -> (Connection, Channel) {
    channel_named("a test").await
}

pub(crate) async fn channel_named(name: &str) -> (Connection, Channel) {
    let url = World::get().places.broker_url.clone();
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = Connection::connect(&url, properties)
        .await
        .expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

pub(crate) fn binding(exchange: &str, routing_key: &str) -> HandoffBinding {
    HandoffBinding {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        arguments: BTreeMap::new(),
    }
}

pub(crate) async fn declare(name: &str, quorum: bool) -> Topology {
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

pub(crate) fn publishing(
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

/// Puts a document into the management API.
pub(crate) async fn put(path: &str, body: &'static str) {
    let places = &World::get().places;
    let owner = BrokerUrl::parse(&places.broker_url).expect("a URL");
    let answer = reqwest::Client::new()
        .put(format!("{}/api/{path}", places.management_url))
        .basic_auth(owner.user(), Some(owner.password()))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("the management API answers");
    assert!(answer.status().is_success(), "{}", answer.status());
}
