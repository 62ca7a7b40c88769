//! The queue that a pod consumes, and the exchange that the queue is bound to.

use super::{Found, Unclear};
use crate::api::HandoffBinding;
use crate::migration::handoff::names::control_queue;

/// Where a queue's messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The exchange.
    pub exchange: String,
    /// The binding key.
    pub routing_key: String,
}

/// The one queue of those that the pod's connections consume. Its control queue is not meant.
///
/// # Errors
/// It consumes none, or several.
pub fn queue(consumed: &[String], addresses: &[String]) -> Result<Found<String>, Unclear> {
    let mut queues: Vec<&String> = consumed.iter().collect();
    let control = control_queue("");
    queues.retain(|queue| !queue.starts_with(&control));
    queues.sort();
    queues.dedup();
    match queues[..] {
        [] => Err(Unclear::Nothing),
        [queue] => Ok(Found {
            value: queue.clone(),
            place: format!("the broker's consumers (from {})", addresses.join(", ")),
        }),
        _ => Err(Unclear::Several(queues.into_iter().cloned().collect())),
    }
}

/// The one binding of the queue; of `exchange` alone where that is known.
///
/// # Errors
/// There is none, or more than one.
pub fn binding(
    queue: &str,
    bindings: &[HandoffBinding],
    exchange: Option<&str>,
) -> Result<Found<Bound>, Unclear> {
    let of_exchange = |it: &&HandoffBinding| exchange.is_none_or(|name| it.exchange == name);
    let bounds: Vec<Bound> = bindings
        .iter()
        .filter(of_exchange)
        .map(|it| Bound {
            exchange: it.exchange.clone(),
            routing_key: it.routing_key.clone(),
        })
        .collect();
    match &bounds[..] {
        [] => Err(Unclear::Nothing),
        [bound] => Ok(Found {
            value: bound.clone(),
            place: format!("the broker's bindings of queue {queue}"),
        }),
        _ => Err(Unclear::Several(
            bounds
                .iter()
                .map(|it| format!("exchange {} by key '{}'", it.exchange, it.routing_key))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(consumed: &[&str]) -> Result<String, Unclear> {
        let consumed: Vec<String> = consumed.iter().map(|it| (*it).to_owned()).collect();
        let found = queue(&consumed, &["10.0.0.7".to_owned()])?;
        Ok(format!("{} in {}", found.value, found.place))
    }

    #[test]
    fn the_queue_is_the_one_besides_the_control_queue() {
        assert_eq!(
            of(&["ms2m.control.worker-0", "orders", "orders"]).as_deref(),
            Ok("orders in the broker's consumers (from 10.0.0.7)")
        );
        assert_eq!(of(&["ms2m.control.worker-0"]), Err(Unclear::Nothing));
        assert_eq!(
            of(&["orders", "bills"]),
            Err(Unclear::Several(vec![
                "bills".to_owned(),
                "orders".to_owned()
            ]))
        );
    }

    #[test]
    fn the_exchange_is_that_of_the_only_binding() {
        let bind = |exchange: &str, key: &str| HandoffBinding {
            exchange: exchange.to_owned(),
            routing_key: key.to_owned(),
            arguments: std::collections::BTreeMap::new(),
        };
        let two = [bind("events", "orders.new"), bind("bills", "")];
        assert_eq!(binding("q", &[], None), Err(Unclear::Nothing));
        let Err(Unclear::Several(choices)) = binding("q", &two, None) else {
            panic!("nobody can say");
        };
        assert_eq!(choices[0], "exchange events by key 'orders.new'");
        let one = binding("q", &two, Some("events")).expect("there is one");
        assert_eq!(one.value.routing_key, "orders.new");
        assert_eq!(binding("q", &two[..1], None), Ok(one));
        assert_eq!(binding("q", &two, Some("other")), Err(Unclear::Nothing));
    }
}
