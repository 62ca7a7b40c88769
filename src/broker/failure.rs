//! What the broker refuses, as the engine's errors.

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use crate::migration::error::PortError;

/// The code of a channel's end that the broker gave as its answer, if `error` is one.
pub(super) fn soft_error(error: &Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(answer) => match answer.kind() {
            AMQPErrorKind::Soft(code) => Some(code.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// An AMQP failure as the engine's. The broker's words name queues, hosts and users, never
/// passwords.
pub(super) fn port_error(error: &Error) -> PortError {
    let ErrorKind::ProtocolError(answer) = error.kind() else {
        return PortError::Unreachable(format!("the connection to the broker failed: {error}"));
    };
    let words = answer.get_message().to_string();
    match answer.kind() {
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
