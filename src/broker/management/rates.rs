//! How many messages come into a queue and are acknowledged in a second, as the broker has counted them
//! in its last interval (5 s unless it is configured otherwise).

use serde::Deserialize;

use super::Management;
use crate::broker::AmqpBroker;
use crate::migration::error::PortError;
use crate::migration::estimate::Rates;
use crate::migration::ports::PortResult;

#[derive(Debug, Deserialize)]
struct Queue {
    /// Missing until the first message has come.
    #[serde(default)]
    message_stats: Option<Stats>,
}

#[derive(Debug, Default, Deserialize)]
struct Stats {
    #[serde(default)]
    publish_details: Rate,
    #[serde(default)]
    ack_details: Rate,
}

#[derive(Debug, Default, Deserialize)]
struct Rate {
    #[serde(default)]
    rate: f64,
}

impl Management {
    async fn rates(&self, queue: &str) -> PortResult<Rates> {
        let path = ["api", "queues", &self.vhost, queue];
        let found: Queue = self.get(&path, &[("columns", "message_stats")]).await?;
        Ok(rates(found))
    }
}

fn rates(queue: Queue) -> Rates {
    let stats = queue.message_stats.unwrap_or_default();
    Rates {
        arrival: stats.publish_details.rate,
        processing: stats.ack_details.rate,
    }
}

impl AmqpBroker {
    /// The rates of `queue`; `None` when the broker does not tell.
    pub async fn rates(&self, queue: &str) -> Option<Rates> {
        let management = self.management.as_ref().map_err(PortError::clone).ok()?;
        management.rates(queue).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_has_seen_nothing_has_no_rates() {
        let read = |told: &str| rates(serde_json::from_str(told).expect("it is read"));
        let still = read("{}");
        assert_eq!((still.arrival, still.processing), (0.0, 0.0));
        let told = r#"{"message_stats":{"publish":7,"publish_details":{"rate":12.4},"ack_details":{"rate":3.0}}}"#;
        let busy = read(told);
        assert_eq!((busy.arrival, busy.processing), (12.4, 3.0));
    }
}
