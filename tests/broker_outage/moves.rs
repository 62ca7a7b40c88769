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

/// Some for each of the rounds, as they go in one transaction.
const MESSAGES: usize = 2_000;

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

async fn publish(channel: &Channel, queue: &str, messages: usize) {
    let mut confirms = Vec::new();
    for number in 0..messages {
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
        confirms.push(confirm);
    }
    for confirm in confirms {
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

/// Two queues, and a fanout exchange that leads to the second one.
async fn prepare(direct: &AmqpBroker, [from, exchange, to]: [&str; 3]) {
    for queue in [from, to] {
        direct.ensure_queue(queue).await.expect("declared");
    }
    direct
        .ensure_fanout(exchange, None)
        .await
        .expect("declared");
    let binding = HandoffBinding {
        exchange: exchange.to_owned(),
        routing_key: String::new(),
        arguments: std::collections::BTreeMap::new(),
    };
    direct
        .bind(&binding, &Destination::Queue(to.to_owned()))
        .await
        .expect("bound");
}

/// More than one transaction holds, and not all that there are.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_messages_are_moved_than_were_asked_for() {
    let _up = BROKER.read().await;
    let direct = adapter(None);
    prepare(&direct, ["few.in", "few.fanout", "few.replay"]).await;
    let (_connection, channel) = channel().await;
    publish(&channel, "few.in", 230).await;
    let moved = async |at_most| {
        let moving = direct.move_messages("few.in", "few.fanout", at_most);
        moving.await.expect("nobody disturbs it")
    };
    assert_eq!(moved(150).await, 150);
    assert_eq!(moved(0).await, 0);
    assert_eq!(moved(100).await, 80);
    let expected: Vec<usize> = (0..230).collect();
    assert_eq!(take_all(&channel, "few.replay").await, expected);
}

/// The connection is cut again and again while messages are moved, mostly with the last answer
/// lost: the broker has done what the adapter does not know of.
#[tokio::test(flavor = "multi_thread")]
async fn moving_messages_loses_none_and_doubles_none() {
    let _up = BROKER.read().await;
    let proxy = Proxy::start().await;
    let (broker, direct) = (adapter(Some(proxy.address)), adapter(None));
    prepare(&direct, ["move.in", "move.fanout", "move.replay"]).await;
    let (_connection, channel) = channel().await;
    publish(&channel, "move.in", MESSAGES).await;
    for round in 0..ROUNDS {
        let moving = broker.move_messages("move.in", "move.fanout", u64::MAX);
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
        .move_messages("move.in", "move.fanout", u64::MAX)
        .await
        .expect("nobody disturbs it");
    let expected: Vec<usize> = (0..MESSAGES).collect();
    assert_eq!(take_all(&channel, "move.replay").await, expected);
    assert_eq!(take_all(&channel, "move.in").await, [0; 0]);
}
