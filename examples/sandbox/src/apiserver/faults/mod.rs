//! Faults on order: which requests fail, and how. Carrying them out is the observing layer's.

mod matching;
mod order;
mod streams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use matching::FaultMatch;
pub(crate) use matching::{Asked, Matcher};
pub(crate) use order::FaultOrder;
pub(crate) use streams::{Cut, Streams};

/// An answer that says that something failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status code.
    pub status: u16,
    /// The message of the `Status` object.
    pub message: String,
    /// Seconds for the header `Retry-After`, as a server that is too busy gives them.
    pub retry_after: Option<u32>,
}

/// What happens to a request that a fault is for.
#[derive(Debug, Clone)]
pub enum FaultAction {
    /// It is answered with an error.
    Status(Failure),
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
    /// Whether that happens to the answer, once the request has been carried out, and not to
    /// the request, which is then not carried out at all or later.
    pub after: bool,
}

/// What is to happen to one request.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) action: FaultAction,
    pub(crate) after: bool,
}

#[derive(Debug)]
struct Ordered {
    id: u64,
    fault: Fault,
    matcher: Matcher,
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
        let matcher = Matcher::new(fault.matches.clone())?;
        let mut orders = self.lock();
        orders.last += 1;
        let id = orders.last;
        orders.ordered.push(Ordered { id, fault, matcher });
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
    pub(crate) fn take(&self, asked: &Asked) -> Option<Hit> {
        let mut orders = self.lock();
        let mut hit = None;
        for (at, ordered) in orders.ordered.iter_mut().enumerate() {
            if !ordered.matcher.is_for(asked) {
                continue;
            }
            if ordered.fault.skip > 0 {
                ordered.fault.skip -= 1;
                continue;
            }
            ordered.fault.times = ordered.fault.times.saturating_sub(1);
            let (action, after) = (ordered.fault.action.clone(), ordered.fault.after);
            hit = Some((at, ordered.fault.times == 0, Hit { action, after }));
            break;
        }
        let (at, spent, hit) = hit?;
        if spent {
            orders.ordered.remove(at);
        }
        Some(hit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let hits = |verb: &str| {
            let asked = Asked::example(verb, "/api/v1/namespaces/n/pods");
            faults.take(&asked).is_some()
        };
        assert_eq!(
            [hits("create"), hits("create"), hits("get"), hits("create")],
            [false, true, false, true]
        );
        assert!(!hits("create"), "it is spent");
        assert_eq!(faults.pending(), 0);
    }

    #[test]
    fn a_fault_says_whether_it_comes_after_the_work() {
        let faults = Faults::default();
        for text in [
            r#"{"action":{"cut":true}}"#,
            r#"{"after":true,"action":{"cut":true}}"#,
        ] {
            faults.order(order(text)).expect("no path");
        }
        let asked = Asked::example("get", "/x");
        let next = || faults.take(&asked).map(|hit| hit.after);
        assert_eq!([next(), next(), next()], [Some(false), Some(true), None]);
    }
}
