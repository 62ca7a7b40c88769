//! RabbitMQ's management API: what AMQP itself does not tell.
//!
//! Asked with `disable_stats=true&enable_queue_totals=true` it is exact at once for classic
//! queues, and 5 s late otherwise and for quorum queues (measured on RabbitMQ 4.3), so for any
//! other type the unacknowledged messages count as unknown.

mod bindings;
mod consumers;

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

pub(super) use bindings::ToldBinding;

use super::url::BrokerUrl;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long an answer may take. It is asked while the source waits, and it is only a help.
const ANSWER: Duration = Duration::from_secs(3);

/// A client of the management API.
pub(super) struct Management {
    base: Url,
    user: String,
    password: String,
    vhost: String,
    client: Client,
}

/// Broker product and version.
#[derive(Debug, Deserialize)]
pub(super) struct Overview {
    #[serde(default)]
    product_name: Option<String>,
    #[serde(default)]
    product_version: Option<String>,
    #[serde(default)]
    rabbitmq_version: Option<String>,
}

impl Overview {
    pub(super) fn product(&self) -> String {
        let name = self.product_name.as_deref().unwrap_or("RabbitMQ");
        let version = self
            .product_version
            .as_deref()
            .or(self.rabbitmq_version.as_deref());
        format!("{name} {}", version.unwrap_or_default())
            .trim_end()
            .to_owned()
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Totals>,
}

/// The queue, as far as it is told.
#[derive(Debug, Deserialize)]
struct Totals {
    name: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    messages_unacknowledged: Option<u64>,
}

impl Management {
    /// The management API of the broker at `broker`: at `given`, or on the same host at the port
    /// that RabbitMQ gives it.
    pub(super) fn new(broker: &BrokerUrl, given: Option<&Url>) -> PortResult<Self> {
        let mut base = match given {
            Some(url) => url.clone(),
            None => default_url(broker)?,
        };
        let (user, password) = match (base.username(), base.password()) {
            ("", _) => (broker.user(), broker.password()),
            (user, password) => (decoded(user), decoded(password.unwrap_or_default())),
        };
        // The credentials go into a header, so that no error can show them.
        let cleared = base.set_username("").and_then(|()| base.set_password(None));
        if cleared.is_err() || base.cannot_be_a_base() {
            return Err(PortError::Invalid(
                "the management URL looks like http://HOST:15672".to_owned(),
            ));
        }
        let client = Client::builder().timeout(ANSWER).build().map_err(|error| {
            PortError::Invalid(format!("no HTTP client could be made: {error}"))
        })?;
        let vhost = broker.vhost().to_owned();
        Ok(Self {
            base,
            user,
            password,
            vhost,
            client,
        })
    }

    pub(super) async fn overview(&self) -> PortResult<Overview> {
        self.get(&["api", "overview"], &[]).await
    }

    /// Which of `names` are there, and how many unacknowledged messages each has, where that is
    /// exact.
    pub(super) async fn unacknowledged(
        &self,
        names: &[&str],
    ) -> PortResult<HashMap<String, Option<u64>>> {
        let pattern = format!(
            "^({})$",
            names
                .iter()
                .map(|name| escaped(name))
                .collect::<Vec<_>>()
                .join("|")
        );
        let query = [
            ("page", "1"),
            ("page_size", "100"),
            ("use_regex", "true"),
            ("name", &pattern),
            ("disable_stats", "true"),
            ("enable_queue_totals", "true"),
        ];
        let page: Page = self.get(&["api", "queues", &self.vhost], &query).await?;
        Ok(page
            .items
            .into_iter()
            .map(|queue| (queue.name.clone(), queue.exact()))
            .collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> PortResult<T> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| {
                PortError::Invalid("the management URL is no address of a server".to_owned())
            })?
            .pop_if_empty()
            .extend(path);
        let request = self
            .client
            .get(url)
            .query(query)
            .basic_auth(&self.user, Some(&self.password));
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let response = self.checked(response)?;
        response.json().await.map_err(|error| {
            PortError::Invalid(format!(
                "{} does not speak as a management API: {}",
                self.base,
                error.without_url()
            ))
        })
    }

    fn checked(&self, response: Response) -> PortResult<Response> {
        let base = &self.base;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PortError::Denied(format!(
                "{base} refuses user {}: it needs the tag `management`",
                self.user
            ))),
            StatusCode::NOT_FOUND => Err(PortError::NotFound(format!("{base} answers 404"))),
            status => Err(PortError::Busy(format!("{base} answers {status}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> PortError {
        let why = if error.is_timeout() {
            "does not answer in time"
        } else {
            "cannot be reached"
        };
        PortError::Unreachable(format!("{} {why}", self.base))
    }
}

impl Totals {
    fn exact(&self) -> Option<u64> {
        match self.kind.as_deref() {
            Some("classic") => self.messages_unacknowledged,
            _ => None,
        }
    }
}

fn default_url(broker: &BrokerUrl) -> PortResult<Url> {
    let (scheme, port) = if broker.is_tls() {
        ("https", 15671)
    } else {
        ("http", 15672)
    };
    let host = broker.host();
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    Url::parse(&format!("{scheme}://{bracketed}:{port}/")).map_err(|error| {
        PortError::Invalid(format!(
            "no management URL can be made for host {host}: {error}"
        ))
    })
}

/// Percent-decoding of a URL's user or password.
fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// `name` as a pattern that matches itself alone.
fn escaped(name: &str) -> String {
    name.chars().fold(String::new(), |mut pattern, character| {
        if !(character.is_alphanumeric() || matches!(character, '_' | '-' | '/' | ':')) {
            pattern.push('\\');
        }
        pattern.push(character);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_only_itself() {
        assert_eq!(escaped("orders.ms2m-replay"), "orders\\.ms2m-replay");
        assert_eq!(escaped("a(b)*"), "a\\(b\\)\\*");
    }

    #[test]
    fn the_default_address_follows_the_broker() {
        let url = |text: &str| {
            let broker = BrokerUrl::parse(text).expect("a broker URL");
            Management::new(&broker, None)
                .expect("a client")
                .base
                .to_string()
        };
        assert_eq!(url("amqp://u:p@broker"), "http://broker:15672/");
        assert_eq!(url("amqps://u:p@[::1]:5671/v"), "https://[::1]:15671/");
    }

    #[test]
    fn the_password_stays_out_of_the_address() {
        let broker = BrokerUrl::parse("amqp://u:p@broker").expect("a broker URL");
        let given = Url::parse("http://admin:s%40cret@broker:8080/base/").expect("a URL");
        let management = Management::new(&broker, Some(&given)).expect("a client");
        assert_eq!(management.base.as_str(), "http://broker:8080/base/");
        assert_eq!(
            (management.user.as_str(), management.password.as_str()),
            ("admin", "s@cret")
        );
    }
}
