//! What the adapter sees.

use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use ms2m::migration::ports::{Broker, Deletion};
use ms2m_worker::producer;
use tokio_util::sync::CancellationToken;

use crate::support::{World, eventually};
use crate::{adapter, binding, channel, channel_named, declare, mute, publishing};

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
