//! Every call of the port that goes to the broker, with what it needs and what it leaves, so that
//! all of them can be tried alike.

use futures_util::future::BoxFuture;
use ms2m::api::HandoffBinding;
use ms2m::broker::AmqpBroker;
use ms2m::migration::ports::{Broker, Deletion, Destination, PortResult};

/// A call that may be repeated.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// Makes the call under names of its own that begin with the text.
    pub(crate) make: for<'a> fn(&'a AmqpBroker, &'a str) -> BoxFuture<'a, PortResult<()>>,
}

macro_rules! call {
    ($name:literal, $broker:ident, $prefix:ident, $body:expr) => {
        Call {
            name: $name,
            make: |$broker, $prefix| Box::pin(async move { $body }),
        }
    };
}

/// All of them. [`prepare`] has been there before.
pub(crate) const ALL: [Call; 12] = [
    call!("queues", broker, prefix, {
        let seen = broker.queues(&[&q(prefix), "no-such"]).await?;
        assert!(seen[0].is_some() && seen[1].is_none(), "{seen:?}");
        Ok(())
    }),
    call!("exchange_exists", broker, prefix, {
        assert!(broker.exchange_exists(&x(prefix)).await?);
        Ok(())
    }),
    call!("describe", broker, _prefix, {
        broker.describe().await.map(|_| ())
    }),
    call!("ensure_queue", broker, prefix, {
        broker.ensure_queue(&format!("{prefix}.made")).await
    }),
    call!("ensure_fanout", broker, prefix, {
        let alternate = x(prefix);
        broker
            .ensure_fanout(&format!("{prefix}.gate"), Some(&alternate))
            .await
    }),
    call!("bind a queue", broker, prefix, {
        let to = Destination::Queue(q(prefix));
        broker.bind(&by("new", prefix), &to).await
    }),
    call!("bind an exchange", broker, prefix, {
        let to = Destination::Exchange(format!("{prefix}.other"));
        broker.bind(&by("", prefix), &to).await
    }),
    call!("unbind", broker, prefix, {
        let from = Destination::Queue(q(prefix));
        broker.unbind(&by("old", prefix), &from).await
    }),
    call!("delete_queue", broker, prefix, {
        let deleted = broker.delete_queue(&format!("{prefix}.old"), true).await?;
        assert_eq!(deleted, Deletion::Gone);
        Ok(())
    }),
    call!("delete_exchange", broker, prefix, {
        broker.delete_exchange(&format!("{prefix}.old")).await
    }),
    call!("purge_queue", broker, prefix, {
        broker.purge_queue(&q(prefix)).await
    }),
    call!("publish", broker, prefix, {
        broker.publish(&format!("{prefix}.control"), b"{}").await
    }),
];

fn x(prefix: &str) -> String {
    format!("{prefix}.events")
}

fn q(prefix: &str) -> String {
    format!("{prefix}.in")
}

fn by(key: &str, prefix: &str) -> HandoffBinding {
    HandoffBinding {
        exchange: x(prefix),
        routing_key: key.to_owned(),
        arguments: std::collections::BTreeMap::new(),
    }
}

/// What the calls need.
pub(crate) async fn prepare(broker: &AmqpBroker, prefix: &str) -> PortResult<()> {
    for exchange in [
        &x(prefix),
        &format!("{prefix}.other"),
        &format!("{prefix}.old"),
    ] {
        broker.ensure_fanout(exchange, None).await?;
    }
    for queue in [
        &q(prefix),
        &format!("{prefix}.old"),
        &format!("{prefix}.control"),
    ] {
        broker.ensure_queue(queue).await?;
    }
    broker
        .bind(&by("old", prefix), &Destination::Queue(q(prefix)))
        .await
}

/// Checks what the calls leave, once each has succeeded at least once.
pub(crate) async fn check(broker: &AmqpBroker, prefix: &str) -> PortResult<()> {
    let bindings = broker.bindings(&q(prefix)).await?;
    assert_eq!(bindings, Some(vec![by("new", prefix)]));
    let names = ["made", "old", "control"].map(|name| format!("{prefix}.{name}"));
    let queues = broker.queues(&names.each_ref().map(String::as_str)).await?;
    assert!(queues[0].is_some() && queues[1].is_none(), "{queues:?}");
    let orders = queues[2].map_or(0, |queue| queue.ready);
    assert!(orders >= 1, "the order has arrived, once at least");
    assert!(broker.exchange_exists(&format!("{prefix}.gate")).await?);
    assert!(!broker.exchange_exists(&format!("{prefix}.old")).await?);
    Ok(())
}
