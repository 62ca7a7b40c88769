//! The broker's URL, which holds a password more often than not.
//!
//! Parsing, redaction and nothing else: no connection is made here. A [`BrokerUrl`] shows neither
//! user nor password, whichever way it is printed, and no error of its parser quotes its input.

use std::fmt;
use std::str::FromStr;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use thiserror::Error;
use url::{Host, Url};

/// Address of an AMQP 0-9-1 broker with the credentials for it.
///
/// `Display`, `Debug` and [`BrokerUrl::public`] leave user and password out; only
/// [`BrokerUrl::expose`] and [`BrokerUrl::uri`] give them.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    url: Url,
    host: String,
    vhost: String,
    query: AMQPQueryString,
}

/// Why a text is not the URL of a broker. Quotes nothing that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokerUrlError {
    /// It is not a URL at all.
    #[error(
        "the broker URL is malformed ({0}); it looks like amqp://USER:PASSWORD@HOST:5672/VHOST"
    )]
    Malformed(String),
    /// It is a URL of something else.
    #[error("the broker URL must begin with amqp:// or amqps://{0}")]
    Scheme(String),
    /// There is no host in it.
    #[error("the broker URL has no host; it looks like amqp://USER:PASSWORD@HOST:5672/VHOST")]
    NoHost,
    /// A virtual host is one path segment.
    #[error("the virtual host in the broker URL holds a '/': write it as %2F")]
    NestedVhost,
    /// A part is not UTF-8 once its percent signs are resolved.
    #[error("the {0} in the broker URL is not UTF-8 after percent-decoding")]
    NotUtf8(&'static str),
    /// There is nothing to make of a fragment; more often than not it is a `#` in a password.
    #[error("the broker URL has a fragment: write a '#' in a password as %23")]
    Fragment,
    /// One of the parameters behind the `?` cannot be read.
    #[error("the broker URL's parameter {0} has a value that cannot be read")]
    Parameter(&'static str),
}

/// The parameters that the AMQP client reads, by the client's names. Anything else behind the `?`
/// never leaves this process.
const PARAMETERS: [&str; 5] = [
    "frame_max",
    "channel_max",
    "heartbeat",
    "connection_timeout",
    "auth_mechanism",
];

impl BrokerUrl {
    /// Reads `amqp://[USER[:PASSWORD]@]HOST[:PORT][/VHOST][?PARAMETERS]`.
    ///
    /// The virtual host is percent-decoded; a missing or empty one is `/`, which RabbitMQ calls
    /// its default.
    ///
    /// # Errors
    /// Says what is wrong without quoting the input, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, BrokerUrlError> {
        let url = Url::parse(text.trim()).map_err(|error| malformed(text, &error))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(BrokerUrlError::Scheme(other_scheme(&url)));
        }
        if url.fragment().is_some() {
            return Err(BrokerUrlError::Fragment);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => decode(name, "host")?,
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        if host.is_empty() {
            return Err(BrokerUrlError::NoHost);
        }
        let vhost = vhost(&url)?;
        decode(url.username(), "user name")?;
        decode(url.password().unwrap_or_default(), "password")?;
        let query = query(&url)?;
        Ok(Self {
            url,
            host,
            vhost,
            query,
        })
    }

    /// The URL as it was given, password and all: for connecting and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.as_str()
    }

    /// The same broker with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        // Neither can fail on a URL with a host; both encode what has to be.
        let _ = self.url.set_username(user);
        let _ = self.url.set_password(Some(password));
        self
    }

    /// The same with frames of at most so many bytes, unless the URL says otherwise.
    #[must_use]
    pub fn with_frames_of(mut self, bytes: u32) -> Self {
        self.query.frame_max.get_or_insert(bytes);
        self
    }

    /// The same for the AMQP client, with the password. It is built here because the client's own
    /// parser takes every IPv6 host for `localhost`.
    #[must_use]
    pub fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: if self.is_tls() {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user(),
                    password: self.password(),
                },
                host: self.host.clone(),
                port: self.port(),
            },
            vhost: self.vhost.clone(),
            query: self.query.clone(),
        }
    }

    /// The URL without user, password and unknown parameters: fit for a resource, an event or a
    /// screen.
    #[must_use]
    pub fn public(&self) -> String {
        let mut url = self.url.clone();
        // Neither can fail on a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let known: Vec<(String, String)> = self
            .url
            .query_pairs()
            .filter(|(key, _)| PARAMETERS.contains(&key.as_ref()))
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !known.is_empty() {
            url.query_pairs_mut().extend_pairs(known);
        }
        url.into()
    }

    /// Whether the connection is to be encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "amqps"
    }

    /// Whether a password is given.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.url.password().is_some()
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port; 5672, or 5671 with TLS, if none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url
            .port()
            .unwrap_or(if self.is_tls() { 5671 } else { 5672 })
    }

    /// The virtual host, decoded.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// The user, decoded; `guest` if none is given.
    #[must_use]
    pub fn user(&self) -> String {
        match self.url.username() {
            "" => "guest".to_owned(),
            user => decode(user, "user name").expect("parsing has decoded it once"),
        }
    }

    /// The password, decoded; `guest` if none is given. A secret.
    #[must_use]
    pub fn password(&self) -> String {
        match self.url.password() {
            None => "guest".to_owned(),
            Some(password) => decode(password, "password").expect("parsing has decoded it once"),
        }
    }

    /// Whether the URL holds a user or a password of its own.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({})", self.public())
    }
}

/// The parser's words, which never quote their input; and the remedy where the usual slip is known.
fn malformed(text: &str, error: &url::ParseError) -> BrokerUrlError {
    if !text.contains("://") {
        return BrokerUrlError::Scheme(String::new());
    }
    match error {
        url::ParseError::EmptyHost => BrokerUrlError::NoHost,
        url::ParseError::InvalidPort => BrokerUrlError::Malformed(
            "invalid port number; write '/', '@' and ':' in a password as %2F, %40 and %3A"
                .to_owned(),
        ),
        other => BrokerUrlError::Malformed(other.to_string()),
    }
}

/// Names another scheme. What stands before a lone `:` may be anything, a secret included, so
/// only what is followed by `//` is repeated.
fn other_scheme(url: &Url) -> String {
    if url.cannot_be_a_base() {
        String::new()
    } else {
        format!(", not with {}://", url.scheme())
    }
}

fn vhost(url: &Url) -> Result<String, BrokerUrlError> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if path.contains('/') {
        return Err(BrokerUrlError::NestedVhost);
    }
    let vhost = decode(path, "virtual host")?;
    Ok(if vhost.is_empty() {
        "/".to_owned()
    } else {
        vhost
    })
}

fn query(url: &Url) -> Result<AMQPQueryString, BrokerUrlError> {
    Ok(AMQPQueryString {
        frame_max: parameter(url, PARAMETERS[0])?,
        channel_max: parameter(url, PARAMETERS[1])?,
        heartbeat: parameter(url, PARAMETERS[2])?,
        connection_timeout: parameter(url, PARAMETERS[3])?,
        auth_mechanism: parameter(url, PARAMETERS[4])?,
    })
}

fn parameter<T: FromStr>(url: &Url, name: &'static str) -> Result<Option<T>, BrokerUrlError> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.parse())
        .transpose()
        .map_err(|_| BrokerUrlError::Parameter(name))
}

/// Resolves the percent signs of one part of a URL.
fn decode(part: &str, what: &'static str) -> Result<String, BrokerUrlError> {
    percent_encoding::percent_decode_str(part)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| BrokerUrlError::NotUtf8(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 3] = ["hunter2", "p%40ss%2Fw%C3%B6rd", "p@ss/wörd"];

    fn parse(text: &str) -> BrokerUrl {
        BrokerUrl::parse(text).expect("the test's URL is right")
    }

    #[test]
    fn all_parts_are_read_and_decoded() {
        let url =
            parse("amqps://or%64ers:p%40ss%2Fw%C3%B6rd@mq.example.com:5999/a%2Fb?heartbeat=7");
        assert!(url.is_tls());
        assert_eq!(url.host(), "mq.example.com");
        assert_eq!(url.port(), 5999);
        assert_eq!(url.vhost(), "a/b");
        assert_eq!(url.user(), "orders");
        assert_eq!(url.password(), "p@ss/wörd");
        let uri = url.uri();
        assert_eq!(uri.vhost, "a/b");
        assert_eq!(uri.authority.userinfo.password, "p@ss/wörd");
        assert_eq!(uri.query.heartbeat, Some(7));
    }

    #[test]
    fn what_is_missing_has_the_defaults_of_rabbitmq() {
        for (text, port) in [("amqp://mq", 5672), ("amqps://mq/", 5671)] {
            let url = parse(text);
            assert_eq!((url.port(), url.vhost()), (port, "/"));
            assert_eq!(
                (url.user().as_str(), url.password().as_str()),
                ("guest", "guest")
            );
            assert!(!url.has_credentials());
        }
    }

    #[test]
    fn an_ipv6_host_keeps_its_address() {
        let url = parse("amqp://u:p@[2001:db8::7]:5672/%2F");
        assert_eq!(url.uri().authority.host, "2001:db8::7");
        assert_eq!(url.public(), "amqp://[2001:db8::7]:5672/%2F");
    }

    #[test]
    fn no_way_of_printing_shows_user_or_password() {
        for secret in ["hunter2", "p%40ss%2Fw%C3%B6rd"] {
            let url = parse(&format!(
                "amqp://orders:{secret}@mq:5672/v?heartbeat=5&password={secret}"
            ));
            for shown in [
                format!("{url}"),
                format!("{url:?}"),
                format!("{url:#?}"),
                url.public(),
            ] {
                assert!(shown.contains("amqp://mq:5672/v?heartbeat=5"), "{shown}");
                assert!(!shown.contains("orders"), "{shown}");
                for secret in SECRETS {
                    assert!(!shown.contains(secret), "{shown}");
                }
            }
            assert!(url.expose().contains(secret));
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, words) in [
            (
                "http://mq",
                "must begin with amqp:// or amqps://, not with http://",
            ),
            ("mq.example.com:5672", "must begin with amqp:// or amqps://"),
            ("mq", "must begin with amqp:// or amqps://"),
            ("amqp://", "no host"),
            ("amqp:///vhost", "no host"),
            ("amqp://u:p@:5672", "no host"),
            ("amqp://mq:port", "invalid port"),
            ("amqp://mq/a/b", "write it as %2F"),
            (
                "amqp://mq/%ff",
                "virtual host in the broker URL is not UTF-8",
            ),
            ("amqp://u:p#w@mq", "malformed"),
            ("amqp://u:p@mq/v#x", "fragment"),
            ("amqp://mq?heartbeat=often", "parameter heartbeat"),
        ] {
            let error = BrokerUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn errors_never_quote_the_password() {
        for text in [
            "http://u:hunter2@mq",
            "hunter2",
            "u:hunter2@mq",
            "hunter2:x@mq",
            "amqp:hunter2@mq",
            "amqp://u:hunter2/x@mq",
            "amqp://u:hunter2@",
            "amqp://u:hunter2@mq:port",
            "amqp://u:hunter2@mq/a/b",
            "amqp://u:hunter2%ff@mq",
            "amqp://u:hunter2#@mq",
            "amqp://u:p@mq?heartbeat=hunter2",
        ] {
            let error = BrokerUrl::parse(text).expect_err(text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }
}
