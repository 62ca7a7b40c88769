//! The broker adapter when the broker goes away, falls silent, or takes a request and its answer
//! gets lost: no call hangs, no failure is final, and what is repeated ends in the same place.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod calls;
mod moves;
mod proxy;
mod stopped;

use ms2m::broker::{AmqpBroker, BrokerUrl, Options};
use support::World;
use tokio::sync::RwLock;

/// Tests that need the broker up share it; the one that stops it is alone.
static BROKER: RwLock<()> = RwLock::const_new(());

/// An adapter that talks to the broker itself, or through a proxy at this address.
fn adapter(through: Option<std::net::SocketAddr>) -> AmqpBroker {
    let places = &World::get().places;
    let mut url: url::Url = places.broker_url.parse().expect("a URL");
    if let Some(address) = through {
        url.set_ip_host(address.ip()).expect("it takes a host");
        url.set_port(Some(address.port())).expect("it takes a port");
    }
    AmqpBroker::new(&Options {
        url: BrokerUrl::parse(url.as_str()).expect("a broker URL"),
        management: places.management_url.parse().ok(),
    })
}
