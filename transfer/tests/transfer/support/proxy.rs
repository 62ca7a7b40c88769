//! A TCP proxy in front of the registry that misbehaves on order.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What goes wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// So many connections get this status for an answer instead of the registry's.
    pub(crate) refuse: AtomicU32,
    pub(crate) status: AtomicU32,
    /// So many times a connection is cut once `cut_after` bytes went to the registry.
    pub(crate) cuts: AtomicI64,
    pub(crate) cut_after: AtomicU64,
    /// Answers 201 to every piece of an upload, as AWS ECR does.
    pub(crate) no_pieces: AtomicBool,
    /// Milliseconds to wait after every 64 KiB towards the registry.
    pub(crate) slow: AtomicU64,
}

pub(crate) struct Proxy {
    address: SocketAddr,
}

impl Proxy {
    /// Starts a proxy on a port of its own. It lives as long as the test process.
    pub(crate) fn start(registry: &str, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(faults);
        let registry = registry.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (faults, registry) = (Arc::clone(&shared), registry.clone());
                std::thread::spawn(move || serve(client, &registry, &faults));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn serve(client: TcpStream, registry: &str, faults: &Arc<Faults>) {
    let refuse = faults
        .refuse
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if refuse.is_ok() {
        answer(client, faults.status.load(Ordering::SeqCst));
        return;
    }
    let Ok(server) = TcpStream::connect(registry) else {
        return;
    };
    let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    // A request's head and an answer's head each begin a read: one waits for the other.
    let piece = Arc::new(AtomicBool::new(false));
    let is_piece = Arc::clone(&piece);
    let no_pieces = faults.no_pieces.load(Ordering::SeqCst);
    std::thread::spawn(move || {
        copy(from_server, to_client, |answer| {
            if no_pieces && is_piece.load(Ordering::SeqCst) && answer.starts_with(b"HTTP/1.1 202") {
                answer[9..12].copy_from_slice(b"201");
            }
            answer.len()
        });
    });
    let faults = Arc::clone(faults);
    let mut sent = 0;
    copy(client, server, move |request| {
        if [&b"PATCH "[..], b"POST ", b"PUT ", b"GET "]
            .iter()
            .any(|method| request.starts_with(method))
        {
            piece.store(request.starts_with(b"PATCH "), Ordering::SeqCst);
        }
        let before = sent;
        sent += request.len() as u64;
        std::thread::sleep(Duration::from_millis(faults.slow.load(Ordering::SeqCst)));
        let cut = faults.cut_after.load(Ordering::SeqCst);
        if sent < cut || cut == 0 || faults.cuts.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return request.len();
        }
        usize::try_from(cut.saturating_sub(before)).expect("it is less than was read")
    });
}

/// Copies until one side ends or `pass` lets less than all bytes through, then closes both. `pass`
/// may change the bytes.
fn copy(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&mut [u8]) -> usize) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = from.read(&mut buffer) {
        let through = pass(&mut buffer[..n]);
        if n == 0 || to.write_all(&buffer[..through]).is_err() || through < n {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Reads one request's head and answers it.
fn answer(mut client: TcpStream, status: u32) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut buffer) {
            Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let body = "the proxy refuses";
    let _ = write!(
        client,
        "HTTP/1.1 {status} Refused\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
