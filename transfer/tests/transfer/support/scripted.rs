//! A registry by the letter of the distribution specification, which keeps of a broken piece what
//! came of it and says so when it is asked. docker-registry does not (it refuses such a session),
//! and cannot be told to answer as other registries do. Holds everything in memory.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// What it does otherwise than the specification says, or in spite of it.
#[derive(Default)]
pub(crate) struct Script {
    /// Offsets of the upload, in order, at which the connection is cut, each once.
    pub(crate) cuts: Vec<u64>,
    /// Answers to a piece that begins at this offset or later, each once.
    pub(crate) refusals: Vec<(u64, u16)>,
    /// Seconds that these answers ask to wait.
    pub(crate) retry_after: Option<u32>,
    /// Answers every `PATCH` with this.
    pub(crate) refuse_pieces: Option<u16>,
    /// Answers every `PATCH` of unknown length with this.
    pub(crate) refuse_streams: Option<u16>,
    /// Does not say how much it has.
    pub(crate) no_range: bool,
}

#[derive(Default)]
struct State {
    script: Script,
    upload: Vec<u8>,
    uploads: u32,
    /// It has answered 401, and nobody has asked for a new token since.
    denied: bool,
    stored: HashMap<String, Vec<u8>>,
}

/// The registry. It lives as long as the test process.
pub(crate) struct Scripted {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State {
            script,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(client, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn image(&self) -> String {
        format!("{}/cp:1", self.address)
    }

    /// How many sessions were opened.
    pub(crate) fn uploads(&self) -> u32 {
        self.state.lock().expect("no handler panics").uploads
    }

    pub(crate) fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let state = self.state.lock().expect("no handler panics");
        state.stored.get(digest).cloned()
    }

    /// Cuts and refusals that never came to pass.
    pub(crate) fn left_over(&self) -> usize {
        let state = self.state.lock().expect("no handler panics");
        state.script.cuts.len() + state.script.refusals.len()
    }
}

/// Serves one connection until it ends or is cut.
fn serve(client: TcpStream, state: &Mutex<State>) {
    let Ok(mut answers) = client.try_clone() else {
        return;
    };
    let mut requests = BufReader::new(client);
    while let Some(head) = head(&mut requests) {
        let mut state = state.lock().expect("no handler panics");
        if let Some(refusal) = refuse(&head, &mut state) {
            drop(state);
            // As servers do it: at once, and what still comes goes nowhere.
            let _ = answers.write_all(&refusal);
            let _ = std::io::copy(&mut requests, &mut std::io::sink());
            return;
        }
        let body = match receive(&mut requests, &head, &mut state) {
            Some(body) => body,
            None => return,
        };
        let answer = answer(&head.method, &head.target, body, &mut state);
        drop(state);
        if answers.write_all(answer.as_slice()).is_err() {
            return;
        }
    }
}

struct Head {
    method: String,
    target: String,
    /// `None`: the body is in chunks.
    length: Option<u64>,
}

fn head(requests: &mut impl BufRead) -> Option<Head> {
    let mut line = String::new();
    requests.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = Some(0);
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = Some(value.parse().ok()?);
            }
            Some((name, "chunked")) if name.eq_ignore_ascii_case("transfer-encoding") => {
                length = None;
            }
            Some(_) => {}
            None => {
                return Some(Head {
                    method,
                    target,
                    length,
                });
            }
        }
    }
}

/// The answer to a request whose body is not wanted.
fn refuse(head: &Head, state: &mut State) -> Option<Vec<u8>> {
    const CLOSE: &str = "Connection: close";
    if head.method != "PATCH" {
        return None;
    }
    let start = state.upload.len() as u64;
    let refusal = state.script.refusals.first().copied();
    if let Some((_, status)) = refusal.filter(|(offset, _)| start >= *offset) {
        state.script.refusals.remove(0);
        state.denied = status == 401;
        let wait = state.script.retry_after;
        let wait = wait.map(|seconds| format!("Retry-After: {seconds}"));
        let headers = wait.iter().map(String::as_str).chain([CLOSE]);
        return Some(respond(status, &headers.collect::<Vec<_>>(), b""));
    }
    let streams = state.script.refuse_streams;
    let status = state.denied.then_some(401);
    let status = status.or(state.script.refuse_pieces);
    let status = status.or(streams.filter(|_| head.length.is_none()));
    status.map(|status| respond(status, &[CLOSE], b""))
}

/// Takes a body, or its beginning, in which case the connection is to be cut, or was.
fn receive(requests: &mut impl BufRead, head: &Head, state: &mut State) -> Option<Vec<u8>> {
    let mut reader: Box<dyn Read + '_> = match head.length {
        Some(length) => Box::new(requests.take(length)),
        None => Box::new(Chunks {
            requests,
            left: 0,
            ended: false,
        }),
    };
    let mut body = Vec::new();
    if head.method != "PATCH" {
        reader.read_to_end(&mut body).ok()?;
        return Some(body);
    }
    let start = state.upload.len() as u64;
    let cut = state.script.cuts.first().copied().unwrap_or(u64::MAX);
    let taken = reader
        .by_ref()
        .take(cut.saturating_sub(start))
        .read_to_end(&mut body);
    let more = reader.read(&mut [0]);
    if matches!((&taken, &more), (Ok(_), Ok(0))) {
        return Some(body);
    }
    if taken.is_ok() && more.is_ok() {
        state.script.cuts.remove(0);
    }
    state.upload.extend_from_slice(&body);
    None
}

/// A body in chunks.
struct Chunks<R> {
    requests: R,
    /// Bytes of the present chunk that are still to come.
    left: u64,
    ended: bool,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        if self.left == 0 && !self.ended {
            let mut line = String::new();
            self.requests.read_line(&mut line)?;
            self.left = u64::from_str_radix(line.trim_end(), 16).map_err(|_| broken())?;
            if self.left == 0 {
                self.ended = true;
                self.requests.read_line(&mut line)?;
            }
        }
        if self.ended {
            return Ok(0);
        }
        let n = self.requests.by_ref().take(self.left).read(out)?;
        if n == 0 && !out.is_empty() {
            return Err(broken());
        }
        self.left -= n as u64;
        if self.left == 0 {
            self.requests.read_line(&mut String::new())?;
        }
        Ok(n)
    }
}

fn answer(method: &str, target: &str, body: Vec<u8>, state: &mut State) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (_, name) = path.rsplit_once('/').unwrap_or_default();
    match method {
        "GET" if path == "/v2/" => {
            state.denied = false;
            respond(200, &[], b"")
        }
        "POST" => {
            state.uploads += 1;
            state.upload.clear();
            session(202, state)
        }
        "PATCH" => {
            state.upload.extend_from_slice(&body);
            session(202, state)
        }
        "GET" if path.contains("/uploads/") => session(204, state),
        "DELETE" => respond(204, &[], b""),
        "PUT" if path.contains("/uploads/") => {
            state.upload.extend_from_slice(&body);
            let digest = query.trim_start_matches("digest=").replace("%3A", ":");
            let upload = std::mem::take(&mut state.upload);
            store(&digest, upload, state)
        }
        "PUT" => {
            let digest = digest(&body);
            store(&digest, body, state)
        }
        // A client asks for what it has put.
        _ => match state.stored.get(name) {
            Some(bytes) => respond(200, &[], if method == "HEAD" { b"" } else { bytes }),
            None => respond(404, &[], b""),
        },
    }
}

fn session(status: u16, state: &State) -> Vec<u8> {
    let last = state.upload.len().saturating_sub(1);
    let range = format!("Range: 0-{last}");
    let location = "Location: /v2/cp/blobs/uploads/1";
    if state.script.no_range {
        respond(status, &[location], b"")
    } else {
        respond(status, &[location, &range], b"")
    }
}

fn store(name: &str, bytes: Vec<u8>, state: &mut State) -> Vec<u8> {
    if digest(&bytes) != name {
        return respond(400, &[], b"another digest");
    }
    let location = format!("Location: /v2/cp/blobs/{name}");
    state.stored.insert(name.to_owned(), bytes);
    respond(201, &[&location], b"")
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn respond(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
    for header in headers {
        answer.extend_from_slice(format!("{header}\r\n").as_bytes());
    }
    let length = body.len();
    // 204 has no body, and no length either.
    if status != 204 {
        answer.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(body);
    answer
}
