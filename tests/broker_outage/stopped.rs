//! A broker that is stopped and started again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::calls::{ALL, Call, check, prepare};
use crate::support::{DEADLINE, World};
use crate::{BROKER, adapter};

/// How the broker goes, and how long it is away.
const OUTAGES: [(&str, Duration); 2] = [
    ("stop", Duration::from_secs(10)),
    ("kill", Duration::from_secs(1)),
];

/// Each call is made over and over, from before the outage until after it. None fails for good,
/// none hangs, and all succeed in the end.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_outlives_an_outage() {
    let _alone = BROKER.write().await;
    for (action, away) in OUTAGES {
        let broker = Arc::new(adapter(None));
        prepare(&broker, action).await.expect("the broker is up");
        let order = async |what: &str| World::get().order("/broker", json!({ "do": what })).await;
        let (over, is_over) = tokio::sync::watch::channel(false);
        let mut calls = Vec::new();
        for call in ALL {
            let (broker, is_over) = (Arc::clone(&broker), is_over.clone());
            calls.push(tokio::spawn(async move {
                until_it_is_over(&call, &broker, action, &is_over).await
            }));
        }
        order(action).await;
        tokio::time::sleep(away).await;
        order("start").await;
        over.send_replace(true);
        for call in calls {
            let failures = call.await.expect("no panic");
            assert!(failures > 0, "each call has met the outage");
        }
        check(&broker, action).await.expect("the broker is up");
    }
}

/// How often the call failed until it succeeded after the outage.
async fn until_it_is_over(
    call: &Call,
    broker: &ms2m::broker::AmqpBroker,
    prefix: &str,
    is_over: &tokio::sync::watch::Receiver<bool>,
) -> u32 {
    let (until, mut failures) = (Instant::now() + 2 * DEADLINE, 0);
    loop {
        // Asked before the call: one that succeeds then has outlived the outage.
        let over = *is_over.borrow();
        let name = call.name;
        let made = tokio::time::timeout(DEADLINE, (call.make)(broker, prefix)).await;
        match made.unwrap_or_else(|_| panic!("{name} hangs")) {
            Ok(()) if over => return failures,
            Ok(()) => {}
            Err(error) => {
                assert!(error.is_transient(), "{name}: {error:?}");
                failures += 1;
            }
        }
        assert!(Instant::now() < until, "{name} does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
