//! Forwarding ports of a pod over a WebSocket (`v4.channel.k8s.io`, what kube speaks). The
//! SPDY of kubectl is not spoken.
//!
//! Each port has two channels, data and errors; the first byte of a message names its channel,
//! and the first message on each channel is its port number, little-endian.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::IntoResponse;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, Response, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::errors::{ApiError, ApiResult};
use super::faults::Asked;
use super::handlers::Call;
use super::meta;

const PROTOCOL: &str = "v4.channel.k8s.io";

/// Upgrades and forwards until either side closes.
///
/// # Errors
/// 400 if it is no WebSocket of that protocol, 404 without the pod.
pub(crate) async fn handle(call: &Call, mut parts: Parts) -> ApiResult<Response<Body>> {
    let pod = call.existing()?;
    let ports = ports(call)?;
    let address = meta::text(&pod, "/status/podIP")
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "unable to forward port because pod is not running. Current status={}",
                meta::text(&pod, "/status/phase").unwrap_or("Pending")
            ))
        })?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| ApiError::bad_request(format!("unable to upgrade: {error}")))?;
    let stop = call.server.stop.clone();
    let target = parts.uri.path_and_query();
    let (cut, entry) = call.server.streams.enter(Asked {
        info: call.info.clone(),
        target: target.map_or_else(String::new, ToString::to_string),
        user: call.user.name.clone(),
        agent: agent(&parts.headers),
    });
    let response = upgrade
        .protocols([PROTOCOL])
        .on_upgrade(move |socket| async move {
            let _entry = entry;
            let run = cut.run_until_cancelled_owned(run(socket, address, ports));
            // The connection is out of the listener's hands, so it has to hear of the end by itself.
            let _ = stop.run_until_cancelled_owned(run).await;
        });
    Ok(response.into_response())
}

fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    agent.unwrap_or_default().to_owned()
}

/// The ports asked for, as `ports=1,2` or `ports=1&ports=2`.
fn ports(call: &Call) -> ApiResult<Vec<u16>> {
    let text = call
        .query
        .get("ports")
        .ok_or_else(|| ApiError::bad_request("query parameter \"ports\" is required"))?;
    text.split(',')
        .map(|port| {
            port.parse()
                .map_err(|_| ApiError::bad_request(format!("unable to parse {port:?} as a port")))
        })
        .collect()
}

async fn run(socket: WebSocket, address: String, ports: Vec<u16>) {
    let (mut sink, stream) = socket.split();
    let (outgoing, mut messages) = mpsc::channel::<Bytes>(64);
    for (at, port) in ports.iter().enumerate() {
        for channel in [at * 2, at * 2 + 1] {
            if send(&mut sink, frame(channel, &port.to_le_bytes()))
                .await
                .is_err()
            {
                return;
            }
        }
    }
    // The tasks end with this function, whatever the pods' side does.
    let mut tasks = Vec::new();
    let mut writers = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let (writer, incoming) = mpsc::channel(64);
        let connection = connect(address.clone(), *port, at * 2, incoming, outgoing.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(connection)));
        writers.push(writer);
    }
    drop(outgoing);
    let receive = receive(stream, writers);
    let transmit = async {
        while let Some(message) = messages.recv().await {
            if send(&mut sink, message).await.is_err() {
                return;
            }
        }
        // Nothing more can come from any port.
        let _ = sink.close().await;
    };
    tokio::select! {
        () = receive => {}
        () = transmit => {}
    }
}

fn frame(channel: usize, data: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(u8::try_from(channel).unwrap_or(u8::MAX));
    bytes.put_slice(data);
    bytes.freeze()
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, message: Bytes) -> Result<(), axum::Error> {
    sink.send(Message::Binary(message)).await
}

async fn receive(mut stream: SplitStream<WebSocket>, writers: Vec<mpsc::Sender<Bytes>>) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(mut data) if !data.is_empty() => {
                let channel = usize::from(data[0]);
                let data = data.split_off(1);
                if let Some(writer) = writers
                    .get(channel / 2)
                    .filter(|_| channel.is_multiple_of(2))
                {
                    // A port whose connection has ended takes nothing more; the others go on.
                    let _ = writer.send(data).await;
                }
            }
            Message::Close(_) => return,
            _ => {}
        }
    }
}

/// One connection into the pod: what comes from `incoming` goes there, what comes back goes to
/// `outgoing`.
async fn connect(
    address: String,
    port: u16,
    channel: usize,
    mut incoming: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) {
    let stream = match TcpStream::connect((address.as_str(), port)).await {
        Ok(stream) => stream,
        Err(error) => {
            let words = format!("error forwarding port {port}: {error}");
            // Nobody listens any more if this fails.
            let _ = outgoing.send(frame(channel + 1, words.as_bytes())).await;
            return;
        }
    };
    let (mut reader, mut writer) = stream.into_split();
    let read = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if outgoing
                .send(frame(channel, &buffer[..count]))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let write = async {
        while let Some(data) = incoming.recv().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        // The client is done; what the pod still has to say is read on.
        let _ = writer.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
