//! Who consumes a queue: what the management API tells beyond AMQP's bare count.
//!
//! Measured on RabbitMQ 3.10, classic and quorum queues alike: a consumer that is gone is gone
//! from the list at once, a new one shows up within 5 s, when the broker next gathers its
//! statistics. AMQP's count is exact at once, so a list shorter than that is a list that is late.

use std::net::IpAddr;

use serde::Deserialize;

use super::Management;
use crate::migration::error::PortError;
use crate::migration::ports::{ConsumerView, PortResult};

#[derive(Debug, Deserialize)]
struct Queue {
    #[serde(default)]
    consumer_details: Vec<Consumer>,
}

#[derive(Debug, Deserialize)]
struct Consumer {
    ack_required: bool,
    #[serde(default)]
    prefetch_count: u64,
    channel_details: Channel,
}

/// The channel of a consumer. A connection that the broker has no statistics of yet has its fields
/// missing, or `"undefined"` in place of a number.
#[derive(Debug, Deserialize)]
struct Channel {
    #[serde(default)]
    connection_name: Option<String>,
    #[serde(default)]
    peer_host: Option<String>,
    #[serde(default)]
    peer_port: serde_json::Value,
}

/// A consumer in the list of all of them.
#[derive(Debug, Deserialize)]
struct Listed {
    queue: QueueName,
    channel_details: Channel,
}

#[derive(Debug, Deserialize)]
struct QueueName {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Connection {
    #[serde(default)]
    user_provided_name: Option<String>,
}

impl Management {
    /// The consumers of `queue`; none if there is no such queue.
    ///
    /// # Errors
    /// When the API does not answer or does not tell.
    pub(in crate::broker) async fn consumers(&self, queue: &str) -> PortResult<Vec<ConsumerView>> {
        let path = ["api", "queues", &self.vhost, queue];
        let found: PortResult<Queue> = self.get(&path, &[("columns", "consumer_details")]).await;
        let consumers = match found {
            Ok(queue) => queue.consumer_details,
            Err(PortError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut views = Vec::with_capacity(consumers.len());
        for consumer in consumers {
            let connection = known(consumer.channel_details.connection_name);
            views.push(ConsumerView {
                acknowledges: consumer.ack_required,
                prefetch: consumer.prefetch_count,
                peer_host: known(consumer.channel_details.peer_host),
                peer_port: port(&consumer.channel_details.peer_port),
                client_name: self.client_name(connection.as_deref()).await,
                connection,
            });
        }
        Ok(views)
    }

    /// The queues of the virtual host that connections from one of these addresses consume, one for
    /// each consumer.
    pub(in crate::broker) async fn consumed_from(
        &self,
        addresses: &[String],
    ) -> PortResult<Vec<String>> {
        let listed: Vec<Listed> = self.get(&["api", "consumers", &self.vhost], &[]).await?;
        let from = |listed: &Listed| {
            let peer = listed.channel_details.peer_host.as_deref();
            peer.is_some_and(|peer| addresses.iter().any(|address| is_same(peer, address)))
        };
        Ok(listed
            .into_iter()
            .filter(from)
            .map(|it| it.queue.name)
            .collect())
    }

    /// The name that a client has given its connection. Only a help: a user who may not see other
    /// users' connections gets none.
    async fn client_name(&self, connection: Option<&str>) -> Option<String> {
        let path = ["api", "connections", connection?];
        let connection: Connection = self.get(&path, &[]).await.ok()?;
        known(connection.user_provided_name)
    }
}

/// Whether both are one address, however it is written: brackets, an IPv4 address within IPv6.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| -> Option<IpAddr> {
        let address: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
        Some(address.to_canonical())
    };
    read(one).is_some_and(|one| read(other) == Some(one))
}

/// Erlang's `undefined` is told as a string.
fn known(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != "undefined")
}

fn port(value: &serde_json::Value) -> Option<u16> {
    value.as_u64().and_then(|port| port.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert!(is_same("10.1.2.3", "10.1.2.3"));
        assert!(is_same("::ffff:10.1.2.3", "10.1.2.3"));
        assert!(is_same("[2001:db8::7]", "2001:db8:0::7"));
        assert!(!is_same("10.1.2.3", "10.1.2.30"));
        assert!(!is_same("undefined", "undefined"));
    }

    #[test]
    fn a_connection_without_statistics_is_unknown() {
        let told = r#"{"ack_required":false,"channel_details":{"peer_host":"undefined","peer_port":"undefined"}}"#;
        let consumer: Consumer = serde_json::from_str(told).expect("it is read");
        assert!(!consumer.ack_required);
        assert_eq!(known(consumer.channel_details.peer_host), None);
        assert_eq!(port(&consumer.channel_details.peer_port), None);
    }
}
