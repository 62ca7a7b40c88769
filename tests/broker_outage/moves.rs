//! Messages that are moved from queue to exchange while the connection dies over it.

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use ms2m::api::HandoffBinding;
use ms2m::broker::AmqpBroker;
use ms2m::migration::ports::{Broker, Destination};

use crate::proxy::{Mode, Proxy};
use crate::support::World;
use crate::{BROKER, adapter};

const MESSAGES: usize = 400;

/// How often the connection is cut, if the messages last for so long.
const ROUNDS: usize = 15;

/// Long enough for the broker to carry out what was sent before the answers were lost.
const STALL: Duration = Duration::from_millis(50);

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

async fn depth(direct: &AmqpBroker) -> u64 {
    let seen = direct.queues(&["move.replay"]).await;
    seen.expect("the broker is up")[0].map_or(0, |queue| queue.ready)
}

/// The connection is cut again and again while messages are moved, mostly with the last answer
/// lost: the broker has done what the adapter does not know of.
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
    for round in 0..ROUNDS {
        let moving = broker.move_messages("move.in", "move.fanout");
        tokio::pin!(moving);
        let before = depth(&direct).await;
        let begun = async { while depth(&direct).await == before {} };
        tokio::select! {
            moved = &mut moving => {
                moved.expect("nobody disturbs it");
                break;
            }
            () = begun => {}
        }
        if round % 3 > 0 {
            proxy.set(Mode::LoseAnswers);
            let stalled = tokio::time::timeout(STALL, &mut moving).await;
            assert!(stalled.is_err(), "no answer comes");
        }
        proxy.cut();
        let error = moving.await.expect_err("its connection is cut");
        assert!(error.is_transient(), "{error:?}");
        proxy.set(Mode::Pass);
    }
    broker
        .move_messages("move.in", "move.fanout")
        .await
        .expect("nobody disturbs it");
    let expected: Vec<usize> = (0..MESSAGES).collect();
    assert_eq!(take_all(&channel, "move.replay").await, expected);
    assert_eq!(take_all(&channel, "move.in").await, [0; 0]);
}
