//! The broker's URL, from the variables of a container's environment.

use super::{Found, Unclear};
use crate::broker::BrokerUrl;
use crate::cluster::Variable;

/// What the names of variables for one broker's parts begin with, where there is no URL. Only names
/// that say what they are about: a HOST alone may be anybody's.
const ABOUT: [&str; 6] = ["RABBITMQ", "RABBIT", "AMQP", "BROKER", "MQ", "MESSAGING"];

const HOST: [&str; 3] = ["HOST", "HOSTNAME", "ADDRESS"];
const PORT: [&str; 2] = ["PORT", "AMQP_PORT"];
const USER: [&str; 4] = ["USER", "USERNAME", "USER_NAME", "DEFAULT_USER"];
const PASSWORD: [&str; 4] = ["PASSWORD", "PASS", "PASSWD", "DEFAULT_PASS"];
const VHOST: [&str; 3] = ["VHOST", "VIRTUAL_HOST", "DEFAULT_VHOST"];

/// The broker that the variables name: by a URL, or else by a host with what belongs to it. A URL
/// without credentials gets those that stand beside it.
///
/// # Errors
/// No variable names one, or they name several.
pub fn broker(variables: &[Variable]) -> Result<Found<BrokerUrl>, Unclear> {
    let urls = variables.iter().filter_map(|variable| {
        let url = BrokerUrl::parse(&variable.value).ok()?;
        let url = if url.has_credentials() {
            url
        } else {
            match credentials(variables) {
                Some((user, password)) => url.with_credentials(user, password),
                None => url,
            }
        };
        Some(Found {
            value: url,
            place: format!("variable {} ({})", variable.name, variable.place),
        })
    });
    match only(urls.collect()) {
        Err(Unclear::Nothing) => only(sets(variables)),
        decided => decided,
    }
}

/// The brokers that are named in parts.
fn sets(variables: &[Variable]) -> Vec<Found<BrokerUrl>> {
    let names = variables.iter().filter_map(|variable| {
        let prefix = prefix(&variable.name, &HOST)?;
        let part = |names: &[&str]| {
            let mut names = names.iter().map(|name| format!("{prefix}_{name}"));
            names.find_map(|name| of(variables, &name))
        };
        // A port that is an address is one that Kubernetes itself has set for a Service.
        let port = part(&PORT).and_then(|it| it.value.parse::<u16>().ok());
        let host = match port {
            Some(port) => format!("{}:{port}", variable.value),
            None => variable.value.clone(),
        };
        let vhost = part(&VHOST).map_or("/", |it| it.value.as_str());
        let vhost =
            percent_encoding::utf8_percent_encode(vhost, percent_encoding::NON_ALPHANUMERIC);
        let url = BrokerUrl::parse(&format!("amqp://{host}/{vhost}")).ok()?;
        let value = match (part(&USER), part(&PASSWORD)) {
            (Some(user), Some(password)) => url.with_credentials(&user.value, &password.value),
            _ => url,
        };
        let place = format!(
            "variables {} and what belongs to it ({})",
            variable.name, variable.place
        );
        Some(Found { value, place })
    });
    names.collect()
}

/// User and password, where there is one pair of them.
fn credentials(variables: &[Variable]) -> Option<(&str, &str)> {
    let mut pairs = variables.iter().filter_map(|user| {
        let prefix = prefix(&user.name, &USER)?;
        let mut names = PASSWORD.iter().map(|name| format!("{prefix}_{name}"));
        let password = names.find_map(|name| of(variables, &name))?;
        Some((user.value.as_str(), password.value.as_str()))
    });
    let pair = pairs.next()?;
    pairs.all(|other| other == pair).then_some(pair)
}

/// `SPRING_RABBITMQ` of `SPRING_RABBITMQ_HOST`, if it is about a broker.
fn prefix<'a>(name: &'a str, ends: &[&str]) -> Option<&'a str> {
    let last = |prefix: &str, about: &str| {
        let before = prefix.strip_suffix(about);
        before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    ends.iter()
        .filter_map(|end| name.strip_suffix(end)?.strip_suffix('_'))
        .find(|prefix| ABOUT.iter().any(|about| last(prefix, about)))
}

fn of<'a>(variables: &'a [Variable], name: &str) -> Option<&'a Variable> {
    let mut all = variables.iter();
    all.find(|it| it.name == name && !it.value.is_empty())
}

/// The one broker that all name. The same URL in two variables is one.
fn only(all: Vec<Found<BrokerUrl>>) -> Result<Found<BrokerUrl>, Unclear> {
    let mut found: Vec<Found<BrokerUrl>> = Vec::new();
    for one in all {
        if !found.iter().any(|other| other.value == one.value) {
            found.push(one);
        }
    }
    match found.len() {
        0 => Err(Unclear::Nothing),
        1 => Ok(found.remove(0)),
        _ => Err(Unclear::Several(
            found
                .iter()
                .map(|it| format!("{} in {}", it.value, it.place))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<Variable> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| Variable {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
                place: "the pod's spec".to_owned(),
            })
            .collect()
    }

    fn exposed(pairs: &[(&str, &str)]) -> Result<String, Unclear> {
        broker(&variables(pairs)).map(|found| found.value.expose().to_owned())
    }

    #[test]
    fn a_url_is_a_broker_whatever_the_variable_is_called() {
        let pairs = [
            ("DATABASE_URL", "postgres://u:p@db/x"),
            ("WHERE", "amqps://u:hunter2@mq/v"),
            ("OTHER", "mq"),
            ("ALSO", "amqps://u:hunter2@mq/v"),
        ];
        let found = broker(&variables(&pairs)).expect("there is one");
        assert_eq!(found.value.expose(), "amqps://u:hunter2@mq/v");
        assert_eq!(found.place, "variable WHERE (the pod's spec)");
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_without_credentials_gets_those_beside_it() {
        let pairs = [
            ("AMQP_URL", "amqp://rabbit.messaging.svc"),
            ("RABBITMQ_USERNAME", "jane"),
            ("RABBITMQ_PASSWORD", "p@ss"),
        ];
        let url = exposed(&pairs).expect("there is one");
        assert_eq!(url, "amqp://jane:p%40ss@rabbit.messaging.svc");
        let two = [&pairs[..], &[("BROKER_USER", "joe"), ("BROKER_PASS", "x")]].concat();
        assert_eq!(
            exposed(&two).as_deref(),
            Ok("amqp://rabbit.messaging.svc"),
            "whose they are is not known"
        );
    }

    #[test]
    fn a_host_is_a_broker_where_its_name_says_so() {
        for (pairs, url) in [
            (
                &[
                    ("SPRING_RABBITMQ_HOST", "rabbit"),
                    ("SPRING_RABBITMQ_PORT", "5673"),
                    ("SPRING_RABBITMQ_USERNAME", "jane"),
                    ("SPRING_RABBITMQ_PASSWORD", "s/ecret"),
                    ("SPRING_RABBITMQ_VIRTUAL_HOST", "a/b"),
                ][..],
                "amqp://jane:s%2Fecret@rabbit:5673/a%2Fb",
            ),
            (
                &[
                    ("MQ_HOST", "rabbit.messaging"),
                    ("MQ_PORT", "tcp://10.0.0.1:5672"),
                ][..],
                "amqp://rabbit.messaging/%2F",
            ),
            (
                &[
                    ("RABBITMQ_HOST", "mq"),
                    ("RABBITMQ_DEFAULT_USER", "jane"),
                    ("RABBITMQ_DEFAULT_PASS", "x"),
                ][..],
                "amqp://jane:x@mq/%2F",
            ),
        ] {
            assert_eq!(exposed(pairs).as_deref(), Ok(url), "{pairs:?}");
        }
        for pairs in [
            &[("HOST", "rabbit"), ("DB_HOST", "db"), ("SMTPMQ_HOST", "x")][..],
            &[("RABBITMQ_HOST", "")][..],
            &[],
        ] {
            assert_eq!(exposed(pairs), Err(Unclear::Nothing), "{pairs:?}");
        }
    }

    #[test]
    fn of_two_neither_is_taken_and_both_are_told_without_passwords() {
        let pairs = [
            ("IN", "amqp://u:hunter2@one/"),
            ("OUT", "amqp://u:hunter2@two/"),
        ];
        let Err(Unclear::Several(choices)) = exposed(&pairs) else {
            panic!("nobody can say");
        };
        assert_eq!(
            choices,
            [
                "amqp://one/ in variable IN (the pod's spec)",
                "amqp://two/ in variable OUT (the pod's spec)"
            ]
        );
    }
}
