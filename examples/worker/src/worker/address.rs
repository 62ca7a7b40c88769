//! Connecting from the pod's own address, by which the broker knows whose connection it is.
//!
//! In a pod of a real cluster that is the only one there is. The sandbox's pods share the machine's
//! addresses, so it has to be asked for, as when listening.

use std::io;
use std::net::IpAddr;

use async_compat::Compat;
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::Broken;

/// Connects to the broker at `url` from `own`, which is unspecified where the pod's is not known.
pub(super) async fn connect(
    url: &str,
    properties: ConnectionProperties,
    own: IpAddr,
) -> Result<Connection, Broken> {
    let malformed = |words| Broken::from(lapin::Error::from(io::Error::other(words)));
    let uri: AMQPUri = url.parse().map_err(malformed)?;
    let runtime = lapin::runtime::default_runtime()?;
    let connect = async move |uri: AMQPUri, _| {
        let authority = &uri.authority;
        let stream = stream(&authority.host, authority.port, own).await?;
        let stream = AsyncTcpStream::Plain(Compat::new(stream));
        Ok(match uri.scheme {
            AMQPScheme::AMQP => stream,
            AMQPScheme::AMQPS => {
                let config = OwnedTLSConfig::default();
                stream.into_tls(&authority.host, config.as_ref()).await?
            }
        })
    };
    Ok(Connection::connector(uri, runtime, connect, properties).await?)
}

/// The first address of `host` that answers.
async fn stream(host: &str, port: u16, own: IpAddr) -> io::Result<TcpStream> {
    let mut last = io::Error::other(format!("{host} has no address"));
    for address in lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // As lapin's own connections. Without it an acknowledgement waits in the kernel until the broker has
        // something to send: under load until the next message, and 40 ms after the last one.
        socket.set_nodelay(true)?;
        if !own.is_unspecified() && own.is_ipv4() == address.is_ipv4() {
            socket.bind((own, 0).into())?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
