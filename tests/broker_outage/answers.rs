//! Answers that are lost or never come.

use std::time::{Duration, Instant};

use ms2m::migration::ports::Broker;

use crate::calls::{ALL, check, prepare};
use crate::proxy::{Mode, Proxy};
use crate::support::eventually;
use crate::{BROKER, adapter};

/// The longest that the adapter waits for a broker: to connect, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10 + 15 + 15);

/// The broker carries out each call, and its answer gets lost with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_made_good_by_asking_again() {
    let _up = BROKER.read().await;
    let proxy = Proxy::start().await;
    let (broker, direct) = (adapter(Some(proxy.address)), adapter(None));
    prepare(&direct, "lost").await.expect("the broker is up");
    for call in ALL {
        // A channel is there, so the request itself gets through.
        broker.describe().await.expect("the broker is up");
        proxy.set(Mode::LoseAnswers);
        let began = Instant::now();
        let made = (call.make)(&broker, "lost");
        tokio::pin!(made);
        let early = tokio::time::timeout(Duration::from_millis(500), &mut made).await;
        // Those that find nothing to ask the broker succeed without it.
        if early.is_err() {
            proxy.cut();
            let error = made.await.expect_err("the connection is cut");
            assert!(error.is_transient(), "{}: {error:?}", call.name);
        }
        assert!(began.elapsed() < PATIENCE, "{}", call.name);
        proxy.set(Mode::Pass);
        (call.make)(&broker, "lost")
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", call.name));
    }
    check(&direct, "lost").await.expect("the broker is up");
}

/// Whether a control message has arrived is unknown when its confirm is lost, so it is said again:
/// the application may hear an order twice, and never not at all.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_confirm_is_lost_is_said_again() {
    let _up = BROKER.read().await;
    let proxy = Proxy::start().await;
    let (broker, direct) = (adapter(Some(proxy.address)), adapter(None));
    direct
        .ensure_queue("ms2m.control.lost")
        .await
        .expect("declared");
    broker.describe().await.expect("the broker is up");
    proxy.set(Mode::LoseAnswers);
    let told = tokio::spawn(async move {
        let told = broker.publish("ms2m.control.lost", b"{}").await;
        (broker, told)
    });
    let arrived = async |orders| {
        eventually("the order to arrive", async || {
            let seen = direct.queues(&["ms2m.control.lost"]).await;
            let seen = seen.expect("the broker is up")[0];
            seen.filter(|queue| queue.ready == orders)
        })
        .await
    };
    arrived(1).await;
    proxy.cut();
    proxy.set(Mode::Pass);
    let (broker, told) = told.await.expect("no panic");
    let error = told.expect_err("no confirm has come");
    assert!(error.is_transient(), "{error:?}");
    broker
        .publish("ms2m.control.lost", b"{}")
        .await
        .expect("it is confirmed");
    arrived(2).await;
}

/// A broker that keeps the connection and says nothing: with and without a channel at hand.
#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_in_an_error() {
    let _up = BROKER.read().await;
    tokio::join!(in_silence(true), in_silence(false));
}

async fn in_silence(channel_at_hand: bool) {
    let proxy = Proxy::start().await;
    let broker = adapter(Some(proxy.address));
    broker.describe().await.expect("the broker is up");
    if !channel_at_hand {
        // The refusal takes the channel with it.
        let exists = broker.exchange_exists("no-such").await;
        assert!(!exists.expect("it answers"));
    }
    proxy.set(Mode::Silent);
    let exists = tokio::time::timeout(PATIENCE, broker.exchange_exists("amq.fanout"));
    let error = exists
        .await
        .unwrap_or_else(|_| panic!("it hangs (channel at hand: {channel_at_hand})"))
        .expect_err("nobody answers");
    assert!(error.is_transient(), "{error:?}");
    proxy.set(Mode::Pass);
    let exists = broker.exchange_exists("amq.fanout").await;
    assert!(exists.expect("it answers"));
}
