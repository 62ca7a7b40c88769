//! The two kinds of message a worker meets: numbered ones from producers, orders from `ms2m`.
//! How they are delivered is no matter of this file.

use serde::{Deserialize, Serialize};

/// A numbered message of one publisher, as JSON in the body of an AMQP message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who published it. Order is kept per publisher.
    pub publisher: String,
    /// Its number: 1, 2, 3 … for each publisher.
    pub seq: u64,
    /// When it was published, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<jiff::Timestamp>,
}

/// Name of the queue over which a pod gets its orders.
pub fn control_queue(pod: &str) -> String {
    format!("ms2m.control.{pod}")
}

/// What a message on the control queue asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Consume from this queue instead of the primary.
    StartReplay {
        /// The queue to consume.
        queue: String,
    },
    /// Go back to the primary queue.
    EndReplay,
    /// Nothing that this worker knows. The contract has such messages ignored, so that new
    /// types may be added.
    Unknown(String),
}

impl Order {
    /// Reads an order. Everything that is none comes out as [`Order::Unknown`]: a message
    /// that is not understood must not stop the ones behind it.
    pub fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            payload: serde_json::Value,
        }
        let Ok(Envelope { kind, payload }) = serde_json::from_slice(body) else {
            return Self::Unknown("a message that is no JSON object with a type".to_owned());
        };
        let queue = payload.get("queue").and_then(serde_json::Value::as_str);
        match (kind.as_str(), queue) {
            ("START_REPLAY", Some(queue)) if !queue.is_empty() => Self::StartReplay {
                queue: queue.to_owned(),
            },
            ("START_REPLAY", _) => Self::Unknown("START_REPLAY without payload.queue".to_owned()),
            ("END_REPLAY", _) => Self::EndReplay,
            _ => Self::Unknown(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tests of what counts as an order.

    use super::*;

    #[test]
    fn unknown_types_and_fields_are_ignored() {
        let start = br#"{"type":"START_REPLAY","v":2,"payload":{"queue":"q.r","new":[1]}}"#;
        assert_eq!(
            Order::read(start),
            Order::StartReplay {
                queue: "q.r".to_owned()
            }
        );
        assert_eq!(Order::read(br#"{"type":"END_REPLAY"}"#), Order::EndReplay);
        assert_eq!(
            Order::read(br#"{"type":"END_REPLAY","payload":null}"#),
            Order::EndReplay
        );
        assert_eq!(
            Order::read(br#"{"type":"PAUSE"}"#),
            Order::Unknown("PAUSE".to_owned())
        );
        for nonsense in [
            &b"\xff"[..],
            b"[]",
            b"{}",
            br#"{"type":"START_REPLAY","payload":{}}"#,
        ] {
            assert!(matches!(Order::read(nonsense), Order::Unknown(_)));
        }
    }

    #[test]
    fn a_message_needs_no_time() {
        let message: Message = serde_json::from_str(r#"{"publisher":"p0","seq":17,"x":1}"#)
            .expect("parses without a time and with more");
        assert_eq!((message.publisher.as_str(), message.seq), ("p0", 17));
    }
}
