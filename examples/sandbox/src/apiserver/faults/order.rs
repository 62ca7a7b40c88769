//! A fault as `POST /sandbox/faults` takes it.

use std::time::Duration;

use serde::Deserialize;

use super::{Failure, Fault, FaultAction, FaultMatch};

/// The body of the request.
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
    #[serde(default)]
    after: bool,
}

fn once() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActionOrder {
    status: Option<u16>,
    message: Option<String>,
    retry_after: Option<u32>,
    delay_ms: Option<u64>,
    #[serde(default)]
    cut: bool,
}

impl TryFrom<FaultOrder> for Fault {
    type Error = String;

    fn try_from(order: FaultOrder) -> Result<Self, String> {
        if order.times == 0 {
            return Err("times must be at least 1".to_owned());
        }
        Ok(Self {
            matches: order.matches,
            skip: order.skip,
            times: order.times,
            action: order.action.try_into()?,
            after: order.after,
        })
    }
}

impl TryFrom<ActionOrder> for FaultAction {
    type Error = &'static str;

    fn try_from(order: ActionOrder) -> Result<Self, &'static str> {
        let worded = order.message.is_some() || order.retry_after.is_some();
        match (order.status, order.delay_ms, order.cut) {
            (Some(status @ 200..=599), None, false) => Ok(Self::Status(Failure {
                status,
                message: order.message.unwrap_or_else(|| "ordered fault".to_owned()),
                retry_after: order.retry_after,
            })),
            (None, Some(ms), false) if !worded => Ok(Self::Delay(Duration::from_millis(ms))),
            (None, None, true) if !worded => Ok(Self::Cut),
            _ => Err(
                "an action is one of: status (200 to 599) with message and retryAfter, delayMs, cut: true",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclear_orders_are_refused() {
        for text in [
            r#"{"action":{}}"#,
            r#"{"action":{"cut":true,"delayMs":1}}"#,
            r#"{"action":{"cut":true,"retryAfter":1}}"#,
            r#"{"action":{"status":99}}"#,
            r#"{"action":{"status":500},"times":0}"#,
        ] {
            let order: FaultOrder = serde_json::from_str(text).expect("readable");
            assert!(Fault::try_from(order).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<FaultOrder>(r#"{"action":{"cut":true},"typo":1}"#).is_err());
    }
}
