//! RabbitMQ's management API: what AMQP itself does not tell. It is only a help, so whoever asks
//! can do without the answer.
//!
//! This file is the client; each thing that is asked for has a file of its own.

mod bindings;
mod consumers;
mod limits;
mod rates;
mod totals;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

pub(super) use bindings::ToldBinding;
pub(super) use totals::Totals;

use super::route::{Detour, Route};
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
    pub(super) route: Option<Arc<dyn Route>>,
    /// The client that goes by a detour, once there was one.
    detoured: OnceLock<Client>,
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

/// The HTTP client of this process. Each one reads the machine's certificates anew, some 10 MiB of
/// memory, which a controller with fifty brokers to ask would feel.
fn client() -> PortResult<Client> {
    static ONE: OnceLock<Result<Client, String>> = OnceLock::new();
    let made = ONE.get_or_init(|| {
        let built = Client::builder().timeout(ANSWER).build();
        built.map_err(|error| format!("no HTTP client could be made: {error}"))
    });
    made.clone().map_err(PortError::Invalid)
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
        let client = client()?;
        let vhost = broker.vhost().to_owned();
        Ok(Self {
            base,
            user,
            password,
            vhost,
            client,
            route: None,
            detoured: OnceLock::new(),
        })
    }

    pub(super) async fn overview(&self) -> PortResult<Overview> {
        self.get(&["api", "overview"], &[]).await
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
        let (status, body) = self.sent(&url, query).await?;
        self.check(status)?;
        serde_json::from_slice(&body).map_err(|error| {
            PortError::Invalid(format!(
                "{} does not speak as a management API: {error}",
                self.base
            ))
        })
    }

    /// The answer to a GET. A server may close a connection that was kept open just when it is
    /// used again (RFC 9112, section 9.3.1): a request that only reads is then sent once more.
    async fn sent(&self, url: &Url, query: &[(&str, &str)]) -> PortResult<(StatusCode, Vec<u8>)> {
        let detour = self.detour().await?;
        let (client, url) = match &detour {
            Some(detour) => self.by(detour, url)?,
            None => (&self.client, url.clone()),
        };
        let attempt = async || {
            let request = client.get(url.clone()).query(query);
            let request = request.basic_auth(&self.user, Some(&self.password));
            let response = request.send().await?;
            let status = response.status();
            response.bytes().await.map(|body| (status, body.into()))
        };
        let answer = match attempt().await {
            Err(error) if !error.is_timeout() && !error.is_connect() => attempt().await,
            answer => answer,
        };
        answer.map_err(|error| {
            let there = detour.and_then(|detour| detour.trouble.latest());
            there.unwrap_or_else(|| self.unreachable(error))
        })
    }

    async fn detour(&self) -> PortResult<Option<Detour>> {
        let (Some(route), Some(host)) = (&self.route, self.base.host_str()) else {
            return Ok(None);
        };
        let port = self.base.port_or_known_default().unwrap_or_default();
        route.detour(host, port).await
    }

    /// The same request by a detour. The host keeps its name, which a certificate has to bear; the
    /// port has to be in the URL, since a client that is told an address takes no port from it.
    fn by(&self, detour: &Detour, url: &Url) -> PortResult<(&Client, Url)> {
        let unmade = || PortError::Invalid(format!("no request can be sent by {}", detour.words));
        let mut url = url.clone();
        url.set_port(Some(detour.address.port()))
            .map_err(|()| unmade())?;
        if self.detoured.get().is_none() {
            let host = url.host_str().ok_or_else(unmade)?;
            let address = SocketAddr::from((detour.address.ip(), 0));
            // A proxy would look for the detour on its own machine.
            let made = Client::builder().timeout(ANSWER).no_proxy();
            let made = made.resolve(host, address).build();
            let made = made.map_err(|_| unmade())?;
            // Somebody else may have been quicker: either is good.
            let _ = self.detoured.set(made);
        }
        self.detoured
            .get()
            .map(|client| (client, url))
            .ok_or_else(unmade)
    }

    fn check(&self, status: StatusCode) -> PortResult<()> {
        let base = &self.base;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PortError::Denied(format!(
                "{base} refuses user {}: it needs the tag `management`",
                self.user
            ))),
            StatusCode::NOT_FOUND => Err(PortError::NotFound(format!("{base} answers 404"))),
            status => Err(PortError::Busy(format!("{base} answers {status}"))),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> PortError {
        if error.is_timeout() {
            return PortError::Unreachable(format!("{} does not answer in time", self.base));
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        PortError::Unreachable(format!("{} cannot be reached: {cause}", self.base))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

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

    /// Answers the first request of the first connection, and closes it when it is used again.
    #[tokio::test]
    async fn a_connection_that_closes_when_it_is_used_again_is_no_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = async {
            for requests in [2, 1] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                for request in 0..requests {
                    let mut asked = Vec::new();
                    while !asked.ends_with(b"\r\n\r\n") {
                        asked.push(stream.read_u8().await.expect("a request"));
                    }
                    if request == 0 {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer).await.expect("it takes the answer");
                    }
                }
            }
        };
        let broker = BrokerUrl::parse("amqp://u:p@broker").expect("a broker URL");
        let given = Url::parse(&format!("http://{address}/")).expect("a URL");
        let management = Management::new(&broker, Some(&given)).expect("a client");
        let asks = async {
            management.overview().await.expect("the first answer");
            management.overview().await.expect("asked once more");
        };
        tokio::join!(answers, asks);
    }

    #[tokio::test]
    async fn it_says_why_nothing_was_reached() {
        let broker = BrokerUrl::parse("amqp://u:s3cret@broker").expect("a broker URL");
        let given = Url::parse("http://127.0.0.1:1/").expect("a URL");
        let management = Management::new(&broker, Some(&given)).expect("a client");
        let error = management.overview().await.expect_err("nobody listens");
        let words = error.to_string();
        assert!(words.contains("Connection refused"), "{words}");
        assert!(!words.contains("s3cret"), "{words}");
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
