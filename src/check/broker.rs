//! The broker itself, and what it lets the user do. What hangs on one queue is among a plan's
//! findings.

use super::Check;
use crate::broker::BrokerUrl;
use crate::explain;
use crate::migration::error::Error;
use crate::migration::ports::{BrokerView, PortResult};

/// Whether the broker answers, and whether its management API does. `tunnel` is the Service that it
/// is reached by, where it is reached through the API server.
#[must_use]
pub fn at_hand(broker: Result<&BrokerView, &Error>, tunnel: Option<&str>) -> Vec<Check> {
    const ANSWERS: &str = "it answers";
    let by = tunnel.map_or_else(String::new, |it| format!(", by port-forward to {it}"));
    const TELLS: &str = "its management API tells bindings and unacknowledged messages";
    match broker {
        Err(error) => vec![
            Check::refused(format!("{ANSWERS}{by}"), error),
            Check::skipped(TELLS, "the broker does not answer"),
        ],
        Ok(view) => vec![
            Check::pass(format!("{ANSWERS} ({}){by}", view.product)),
            match &view.management {
                None => Check::pass(TELLS),
                Some(why) => Check::warn(TELLS, why.clone())
                    .because(
                        "bindings are taken as given, and a queue counts as quiet after a time (--settle) only",
                    )
                    .hint("rabbitmq-plugins enable rabbitmq_management, on the broker; then say where it is with --management-url"),
            },
        ],
    }
}

/// Whether the user may do what a migration takes: what the broker has refused, in its own words.
#[must_use]
pub fn refusals(url: &BrokerUrl, refused: Option<&PortResult<Vec<String>>>) -> Check {
    let user = url.user();
    let name = format!("user {user} may make, bind and use the replay queues");
    match refused {
        None => Check::skipped(name, "the broker does not answer"),
        Some(Err(error)) => Check::skipped(name, error.to_string()),
        Some(Ok(refused)) if refused.is_empty() => Check::pass(name),
        Some(Ok(refused)) => Check {
            code: Some(&explain::BROKER_DENIES),
            meaning: refused.clone(),
            ..Check::new(super::Outcome::Fail, name)
        }
        .hint(format!(
            "rabbitmqctl set_permissions -p '{}' '{user}' '.*' '.*' '.*'",
            url.vhost()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    #[test]
    fn a_refusal_is_told_in_the_broker_s_words_and_without_the_password() {
        let url = BrokerUrl::parse("amqp://jane:hunter2@mq/v").expect("a URL");
        let words = "ACCESS_REFUSED - configure access to queue 'q' refused".to_owned();
        let check = refusals(&url, Some(&Ok(vec![words.clone()])));
        assert_eq!(check.outcome, Outcome::Fail);
        assert_eq!(check.meaning, [words]);
        assert_eq!(
            check.remedies,
            ["rabbitmqctl set_permissions -p 'v' 'jane' '.*' '.*' '.*'"]
        );
        assert_eq!(refusals(&url, None).outcome, Outcome::Skipped);
        assert!(!format!("{check:?}").contains("hunter2"));
    }
}
