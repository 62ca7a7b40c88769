//! What the adapter ensures, repeats, and leaves alone.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use ms2m::migration::error::PortError;
use ms2m::migration::ports::{Broker, Deletion, Destination};
use ms2m_worker::producer;
use tokio_util::sync::CancellationToken;

use crate::support::World;
use crate::{adapter, binding, channel, declare, mute, publishing};

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

/// A quorum queue refuses a conditional deletion by ending the connection, and without the
/// management API nobody tells its type beforehand.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_any_type_is_deleted_with_and_without_the_management_api() {
    let url = &World::get().places.broker_url;
    for (name, broker) in [("told", adapter().await), ("untold", mute(url))] {
        for quorum in [false, true] {
            let topology = declare(&format!("delete-{name}-{quorum}"), quorum).await;
            let delete = async || {
                let deleted = broker.delete_queue(&topology.queue, true).await;
                deleted.expect("it answers")
            };
            let options = publishing(&topology, 1, 0.0, Some(1));
            producer::run(&options, None, CancellationToken::new())
                .await
                .expect("one is published");
            assert_eq!(delete().await, Deletion::InUse);
            let (_connection, channel) = channel().await;
            let queue = topology.queue.as_str().into();
            let purged = channel.queue_purge(queue, lapin::options::QueuePurgeOptions::default());
            purged.await.expect("it is emptied");
            assert_eq!(delete().await, Deletion::Gone);
            assert_eq!(delete().await, Deletion::Gone);
        }
    }
}

/// The application may have declared a replay queue before, in its own manner.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_there_stays_as_it_is() {
    let broker = adapter().await;
    let (_connection, channel) = channel().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(3));
    let options = QueueDeclareOptions::durable();
    let name = "priorities.ms2m-replay";
    let declared = channel.queue_declare(name.into(), options, arguments);
    declared.await.expect("it is declared");
    broker.ensure_queue(name).await.expect("it is there");
    let queue = World::get().management(&format!("queues/%2F/{name}")).await;
    assert_eq!(queue["arguments"]["x-max-priority"], 3);
    let deleted = broker.delete_queue(name, true).await;
    assert_eq!(deleted.expect("it answers"), Deletion::Gone);
}

/// Somebody deletes the application's exchange or queue in mid-migration.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_deleted_is_named() {
    let broker = adapter().await;
    let topology = declare("deleted", false).await;
    let (queue, exchange) = (&topology.queue, &topology.exchange);
    let way = binding(exchange, "orders.*");
    let to = Destination::Queue(queue.clone());
    broker.delete_exchange(exchange).await.expect("deleted");
    broker
        .unbind(&way, &to)
        .await
        .expect("a binding goes with its exchange");
    let error = broker.bind(&way, &to).await.expect_err("no exchange");
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
    assert!(error.to_string().contains(exchange.as_str()), "{error}");
    assert_eq!(
        broker.bindings(queue).await.expect("it answers"),
        Some(vec![])
    );

    let topology = declare("deleted", false).await;
    let deleted = broker.delete_queue(queue, false).await;
    assert_eq!(deleted.expect("it answers"), Deletion::Gone);
    broker
        .unbind(&way, &to)
        .await
        .expect("it goes with its queue");
    let error = broker.bind(&way, &to).await.expect_err("no queue");
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
    assert!(
        error.to_string().contains(topology.queue.as_str()),
        "{error}"
    );
    let seen = broker.queues(&[queue]).await.expect("it answers");
    assert_eq!(seen, [None]);
}
