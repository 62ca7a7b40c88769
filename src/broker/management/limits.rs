//! What makes a queue drop messages, or go, by itself: arguments that it was declared with, and
//! policies of the broker, which match by name and so may take in queues that nobody thought of.
//!
//! Policies are told with the queue's statistics: not in the first 5 s of its life (measured on
//! RabbitMQ 3.10).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Management;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The keys of a policy that limit a queue; an argument has `x-` before it.
const LIMITS: [&str; 4] = ["expires", "max-length", "max-length-bytes", "message-ttl"];

#[derive(Debug, Deserialize)]
struct Queue {
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    policy: Value,
    #[serde(default)]
    operator_policy: Value,
    effective_policy_definition: Option<Value>,
}

impl Management {
    /// The limits of `queue`, a line each; none if there is no such queue, `None` if its policies
    /// are not known yet.
    ///
    /// # Errors
    /// When the API does not answer.
    pub(in crate::broker) async fn limits(&self, queue: &str) -> PortResult<Option<Vec<String>>> {
        let columns = "arguments,policy,operator_policy,effective_policy_definition";
        let path = ["api", "queues", &self.vhost, queue];
        let found: PortResult<Queue> = self.get(&path, &[("columns", columns)]).await;
        match found {
            Ok(queue) => Ok(queue.limits()),
            Err(PortError::NotFound(_)) => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }
}

impl Queue {
    fn limits(&self) -> Option<Vec<String>> {
        let effective = self.effective_policy_definition.as_ref()?;
        let own = limits_in(&self.arguments, "x-").map(|limit| format!("{limit} (argument)"));
        let policies: Vec<&str> = [&self.policy, &self.operator_policy]
            .into_iter()
            .filter_map(Value::as_str)
            .filter(|name| !name.is_empty() && *name != "undefined")
            .collect();
        let policies = policies.join(", ");
        let policies = limits_in(effective, "").map(|limit| format!("{limit} (policy {policies})"));
        Some(policies.chain(own).collect())
    }
}

/// Erlang's empty list of properties is told as an array.
fn limits_in<'a>(told: &'a Value, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    LIMITS.iter().filter_map(move |key| {
        let key = format!("{prefix}{key}");
        let value = told
            .as_object()
            .and_then(|told: &Map<_, _>| told.get(&key))?;
        Some(format!("{key} {value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(told: &str) -> Option<Vec<String>> {
        let queue: Queue = serde_json::from_str(told).expect("it is read");
        queue.limits()
    }

    #[test]
    fn only_what_drops_is_a_limit() {
        assert_eq!(limits(r#"{"arguments":{}}"#), None);
        let none = limits(r#"{"effective_policy_definition":[]}"#);
        assert_eq!(none, Some(vec![]));
        let told = r#"{
            "arguments": {"x-queue-type": "classic", "x-message-ttl": 500},
            "policy": "all", "operator_policy": null,
            "effective_policy_definition": {"max-length": 100, "ha-mode": "all"}
        }"#;
        let expected = [
            "max-length 100 (policy all)",
            "x-message-ttl 500 (argument)",
        ];
        assert_eq!(limits(told).expect("it is told"), expected);
    }
}
