//! Another way to a broker whose own name leads nowhere from here.
//!
//! Only the address of the connection changes: login, virtual host, TLS and the name that a
//! certificate has to bear stay those of the URL. Who finds the way is outside of this adapter.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// Finds the way to a server.
#[async_trait]
pub trait Route: Send + Sync {
    /// Where connections to `host` at `port` go; `None` for straight there. Asked before each
    /// connection, so the second answer has to come at once.
    ///
    /// # Errors
    /// It is not known whether there is another way, or that one cannot be had.
    async fn detour(&self, host: &str, port: u16) -> PortResult<Option<Detour>>;
}

/// A way that goes by another address.
#[derive(Debug, Clone)]
pub struct Detour {
    /// Where to connect to.
    pub address: SocketAddr,
    /// What it is, as `a port-forward to Service messaging/rabbit`.
    pub words: String,
    /// What became of the latest connection.
    pub trouble: Trouble,
}

/// Why the latest connection by some way came to nothing, if it did: whoever made it sees it end
/// without a word.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<PortError>>>);

impl Trouble {
    /// Remembers what happened to a connection; nothing when it was made.
    pub fn note(&self, error: Option<PortError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// What happened to the latest one.
    #[must_use]
    pub fn latest(&self) -> Option<PortError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::JoinHandle;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::Acceptor;

    use super::*;
    use crate::broker::{AmqpBroker, BrokerUrl, Options};
    use crate::migration::ports::Broker as _;

    const HOST: &str = "rabbit.messaging.svc";

    struct To(SocketAddr);

    #[async_trait]
    impl Route for To {
        async fn detour(&self, host: &str, _: u16) -> PortResult<Option<Detour>> {
            assert_eq!(host, HOST);
            Ok(Some(Detour {
                address: self.0,
                words: "port-forward to a test".to_owned(),
                trouble: Trouble::default(),
            }))
        }
    }

    /// A server with a certificate of that name that nobody trusts. Answers with the name that the
    /// first client asks for, and whether the client has gone on with that certificate.
    fn server() -> (SocketAddr, JoinHandle<(Option<String>, bool)>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key);
        let config = Arc::new(config.expect("they belong together"));
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut acceptor = Acceptor::default();
            let accepted = loop {
                acceptor.read_tls(&mut stream).expect("it is read");
                if let Some(accepted) = acceptor.accept().expect("a hello") {
                    break accepted;
                }
            };
            let name = accepted.client_hello().server_name().map(str::to_owned);
            let mut connection = accepted.into_connection(config).expect("it fits");
            let trusted = connection.complete_io(&mut stream).is_ok();
            (name, trusted && !connection.is_handshaking())
        });
        (address, served)
    }

    fn broker(to: SocketAddr) -> AmqpBroker {
        // The clients find the process's own one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let route: Arc<dyn Route> = Arc::new(To(to));
        let url = BrokerUrl::parse(&format!("amqps://u:p@{HOST}")).expect("a URL");
        let management = None;
        AmqpBroker::new(&Options { url, management }).by(&route)
    }

    /// Encryption ends at the broker and nowhere on the way: its certificate has to bear the broker's
    /// name and to be trusted, as without a detour.
    #[tokio::test]
    async fn a_detour_leaves_the_certificate_s_name_as_it_was() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (address, served) = server();
        let error = broker(address).describe().await.expect_err("not trusted");
        let (name, trusted) = served.join().expect("the server does not panic");
        assert_eq!(name.as_deref(), Some(HOST));
        assert!(!trusted, "{error}");
        assert!(
            error.to_string().contains("port-forward to a test"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn nor_does_it_that_of_the_management_api() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (address, served) = server();
        let asked = broker(address).consumed_from(&[]).await;
        asked.expect_err("not trusted");
        let (name, trusted) = served.join().expect("the server does not panic");
        assert_eq!(name.as_deref(), Some(HOST));
        assert!(!trusted);
    }
}
