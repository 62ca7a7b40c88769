//! Faults that are ordered of kubelets: what is to fail, where, and how often.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// A step of a kubelet's work that can be made to fail.
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
    /// What the runtime says.
    pub error: String,
    /// How often; once if absent.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// The orders that are open, for all nodes.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<(Fault, regex::Regex)>>);

impl Faults {
    /// Orders a fault, after those that are open.
    ///
    /// # Errors
    /// When the pod's expression is none.
    pub fn order(&self, fault: Fault) -> Result<(), regex::Error> {
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

    /// The error that is ordered here and now, which counts as one time.
    pub(crate) fn take(&self, node: &str, pod: &str, on: Point) -> Option<String> {
        let mut orders = self.lock();
        let (fault, _) = orders.iter_mut().find(|(fault, expression)| {
            fault.on == on
                && fault.node.as_deref().is_none_or(|name| name == node)
                && expression.is_match(pod)
        })?;
        fault.times = fault.times.saturating_sub(1);
        let error = fault.error.clone();
        orders.retain(|(fault, _)| fault.times > 0);
        Some(error)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, regex::Regex)>> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_where_and_as_often_as_ordered() {
        let faults = Faults::default();
        let order: Fault = serde_json::from_value(serde_json::json!({
            "node": "b", "pod": "^default/worker-", "on": "restore", "error": "e", "times": 2,
        }))
        .expect("is an order");
        faults.order(order).expect("is an expression");
        assert_eq!(faults.take("a", "default/worker-0", Point::Restore), None);
        assert_eq!(faults.take("b", "x/default/worker-0", Point::Restore), None);
        assert_eq!(faults.take("b", "default/worker-0", Point::Start), None);
        for _ in 0..2 {
            let found = faults.take("b", "default/worker-0", Point::Restore);
            assert_eq!(found.as_deref(), Some("e"));
        }
        assert_eq!(faults.take("b", "default/worker-0", Point::Restore), None);
        assert!(faults.open().is_empty());
    }
}
