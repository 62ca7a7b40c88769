//! What the gate's parts are called, and what the application is told through which queue.

use serde::Serialize;

/// The names around one primary queue. They follow from the queue's name alone, so that a second
/// migration on the same queue meets the first one's gate and is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The primary queue, Q.
    pub queue: String,
    /// Replay queue of the target, R.
    pub replay: String,
    /// Replay queue of the source, H.
    pub hold: String,
    /// The exchange that is bound to Q while the gate is open.
    pub gate: String,
    /// The gate's alternate exchange, bound to R and H.
    pub fanout: String,
    /// The exchange over which a roll-back moves messages from H to Q, if it has to.
    pub put_back: String,
}

impl Names {
    /// The names around `queue`.
    #[must_use]
    pub fn of(queue: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            replay: format!("{queue}.ms2m-replay"),
            hold: format!("{queue}.ms2m-source"),
            gate: format!("{queue}.ms2m-gate"),
            fanout: format!("{queue}.ms2m-fanout"),
            put_back: format!("{queue}.ms2m-return"),
        }
    }
}

/// The control queue of a pod: the application in it listens there.
#[must_use]
pub fn control_queue(pod: &str) -> String {
    format!("ms2m.control.{pod}")
}

/// A control message as it goes over the wire.
#[derive(Debug, Serialize)]
pub struct ControlMessage<'a> {
    /// `START_REPLAY`, `END_REPLAY`, or a word that is ignored.
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Payload<'a>,
}

#[derive(Debug, Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
}

impl<'a> ControlMessage<'a> {
    /// Nothing that an application knows. Whether it is taken shows whether somebody listens.
    #[must_use]
    pub fn ping() -> Self {
        Self {
            kind: "PING",
            payload: Payload { queue: None },
        }
    }

    /// Consume from `queue` instead of the primary one.
    #[must_use]
    pub fn start_replay(queue: &'a str) -> Self {
        let payload = Payload { queue: Some(queue) };
        Self {
            kind: "START_REPLAY",
            payload,
        }
    }

    /// Go back to the primary queue.
    #[must_use]
    pub fn end_replay() -> Self {
        Self {
            kind: "END_REPLAY",
            payload: Payload { queue: None },
        }
    }

    /// The message's body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a control message serialises")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_what_existing_applications_parse() {
        assert_eq!(
            String::from_utf8(ControlMessage::start_replay("orders.ms2m-replay").body())
                .expect("UTF-8"),
            r#"{"type":"START_REPLAY","payload":{"queue":"orders.ms2m-replay"}}"#
        );
        assert_eq!(
            String::from_utf8(ControlMessage::end_replay().body()).expect("UTF-8"),
            r#"{"type":"END_REPLAY","payload":{}}"#
        );
    }
}
