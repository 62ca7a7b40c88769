//! Reference worker and producer of the consumer contract, and the audit that proves a
//! migration exact.
//!
//! What it is not: a part of `ms2m`. The engine knows none of it and moves any application
//! that keeps the contract; this one exists to show how little that takes, and to be audited.
//!
//! - [`message`]: what producers publish and what comes over a control queue.
//! - [`state`]: what a worker remembers of every message that it applied.
//! - [`worker`]: the application itself: consumes, applies, acknowledges, obeys its control
//!   queue, shows its state.
//! - [`producer`]: publishes numbered messages with confirms, and records what was confirmed.
//! - [`audit`]: compares the record with the state of the worker that survived.
//! - [`snapshot`]: how a process without CRIU leaves an image of its memory, both ends of it.

pub mod audit;
pub mod message;
pub mod producer;
pub mod snapshot;
pub mod state;
pub mod worker;

/// Parses a duration as people write it: `10ms`, `0s`, `1m 30s`.
///
/// # Errors
/// When it is none, or negative.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration: jiff::SignedDuration = text
        .parse()
        .map_err(|_| format!("'{text}' is no duration such as 500ms or 30s"))?;
    duration
        .try_into()
        .map_err(|_| format!("'{text}' is negative"))
}

/// Where an AMQP URL leads, host and port alone: fit for logs and errors. A part of a password
/// that was written wrongly may turn up in any other part of a URL.
pub fn broker_address(url: &str) -> String {
    match url.parse::<lapin::uri::AMQPUri>() {
        Ok(uri) => format!("{}:{}", uri.authority.host, uri.authority.port),
        Err(_) => "a malformed AMQP URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the two helpers.

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("0ms", 0),
            ("10ms", 10),
            ("30s", 30_000),
            ("1m 30s", 90_000),
        ] {
            assert_eq!(
                parse_duration(text).map(|read| read.as_millis()),
                Ok(millis)
            );
        }
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("10").is_err());
    }

    #[test]
    fn no_credential_is_in_an_address() {
        let address = broker_address("amqp://user:secret@broker:5673/%2fvhost");
        assert_eq!(address, "broker:5673");
        assert!(!broker_address("amqp:/user:secret@").contains("secret"));
    }
}
