//! What the client library reports → [`PortError`], in the other side's own words.
//!
//! Decides what counts as worth another try; does not try again itself (see [`super::retry`]).

use std::error::Error as StdError;
use std::fmt::Display;

use kube::core::Status;

use crate::migration::error::PortError;

/// The error of a request that was meant to do `what`, as `read pod web-0`.
pub(crate) fn port_error(what: impl Display, error: &kube::Error) -> PortError {
    match error {
        kube::Error::Api(status) => status_error(what, status),
        kube::Error::Auth(cause) => PortError::Denied(format!(
            "cannot {what}: no credentials for the API server: {}",
            chain(cause)
        )),
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::UpgradeConnection(_) => PortError::Unreachable(format!(
            "cannot {what}: the API server cannot be reached: {}",
            source_chain(error)
        )),
        other => PortError::Invalid(format!("cannot {what}: {}", chain(other))),
    }
}

/// The error of a request that the API server answered with a `Status`.
pub(super) fn status_error(what: impl Display, status: &Status) -> PortError {
    let words = if status.message.is_empty() {
        format!("HTTP {} {}", status.code, status.reason)
    } else {
        status.message.clone()
    };
    let text = format!("cannot {what}: {words}");
    match status.code {
        401 | 403 => PortError::Denied(text),
        404 => PortError::NotFound(text),
        409 => PortError::Conflict(text),
        408 | 429 | 500.. => PortError::Busy(text),
        _ => PortError::Invalid(text),
    }
}

/// Whether the object of a `create` was there already.
pub(super) fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// The error and all its causes, each once: client libraries often repeat the cause in the text
/// of what it caused.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// As [`chain`], without the outermost words, which name only the library's type.
fn source_chain(error: &kube::Error) -> String {
    error.source().map_or_else(|| error.to_string(), chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, reason: &str, message: &str) -> PortError {
        let status = Status::failure(message, reason).with_code(code);
        port_error("read pod web-0", &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_status_keeps_its_words_and_gets_a_kind() {
        let denied = answered(403, "Forbidden", "pods \"web-0\" is forbidden");
        assert!(matches!(&denied, PortError::Denied(words)
            if words == "cannot read pod web-0: pods \"web-0\" is forbidden"));
        assert!(matches!(
            answered(404, "NotFound", "x"),
            PortError::NotFound(_)
        ));
        assert!(matches!(
            answered(409, "AlreadyExists", "x"),
            PortError::Conflict(_)
        ));
        assert!(matches!(
            answered(422, "Invalid", "x"),
            PortError::Invalid(_)
        ));
        for code in [429, 500, 502, 503, 504] {
            assert!(matches!(answered(code, "", "x"), PortError::Busy(_)));
        }
    }

    #[test]
    fn a_status_without_a_message_still_says_something() {
        let PortError::Busy(words) = answered(503, "ServiceUnavailable", "") else {
            panic!("503 is worth another try");
        };
        assert_eq!(words, "cannot read pod web-0: HTTP 503 ServiceUnavailable");
    }
}
