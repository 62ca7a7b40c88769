//! Faults that are ordered of kubelets: what is to fail or to take its time, where, and how often.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A step of a kubelet's work that can be made to fail, or to take longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// The pull of an image.
    Pull,
    /// The start of any container.
    Start,
    /// The start of a container from a checkpoint.
    Restore,
    /// The checkpoint call.
    Checkpoint,
    /// The attachment of a network volume.
    Attach,
}

/// One order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The node; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Regular expression that is to match `namespace/name` of the pod; every pod if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// What fails.
    pub on: Point,
    /// What the runtime says; without it nothing fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many milliseconds later it fails, or is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How often; once if absent.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// Why an order is none.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The pod's expression is none.
    #[error(transparent)]
    Pod(#[from] regex::Error),
    /// It would change nothing.
    #[error("an order has an error, delayMs, or both")]
    Empty,
}

/// The orders that are open, for all nodes.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<(Fault, regex::Regex)>>);

impl Faults {
    /// Orders a fault, after those that are open.
    ///
    /// # Errors
    /// When the pod's expression is none, or the order would change nothing.
    pub fn order(&self, fault: Fault) -> Result<(), OrderError> {
        if fault.error.is_none() && fault.delay_ms.is_none() {
            return Err(OrderError::Empty);
        }
        let pod = regex::Regex::new(fault.pod.as_deref().unwrap_or_default())?;
        self.lock().push((fault, pod));
        Ok(())
    }

    /// Takes all orders back.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The orders that are open.
    pub fn open(&self) -> Vec<Fault> {
        self.lock().iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// Waits for as long as is ordered here and now, which counts as one time, and gives the
    /// error that is ordered, if there is one.
    pub(crate) async fn strike(&self, node: &str, pod: &str, on: Point) -> Option<String> {
        let fault = self.take(node, pod, on)?;
        if let Some(delay) = fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        fault.error
    }

    fn take(&self, node: &str, pod: &str, on: Point) -> Option<Fault> {
        let mut orders = self.lock();
        let (fault, _) = orders.iter_mut().find(|(fault, expression)| {
            fault.on == on
                && fault.node.as_deref().is_none_or(|name| name == node)
                && expression.is_match(pod)
        })?;
        fault.times = fault.times.saturating_sub(1);
        let fault = fault.clone();
        orders.retain(|(fault, _)| fault.times > 0);
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, regex::Regex)>> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(order: serde_json::Value) -> Faults {
        let faults = Faults::default();
        let order: Fault = serde_json::from_value(order).expect("is an order");
        faults.order(order).expect("makes sense");
        faults
    }

    #[tokio::test]
    async fn a_fault_happens_where_and_as_often_as_ordered() {
        let faults = ordered(serde_json::json!({
            "node": "b", "pod": "^default/worker-", "on": "restore", "error": "e", "times": 2,
        }));
        for (node, pod, on) in [
            ("a", "default/worker-0", Point::Restore),
            ("b", "x/default/worker-0", Point::Restore),
            ("b", "default/worker-0", Point::Start),
        ] {
            assert_eq!(faults.strike(node, pod, on).await, None);
        }
        for _ in 0..2 {
            let found = faults.strike("b", "default/worker-0", Point::Restore).await;
            assert_eq!(found.as_deref(), Some("e"));
        }
        let spent = faults.strike("b", "default/worker-0", Point::Restore).await;
        assert_eq!(spent, None);
        assert!(faults.open().is_empty());
    }

    #[tokio::test]
    async fn a_step_takes_as_long_as_ordered() {
        let faults = ordered(serde_json::json!({ "on": "pull", "delayMs": 20 }));
        let began = std::time::Instant::now();
        assert_eq!(faults.strike("a", "x/y", Point::Pull).await, None);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn an_order_that_changes_nothing_is_refused() {
        let order = serde_json::from_value(serde_json::json!({ "on": "pull" }));
        let refused = Faults::default().order(order.expect("is an order"));
        assert!(matches!(refused, Err(OrderError::Empty)), "{refused:?}");
    }
}
