//! What the adapter ensures, repeats, and leaves alone.

use ms2m::migration::error::PortError;
use ms2m::migration::ports::{Broker, Deletion};
use ms2m_worker::producer;
use tokio_util::sync::CancellationToken;

use crate::{adapter, declare, publishing};

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
