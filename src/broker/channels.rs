//! One connection, and channels that are used again as long as they live.
//!
//! A broker answers a refusal (no such queue, not empty) by closing the channel, so a channel
//! that has seen an error is dropped. A connection that has died is made anew by the next call;
//! whether that call is repeated is the engine's decision.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;

use super::failure::port_error;
use super::route::{Detour, Route};
use super::url::BrokerUrl;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long a connection attempt may take: a host that drops packets never answers.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer on an open channel may take.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Pool {
    connection: Option<Connection>,
    idle: Vec<Channel>,
}

/// A connection on demand and its idle channels.
pub(super) struct Channels {
    url: BrokerUrl,
    pub(super) route: Option<Arc<dyn Route>>,
    pool: Mutex<Pool>,
    /// Connections that were made so far.
    made: AtomicU64,
}

impl Channels {
    pub(super) fn new(url: BrokerUrl) -> Self {
        Self {
            url,
            route: None,
            pool: Mutex::new(Pool::default()),
            made: AtomicU64::new(0),
        }
    }

    /// How many connections were made so far.
    pub(super) fn connections(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Runs `work` on a channel in confirm mode. On success the channel is kept for the next one.
    ///
    /// # Errors
    /// Outside: no channel could be had, or no answer came in time. Inside: what the broker
    /// answered to `work`.
    pub(super) async fn on_channel<T>(
        &self,
        work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> PortResult<lapin::Result<T>> {
        let channel = self.take().await?;
        match tokio::time::timeout(ANSWER, work(&channel)).await {
            Ok(Ok(value)) => {
                self.pool.lock().await.idle.push(channel);
                Ok(Ok(value))
            }
            Ok(Err(error)) => Ok(Err(error)),
            Err(_) => {
                self.forget().await;
                Err(silence())
            }
        }
    }

    /// Gives the connection up: nothing else can be expected of it.
    pub(super) async fn forget(&self) {
        *self.pool.lock().await = Pool::default();
    }

    async fn take(&self) -> PortResult<Channel> {
        {
            let mut pool = self.pool.lock().await;
            while let Some(channel) = pool.idle.pop() {
                if channel.status().connected() {
                    return Ok(channel);
                }
            }
        }
        self.make(confirming).await
    }

    /// A channel of its own, in no mode at all. Nobody else gets it.
    pub(super) async fn plain(&self) -> PortResult<Channel> {
        self.make(Connection::create_channel).await
    }

    async fn make(
        &self,
        make: impl AsyncFnOnce(&Connection) -> lapin::Result<Channel>,
    ) -> PortResult<Channel> {
        let mut pool = self.pool.lock().await;
        if !pool
            .connection
            .as_ref()
            .is_some_and(|connection| connection.status().connected())
        {
            pool.connection = Some(self.connect().await?);
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        let connection = pool
            .connection
            .as_ref()
            .expect("it was just made or found connected");
        match tokio::time::timeout(ANSWER, make(connection)).await {
            Ok(channel) => channel.map_err(|error| port_error(&error)),
            Err(_) => {
                *pool = Pool::default();
                Err(silence())
            }
        }
    }

    async fn connect(&self) -> PortResult<Connection> {
        let (host, port) = (self.url.host(), self.url.port());
        let named = format!("{host}:{port}");
        let detour = match &self.route {
            Some(route) => route.detour(host, port).await,
            None => Ok(None),
        };
        let detour = detour.map_err(|error| refused(&named, error))?;
        let address = match &detour {
            Some(detour) => format!("{named} (by {})", detour.words),
            None => named,
        };
        let connecting = self.open(detour.as_ref().map(|it| it.address));
        match tokio::time::timeout(CONNECT, Box::pin(connecting)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(refused(&address, cause(port_error(&error), detour))),
            Err(_) => Err(PortError::Unreachable(format!(
                "the broker at {address} has not answered within {} s",
                CONNECT.as_secs()
            ))),
        }
    }

    async fn open(&self, address: Option<SocketAddr>) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name("ms2m".into());
        let uri = self.url.uri();
        let Some(address) = address else {
            return Connection::connect_uri(uri, properties).await;
        };
        let runtime = lapin::runtime::default_runtime()?;
        let connect = async move |uri: AMQPUri, runtime| {
            let stream = AsyncTcpStream::connect(&runtime, address).await?;
            Ok(match uri.scheme {
                AMQPScheme::AMQP => stream,
                // The certificate has to bear the broker's name, whichever way the bytes go.
                AMQPScheme::AMQPS => {
                    let config = OwnedTLSConfig::default();
                    let host = &uri.authority.host;
                    stream.into_tls(host, config.as_ref()).await?
                }
            })
        };
        Connection::connector(uri, runtime, connect, properties).await
    }
}

/// Why a connection came to nothing: by a detour, what happened there, where it is known.
fn cause(error: PortError, detour: Option<Detour>) -> PortError {
    let there = detour.and_then(|detour| detour.trouble.latest());
    there.unwrap_or(error)
}

/// A new channel in confirm mode.
async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    let confirm = channel.confirm_select(ConfirmSelectOptions::default());
    confirm.await?;
    Ok(channel)
}

/// Nothing has come within [`ANSWER`].
pub(super) fn silence() -> PortError {
    let seconds = ANSWER.as_secs();
    PortError::Unreachable(format!("the broker has not answered for {seconds} s"))
}

/// Says which broker it was. A login that is refused arrives as a refusal of the whole connection.
fn refused(address: &str, error: PortError) -> PortError {
    let words = format!("the broker at {address}: {error}");
    match error {
        PortError::Denied(_) | PortError::Invalid(_) | PortError::NotFound(_) => {
            PortError::Denied(words)
        }
        _ => PortError::Unreachable(words),
    }
}
