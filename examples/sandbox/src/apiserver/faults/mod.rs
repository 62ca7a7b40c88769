//! Faults on order: which requests fail, and how.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::request::RequestInfo;

/// Which requests a fault is for; what is left out matches all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultMatch {
    /// An RBAC verb, or `connect` for the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// A regular expression that finds something in the path, with or without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What happens to a request that a fault is for.
#[derive(Debug, Clone)]
pub enum FaultAction {
    /// It is answered with this status and a `Status` object, and does nothing.
    Status {
        /// The HTTP status code.
        status: u16,
        /// The message of the `Status`.
        message: String,
    },
    /// It is handled this much later.
    Delay(Duration),
    /// Its connection is closed: before anything is done, or for a watch in mid-stream.
    Cut,
}

/// One fault on order.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which requests it is for.
    pub matches: FaultMatch,
    /// How many such requests are let through first.
    pub skip: u64,
    /// How many requests it then hits.
    pub times: u64,
    /// What it does to them.
    pub action: FaultAction,
}

#[derive(Debug)]
struct Ordered {
    id: u64,
    fault: Fault,
    path: Option<Regex>,
}

#[derive(Debug, Default)]
struct Orders {
    last: u64,
    ordered: Vec<Ordered>,
}

/// The faults on order; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    orders: Arc<Mutex<Orders>>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders a fault and returns its number.
    ///
    /// # Errors
    /// If the path is no regular expression.
    pub fn order(&self, fault: Fault) -> Result<u64, regex::Error> {
        let path = fault.matches.path.as_deref().map(Regex::new).transpose()?;
        let mut orders = self.lock();
        orders.last += 1;
        let id = orders.last;
        orders.ordered.push(Ordered { id, fault, path });
        Ok(id)
    }

    /// Takes a fault back; false if it is not there (any more).
    pub fn cancel(&self, id: u64) -> bool {
        let mut orders = self.lock();
        let before = orders.ordered.len();
        orders.ordered.retain(|ordered| ordered.id != id);
        orders.ordered.len() < before
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.lock().ordered.clear();
    }

    /// How many hits are still to come.
    pub fn pending(&self) -> u64 {
        self.lock()
            .ordered
            .iter()
            .map(|ordered| ordered.fault.times)
            .sum()
    }

    /// What is to happen to this request, if anything; counts it. The oldest order wins.
    pub(crate) fn take(&self, info: &RequestInfo, target: &str, user: &str) -> Option<FaultAction> {
        let mut orders = self.lock();
        let mut hit = None;
        for (at, ordered) in orders.ordered.iter_mut().enumerate() {
            if !ordered.is_for(info, target, user) {
                continue;
            }
            if ordered.fault.skip > 0 {
                ordered.fault.skip -= 1;
                continue;
            }
            ordered.fault.times = ordered.fault.times.saturating_sub(1);
            hit = Some((at, ordered.fault.times == 0, ordered.fault.action.clone()));
            break;
        }
        let (at, spent, action) = hit?;
        if spent {
            orders.ordered.remove(at);
        }
        Some(action)
    }
}

impl Ordered {
    fn is_for(&self, info: &RequestInfo, target: &str, user: &str) -> bool {
        let wanted = &self.fault.matches;
        let verb = wanted.verb.as_deref().is_none_or(|verb| {
            verb == info.verb
                || (verb == "connect" && info.connects())
                || (verb == "delete" && info.verb == "deletecollection")
        });
        verb && wanted.user.as_deref().is_none_or(|wanted| wanted == user)
            && self
                .path
                .as_ref()
                .is_none_or(|path| path.is_match(&info.path) || path.is_match(target))
    }
}

/// A fault as `POST /sandbox/faults` takes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FaultOrder {
    #[serde(rename = "match", default)]
    matches: FaultMatch,
    #[serde(default)]
    skip: u64,
    #[serde(default = "once")]
    times: u64,
    action: ActionOrder,
}

fn once() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActionOrder {
    status: Option<u16>,
    message: Option<String>,
    delay_ms: Option<u64>,
    #[serde(default)]
    cut: bool,
}

impl TryFrom<FaultOrder> for Fault {
    type Error = String;

    fn try_from(order: FaultOrder) -> Result<Self, String> {
        let action = match (order.action.status, order.action.delay_ms, order.action.cut) {
            (Some(status @ 200..=599), None, false) => FaultAction::Status {
                status,
                message: order
                    .action
                    .message
                    .unwrap_or_else(|| "ordered fault".to_owned()),
            },
            (None, Some(ms), false) => FaultAction::Delay(Duration::from_millis(ms)),
            (None, None, true) => FaultAction::Cut,
            _ => {
                return Err(
                    "an action is one of: status (200 to 599) with message, delayMs, cut: true"
                        .to_owned(),
                );
            }
        };
        if order.times == 0 {
            return Err("times must be at least 1".to_owned());
        }
        Ok(Self {
            matches: order.matches,
            skip: order.skip,
            times: order.times,
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(verb: &str, path: &str, subresource: &str) -> RequestInfo {
        RequestInfo {
            verb: verb.into(),
            path: path.into(),
            subresource: subresource.into(),
            ..RequestInfo::default()
        }
    }

    fn order(text: &str) -> Fault {
        let order: FaultOrder = serde_json::from_str(text).expect("readable");
        order.try_into().expect("makes sense")
    }

    #[test]
    fn a_fault_skips_hits_and_is_spent() {
        let faults = Faults::default();
        let fault = order(
            r#"{"match":{"verb":"create","path":"/pods$"},"skip":1,"times":2,"action":{"status":500,"message":"x"}}"#,
        );
        faults.order(fault).expect("a regular expression");
        let create = info("create", "/api/v1/namespaces/n/pods", "");
        let hits = |user: &str| {
            faults
                .take(&create, "/api/v1/namespaces/n/pods?x=1", user)
                .is_some()
        };
        assert_eq!(
            [hits("a"), hits("a"), hits("b"), hits("a")],
            [false, true, true, false]
        );
        assert!(
            faults
                .take(&info("get", "/api/v1/namespaces/n/pods", ""), "", "a")
                .is_none()
        );
    }

    #[test]
    fn connect_is_any_proxy() {
        let faults = Faults::default();
        faults
            .order(order(
                r#"{"match":{"verb":"connect"},"action":{"cut":true}}"#,
            ))
            .expect("no path");
        assert!(
            faults
                .take(&info("get", "/x", "status"), "/x", "a")
                .is_none()
        );
        assert!(
            faults
                .take(&info("create", "/x", "proxy"), "/x", "a")
                .is_some()
        );
        assert_eq!(faults.pending(), 0);
    }

    #[test]
    fn unclear_orders_are_refused() {
        for text in [
            r#"{"action":{}}"#,
            r#"{"action":{"cut":true,"delayMs":1}}"#,
            r#"{"action":{"status":99}}"#,
        ] {
            let order: FaultOrder = serde_json::from_str(text).expect("readable");
            assert!(Fault::try_from(order).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<FaultOrder>(r#"{"action":{"cut":true},"typo":1}"#).is_err());
    }
}
