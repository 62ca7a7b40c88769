//! The bindings of a queue as the management API tells them: the values of their arguments, but
//! not the AMQP types of these.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Management;
use crate::migration::ports::PortResult;

/// A binding as it is told.
#[derive(Debug, Deserialize)]
pub(in crate::broker) struct ToldBinding {
    /// The exchange; empty for the default one.
    pub(in crate::broker) source: String,
    pub(in crate::broker) routing_key: String,
    #[serde(default)]
    pub(in crate::broker) arguments: BTreeMap<String, Value>,
    /// The same for two bindings only if routing key and arguments are the same, types included.
    #[serde(default)]
    pub(in crate::broker) properties_key: String,
}

impl Management {
    /// The queue's bindings, without the one to the default exchange.
    pub(in crate::broker) async fn bindings(&self, queue: &str) -> PortResult<Vec<ToldBinding>> {
        let path = ["api", "queues", &self.vhost, queue, "bindings"];
        let mut found: Vec<ToldBinding> = self.get(&path, &[]).await?;
        found.retain(|binding| !binding.source.is_empty());
        Ok(found)
    }
}
