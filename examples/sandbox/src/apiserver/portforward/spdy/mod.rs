//! Forwarding as kubectl does it: SPDY/3.1, since 1.31 within a WebSocket
//! (`SPDY/3.1+portforward.k8s.io`, KEP-4006). Each connection has two streams, `error` and `data`, which
//! belong together by their `requestID`.

mod dictionary;
mod frames;

use std::collections::HashMap;
use std::io;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

use super::pod::{self, Said};
use frames::{Frame, Reader, Writer};

pub(super) const IN_WEB_SOCKET: &str = "SPDY/3.1+portforward.k8s.io";
pub(super) const UPGRADE: &str = "SPDY/3.1";
pub(super) const PROTOCOL: &str = "portforward.k8s.io";

/// The streams that are open.
struct Session {
    address: String,
    writer: Writer,
    /// The error streams, by the request that they belong to.
    errors: HashMap<String, u32>,
    /// The data streams with what goes to the pod.
    open: HashMap<u32, (mpsc::Sender<Bytes>, AbortOnDropHandle<()>)>,
    outgoing: mpsc::Sender<Bytes>,
}

/// Forwards in the messages of a WebSocket.
pub(super) async fn in_messages(socket: WebSocket, address: String) {
    let (mut sink, stream) = socket.split();
    let bytes = stream.map(|message| match message {
        Ok(Message::Binary(bytes)) => Some(bytes),
        Ok(Message::Close(_)) | Err(_) => None,
        // Pings are answered by themselves.
        Ok(_) => Some(Bytes::new()),
    });
    let (outgoing, mut frames) = mpsc::channel::<Bytes>(64);
    let transmit = async {
        while let Some(frame) = frames.recv().await {
            if sink.send(Message::Binary(frame)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = receive(bytes, outgoing, address) => {}
        () = transmit => {}
    }
}

/// Forwards on a connection of its own.
pub(super) async fn on_connection(upgrade: OnUpgrade, address: String) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let (reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
    let bytes = ReaderStream::new(reader).map(Result::ok);
    let (outgoing, mut frames) = mpsc::channel::<Bytes>(64);
    let transmit = async {
        while let Some(frame) = frames.recv().await {
            if writer.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = receive(bytes, outgoing, address) => {}
        () = transmit => {}
    }
}

/// Does what the client says until it goes, or says what is no SPDY.
async fn receive(
    mut stream: impl Stream<Item = Option<Bytes>> + Unpin,
    outgoing: mpsc::Sender<Bytes>,
    address: String,
) {
    let Ok(writer) = Writer::new() else {
        return;
    };
    let mut session = Session {
        address,
        writer,
        errors: HashMap::new(),
        open: HashMap::new(),
        outgoing,
    };
    let mut reader = Reader::new();
    while let Some(Some(bytes)) = stream.next().await {
        reader.push(&bytes);
        if let Err(error) = session.obey_all(&mut reader).await {
            tracing::debug!(%error, "a forwarded connection ends");
            return;
        }
    }
}

impl Session {
    async fn obey_all(&mut self, reader: &mut Reader) -> io::Result<()> {
        while let Some(frame) = reader.next()? {
            self.obey(frame).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Open { stream, headers } => {
                let reply = self.writer.reply(stream)?;
                self.send(reply).await;
                let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
                let request = of("requestid");
                if of("streamtype") == "error" {
                    self.errors.insert(request, stream);
                } else {
                    let error = self.errors.remove(&request);
                    self.connect(stream, error, &of("port"));
                }
            }
            Frame::Data { stream, data, last } => {
                if let Some((writer, _)) = self.open.get(&stream)
                    && !data.is_empty()
                {
                    // A connection that has ended takes nothing more.
                    let _ = writer.send(data).await;
                }
                if last && let Some((writer, _)) = self.open.get_mut(&stream) {
                    // The pod is told that nothing more comes, and may say on.
                    *writer = mpsc::channel(1).0;
                }
            }
            Frame::Reset { stream } => drop(self.open.remove(&stream)),
            Frame::Ping(number) => self.send(frames::pong(number)).await,
            Frame::Away | Frame::Other => {}
        }
        Ok(())
    }

    async fn send(&self, frame: Bytes) {
        // Whoever reads it is gone together with the session.
        let _ = self.outgoing.send(frame).await;
    }

    fn connect(&mut self, stream: u32, error: Option<u32>, port: &str) {
        let (writer, incoming) = mpsc::channel(64);
        let (address, outgoing) = (self.address.clone(), self.outgoing.clone());
        // No port of that name is no port that anybody listens on.
        let port = port.parse().unwrap_or_default();
        let task = tokio::spawn(async move {
            let say = |said: Said| match said {
                Said::Data(bytes) => frames::data(stream, &bytes),
                Said::Trouble(words) => frames::data(error.unwrap_or(stream), words.as_bytes()),
            };
            pod::connect(&address, port, incoming, &outgoing, say).await;
            for stream in [Some(stream), error].into_iter().flatten() {
                let _ = outgoing.send(frames::data(stream, b"")).await;
            }
        });
        self.open
            .insert(stream, (writer, AbortOnDropHandle::new(task)));
    }
}
