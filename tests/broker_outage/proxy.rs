//! A TCP proxy before the broker that can lose answers, fall silent, and cut connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ms2m::broker::BrokerUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::World;

/// What it does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes them on.
    Pass,
    /// Passes on what the client says, and keeps the answers to itself.
    LoseAnswers,
    /// Passes on nothing, and keeps the connections open.
    Silent,
}

/// The proxy; it ends with the test.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Ends the connections that are open.
    cut: Arc<Mutex<CancellationToken>>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let broker = BrokerUrl::parse(&World::get().places.broker_url).expect("a URL");
        let behind = (broker.host().to_owned(), broker.port());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (mode, modes) = watch::channel(Mode::Pass);
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let current = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&behind).await else {
                    continue;
                };
                let token = current.lock().expect("nobody panics with it").clone();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let passes = |mode| mode != Mode::Silent;
                tokio::spawn(pass(
                    from_client,
                    to_server,
                    modes.clone(),
                    token.clone(),
                    passes,
                ));
                let passes = |mode| mode == Mode::Pass;
                tokio::spawn(pass(from_server, to_client, modes.clone(), token, passes));
            }
        });
        Self { address, mode, cut }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends all connections; new ones are as good as any.
    pub(crate) fn cut(&self) {
        let mut current = self.cut.lock().expect("nobody panics with it");
        std::mem::take(&mut *current).cancel();
    }
}

/// Passes bytes on while the mode allows it; what comes otherwise is lost.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    modes: watch::Receiver<Mode>,
    cut: CancellationToken,
    passes: fn(Mode) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            () = cut.cancelled() => break,
            read = from.read(&mut buffer) => read,
        };
        let Ok(length @ 1..) = read else { break };
        let mode = *modes.borrow();
        if passes(mode) && to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}
