//! Messages that are moved from queue to exchange while the connection dies over it.

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use ms2m::api::HandoffBinding;
use ms2m::migration::ports::{Broker, Destination};

use crate::proxy::{Mode, Proxy};
use crate::support::World;
use crate::{BROKER, adapter};

const MESSAGES: usize = 200;

async fn channel() -> (Connection, Channel) {
    let url = &World::get().places.broker_url;
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("confirms");
    (connection, channel)
}

async fn publish(channel: &Channel, queue: &str) {
    for number in 0..MESSAGES {
        let body = number.to_string();
        let confirm = channel
            .basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                body.as_bytes(),
                BasicProperties::default().with_delivery_mode(2),
            )
            .await
            .expect("it is sent");
        confirm.await.expect("it is confirmed");
    }
}

async fn take_all(channel: &Channel, queue: &str) -> Vec<usize> {
    let options = BasicGetOptions { no_ack: true };
    let mut all = Vec::new();
    while let Some(message) = channel
        .basic_get(queue.into(), options)
        .await
        .expect("it answers")
    {
        let text = String::from_utf8(message.delivery.data).expect("UTF-8");
        all.push(text.parse().expect("a number"));
    }
    all
}

/// The connection is cut again and again, with the answers lost before every second time.
#[tokio::test(flavor = "multi_thread")]
async fn moving_messages_loses_none_and_doubles_none() {
    let _up = BROKER.read().await;
    let proxy = Proxy::start().await;
    let (broker, direct) = (adapter(Some(proxy.address)), adapter(None));
    for queue in ["move.in", "move.replay"] {
        direct.ensure_queue(queue).await.expect("declared");
    }
    direct
        .ensure_fanout("move.fanout", None)
        .await
        .expect("declared");
    let binding = HandoffBinding {
        exchange: "move.fanout".to_owned(),
        routing_key: String::new(),
        arguments: std::collections::BTreeMap::new(),
    };
    direct
        .bind(&binding, &Destination::Queue("move.replay".to_owned()))
        .await
        .expect("bound");
    let (_connection, channel) = channel().await;
    publish(&channel, "move.in").await;
    for round in 0..8_u64 {
        let moving = broker.move_messages("move.in", "move.fanout");
        let disturbing = async {
            tokio::time::sleep(Duration::from_millis(7 * round)).await;
            if round % 2 == 1 {
                proxy.set(Mode::LoseAnswers);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            proxy.cut();
            proxy.set(Mode::Pass);
        };
        let (moved, ()) = tokio::join!(moving, disturbing);
        if let Err(error) = moved {
            assert!(error.is_transient(), "{error:?}");
        }
    }
    broker
        .move_messages("move.in", "move.fanout")
        .await
        .expect("nobody disturbs it");
    let expected: Vec<usize> = (0..MESSAGES).collect();
    assert_eq!(take_all(&channel, "move.replay").await, expected);
    assert_eq!(take_all(&channel, "move.in").await, [0; 0]);
}
