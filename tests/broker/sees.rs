//! What the adapter sees.

use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use ms2m::migration::handoff::Fill;
use ms2m::migration::handoff::watch::{Look, Watch};
use ms2m::migration::limits::Limits;
use ms2m::migration::ports::Broker;
use ms2m_worker::producer;
use tokio_util::sync::CancellationToken;

use crate::support::{World, eventually};
use crate::{adapter, binding, channel, channel_named, declare, mute, publishing, put};

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
        let counted = broker.queues(&[queue]).await.expect("it answers");
        let counted = counted[0].map(|queue| queue.consumers);
        assert_eq!(counted, Some(2), "AMQP's count is exact at once");
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

/// The count of a quorum queue's unacknowledged messages is late, so the queue counts as quiet only
/// once the count must have caught up: the source may have messages in hand for longer than any
/// settle time.
#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queue_is_not_quiet_before_its_last_message_is_acknowledged() {
    const IN_HAND: Duration = Duration::from_secs(9);
    let broker = adapter().await;
    let topology = declare("late", true).await;
    let options = publishing(&topology, 1, 0.0, Some(1));
    producer::run(&options, None, CancellationToken::new())
        .await
        .expect("one is published");
    let (_connection, channel) = channel().await;
    let queue = topology.queue.as_str();
    let taken = channel.basic_get(queue.into(), BasicGetOptions::default());
    let mut in_hand = taken.await.expect("it answers");
    let began = Instant::now();
    let mut watch = Watch::new(Limits::default(), Duration::ZERO);
    eventually("the queue to be quiet", async || {
        if began.elapsed() > IN_HAND
            && let Some(message) = in_hand.take()
        {
            let acked = message.delivery.acker.ack(BasicAckOptions::default());
            acked.await.expect("it is acknowledged");
        }
        let seen = broker.queues(&[queue]).await.expect("it answers");
        let look = Look {
            at: began.elapsed(),
            primary: seen[0].expect("it is there"),
            ..Look::default()
        };
        let quiet = watch.seen(&look, Duration::MAX).primary.fill == Fill::Quiet;
        assert!(!quiet || in_hand.is_none(), "quiet too early: {look:?}");
        quiet.then_some(())
    })
    .await;
}

/// A policy that is meant for one queue takes in the queues that are named after it.
#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_makes_a_queue_drop_messages() {
    let broker = adapter().await;
    let policy = r#"{"pattern":"^limited","definition":{"max-length":5},"apply-to":"queues"}"#;
    put("policies/%2F/short", policy).await;
    for queue in ["limited.ms2m-replay", "free.ms2m-replay"] {
        broker.ensure_queue(queue).await.expect("it is declared");
    }
    let limits = async |queue| broker.limits(queue).await.expect("it answers");
    let told = async |queue| eventually("the policy", async || limits(queue).await).await;
    let limited = ["max-length 5 (policy short)"];
    assert_eq!(told("limited.ms2m-replay").await, limited);
    assert_eq!(told("free.ms2m-replay").await, [""; 0]);
    assert_eq!(limits("no-such").await, Some(vec![]));
    let mute = mute(&World::get().places.broker_url);
    assert_eq!(mute.limits("any").await.expect("no error"), None);
}
