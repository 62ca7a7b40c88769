//! One connection into a pod.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What comes out of it.
pub(super) enum Said {
    /// What the pod sends.
    Data(Bytes),
    /// Why there is no connection.
    Trouble(String),
}

/// Connects: what comes from `incoming` goes to the pod, what comes back goes to `outgoing`, in the
/// form that `say` gives it. Ends when the pod does.
pub(super) async fn connect<M>(
    address: &str,
    port: u16,
    mut incoming: mpsc::Receiver<Bytes>,
    outgoing: &mpsc::Sender<M>,
    say: impl Fn(Said) -> M,
) {
    let stream = match TcpStream::connect((address, port)).await {
        Ok(stream) => stream,
        Err(error) => {
            let words = format!("error forwarding port {port}: {error}");
            // Nobody listens any more if this fails.
            let _ = outgoing.send(say(Said::Trouble(words))).await;
            return;
        }
    };
    // As Go's connections, and so the kubelet's.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let read = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            let data = Said::Data(Bytes::copy_from_slice(&buffer[..count]));
            if outgoing.send(say(data)).await.is_err() {
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
