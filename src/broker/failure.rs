//! What the broker refuses, as the engine's errors.

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use crate::migration::error::PortError;

/// What RabbitMQ answers with 404 for a queue that is there, but whose process or node is not at
/// the moment. Taken for an answer about a missing queue it would make a full one look empty.
const NOT_NOW: [&str; 4] = [
    "due to timeout",
    "down or inaccessible",
    "crashed",
    "is stopped",
];

/// Whether the broker has ended the channel or the connection with a refusal of this kind.
pub(super) fn is_refusal(error: &Error, kind: &AMQPErrorKind) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(answer) if answer.kind() == kind)
}

/// An AMQP failure as the engine's. The broker's words name queues, hosts and users, never
/// passwords.
pub(super) fn port_error(error: &Error) -> PortError {
    let ErrorKind::ProtocolError(answer) = error.kind() else {
        return PortError::Unreachable(format!("the connection to the broker failed: {error}"));
    };
    let words = answer.get_message().to_string();
    match answer.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
            if NOT_NOW.iter().any(|hint| words.contains(hint)) =>
        {
            PortError::Busy(words)
        }
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => PortError::NotFound(words),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => PortError::Denied(words),
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => PortError::Busy(words),
        AMQPErrorKind::Hard(
            AMQPHardError::CONNECTIONFORCED
            | AMQPHardError::INTERNALERROR
            | AMQPHardError::RESOURCEERROR,
        ) => PortError::Unreachable(words),
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => PortError::Invalid(words),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn answer(words: &str) -> PortError {
        let kind = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
        let error = AMQPError::new(kind, words.into());
        port_error(&ErrorKind::ProtocolError(error).into())
    }

    #[test]
    fn a_queue_that_does_not_answer_is_not_a_queue_that_is_gone() {
        let gone = answer("NOT_FOUND - no queue 'orders' in vhost '/'");
        assert!(matches!(gone, PortError::NotFound(_)), "{gone:?}");
        for words in [
            "NOT_FOUND - failed to perform operation on queue 'orders' in vhost '/' due to timeout",
            "NOT_FOUND - home node 'rabbit@b' of durable queue 'orders' in vhost '/' is down or inaccessible",
            "NOT_FOUND - queue 'orders' in vhost '/' has crashed and failed to restart",
            "NOT_FOUND - queue 'orders' in vhost '/' process is stopped by supervisor",
        ] {
            assert!(answer(words).is_transient(), "{words}");
        }
    }
}
