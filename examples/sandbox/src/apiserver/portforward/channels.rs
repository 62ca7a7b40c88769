//! Forwarding as kube does it: `v4.channel.k8s.io`.
//!
//! Each port has two channels, data and errors; the first byte of a message names its channel,
//! and the first message on each channel is its port number, little-endian.

use axum::extract::ws::{Message, WebSocket};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::pod::{self, Said};

pub(super) const PROTOCOL: &str = "v4.channel.k8s.io";

/// Forwards until either side closes.
pub(super) async fn run(socket: WebSocket, address: String, ports: Vec<u16>) {
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
        let (address, port, outgoing) = (address.clone(), *port, outgoing.clone());
        let connection = async move {
            let say = |said: Said| match said {
                Said::Data(bytes) => frame(at * 2, &bytes),
                Said::Trouble(words) => frame(at * 2 + 1, words.as_bytes()),
            };
            pod::connect(&address, port, incoming, &outgoing, say).await;
        };
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
