//! Bindings are taken over and given back as they were, whatever they are made of.

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};
use ms2m::api::{ArgumentType, HandoffBinding};
use ms2m::broker::AmqpBroker;
use ms2m::migration::error::PortError;
use ms2m::migration::handoff::decide::{DISMANTLE, INSERT};
use ms2m::migration::handoff::{Effect, Names, topology};
use ms2m::migration::ports::Broker;

use crate::support::World;
use crate::{adapter, channel};

/// A durable exchange and a durable queue, not bound to each other.
async fn declare(channel: &Channel, exchange: &str, kind: ExchangeKind, queue: &str) {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    channel
        .exchange_declare(exchange.into(), kind, durable, none())
        .await
        .expect("the exchange is declared");
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), none())
        .await
        .expect("the queue is declared");
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str, arguments: FieldTable) {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            options,
            arguments,
        )
        .await
        .expect("it is bound");
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// The queue's bindings in the broker's own words, types included in the key.
async fn told(queue: &str) -> Vec<String> {
    let path = format!("queues/%2F/{queue}/bindings");
    let answer = World::get().management(&path).await;
    let mut all: Vec<String> = answer
        .as_array()
        .expect("a list of bindings")
        .iter()
        .map(ToString::to_string)
        .collect();
    all.sort();
    all
}

async fn carry_out(
    broker: &AmqpBroker,
    effects: &[Effect],
    names: &Names,
    ways: &[HandoffBinding],
) {
    for effect in effects {
        for request in topology::requests(*effect, names, ways) {
            request
                .carry_out(broker)
                .await
                .unwrap_or_else(|error| panic!("could not {}: {error}", request.purpose()));
        }
    }
}

async fn depths(broker: &AmqpBroker, names: &Names) -> [u64; 2] {
    let queues = broker
        .queues(&[&names.queue, &names.replay])
        .await
        .expect("it answers");
    [0, 1].map(|index| queues[index].map_or(0, |queue| queue.ready))
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_keep_their_types() {
    let broker = adapter().await;
    let (_connection, channel) = channel().await;
    declare(&channel, "types.events", ExchangeKind::Headers, "types.in").await;
    let values = [
        (ArgumentType::String, text("text")),
        (ArgumentType::Boolean, AMQPValue::Boolean(true)),
        (ArgumentType::Byte, AMQPValue::ShortShortInt(-5)),
        (ArgumentType::UnsignedByte, AMQPValue::ShortShortUInt(5)),
        (ArgumentType::Short, AMQPValue::ShortInt(5)),
        (ArgumentType::UnsignedShort, AMQPValue::ShortUInt(5)),
        (ArgumentType::Int, AMQPValue::LongInt(-5)),
        (ArgumentType::UnsignedInt, AMQPValue::LongUInt(5)),
        (ArgumentType::Long, AMQPValue::LongLongInt(5)),
        (ArgumentType::Timestamp, AMQPValue::Timestamp(5)),
        (ArgumentType::Float, AMQPValue::Float(1.25)),
        (ArgumentType::Double, AMQPValue::Double(0.1)),
        (ArgumentType::Void, AMQPValue::Void),
    ];
    for (kind, value) in &values {
        let name = format!("{kind:?}");
        let arguments = table(&[("x-match", text("all")), (&name, value.clone())]);
        bind(&channel, "types.in", "types.events", "", arguments).await;
    }
    let before = told("types.in").await;
    let found = broker.bindings("types.in").await.expect("it answers");
    let found = found.expect("the management API is there");
    for (kind, _) in &values {
        let name = format!("{kind:?}");
        let seen = found.iter().find_map(|one| one.arguments.get(&name));
        assert_eq!(seen.map(|one| one.kind), Some(*kind), "{seen:?}");
    }
    let names = Names::of("types.in");
    carry_out(&broker, &INSERT, &names, &found).await;
    assert_eq!(told("types.in").await.len(), 2, "only the gate leads there");
    carry_out(&broker, &DISMANTLE, &names, &found).await;
    assert_eq!(told("types.in").await, before);
    let probe = broker.exchange_exists("types.in.ms2m-probe").await;
    assert!(!probe.expect("it answers"), "the probe is gone");
}

/// A 5 and a "5" are two values to a headers exchange.
#[tokio::test(flavor = "multi_thread")]
async fn the_gate_lets_the_same_headers_through() {
    let broker = adapter().await;
    let (_connection, channel) = channel().await;
    declare(&channel, "match.events", ExchangeKind::Headers, "match.in").await;
    let arguments = table(&[
        ("x-match", text("all")),
        ("size", AMQPValue::LongLongInt(5)),
        ("urgent", AMQPValue::Boolean(true)),
    ]);
    bind(&channel, "match.in", "match.events", "", arguments).await;
    let found = broker.bindings("match.in").await.expect("it answers");
    let names = Names::of("match.in");
    let ways = found.expect("the management API is there");
    carry_out(&broker, &INSERT, &names, &ways).await;
    carry_out(&broker, &[Effect::CloseGate], &names, &ways).await;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("confirms");
    for size in [AMQPValue::LongLongInt(5), text("5")] {
        let headers = table(&[("size", size), ("urgent", AMQPValue::Boolean(true))]);
        let properties = BasicProperties::default().with_headers(headers);
        let options = BasicPublishOptions::default();
        let confirm = channel
            .basic_publish("match.events".into(), "".into(), options, b"", properties)
            .await
            .expect("it is sent");
        confirm.await.expect("it is confirmed");
    }
    assert_eq!(depths(&broker, &names).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_over_is_refused() {
    let broker = adapter().await;
    let (_connection, channel) = channel().await;
    declare(&channel, "tables.events", ExchangeKind::Fanout, "tables.in").await;
    let nested = AMQPValue::FieldTable(table(&[("a", text("b"))]));
    let arguments = table(&[("nested", nested)]);
    bind(&channel, "tables.in", "tables.events", "", arguments).await;
    let error = broker
        .bindings("tables.in")
        .await
        .expect_err("there is no text for a table");
    assert!(matches!(error, PortError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("nested"), "{error}");
}
