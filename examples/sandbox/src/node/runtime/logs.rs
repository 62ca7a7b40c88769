//! Container logs in the format of the container runtime interface: one line of output a line,
//! with time, stream and whether it is complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::watch;

/// Longest piece of a line, in bytes. Longer lines are split, as runtimes split them.
const PIECE: u64 = 16 * 1024;

/// The log of one container, written by one or two streams.
#[derive(Clone, Debug)]
pub struct Log {
    file: Arc<Mutex<File>>,
    path: PathBuf,
    /// Length of the file.
    length: Arc<watch::Sender<u64>>,
}

impl Log {
    /// Opens the log. `before` is what it begins with: the log of the checkpointed container,
    /// in the same format.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, before: &[u8]) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(path)?;
        file.write_all(before)?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            path: path.to_owned(),
            length: Arc::new(watch::Sender::new(before.len() as u64)),
        })
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells when the log grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    /// Writes what `stream` gives to the log until the stream ends.
    pub async fn pump(self, name: &'static str, stream: impl AsyncRead + Unpin) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut stream).take(PIECE).read_until(b'\n', &mut line).await;
            // A broken pipe ends like a closed one: there is no more to log.
            if !matches!(read, Ok(1..)) {
                return;
            }
            // A full disk must not kill the container.
            if let Err(error) = self.append(name, &line) {
                tracing::warn!(log = %self.path.display(), %error, "log line lost");
            }
        }
    }

    fn append(&self, stream: &str, line: &[u8]) -> io::Result<()> {
        let complete = line.last() == Some(&b'\n');
        let tag = if complete { 'F' } else { 'P' };
        let mut entry = format!("{:.9} {stream} {tag} ", Timestamp::now()).into_bytes();
        entry.extend_from_slice(line);
        if !complete {
            entry.push(b'\n');
        }
        self.file
            .lock()
            .expect("no holder panics")
            .write_all(&entry)?;
        self.length
            .send_modify(|length| *length += entry.len() as u64);
        Ok(())
    }
}

/// One line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was written, RFC 3339 with nanoseconds.
    pub time: &'a str,
    /// Whether the line ends here.
    pub complete: bool,
    /// The output, without a line end.
    pub text: &'a [u8],
}

/// Takes a line of a log file apart, or nothing if it is none.
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let _stream = parts.next()?;
    let complete = parts.next()? == b"F";
    Some(Entry {
        time,
        complete,
        text: parts.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_and_long_ones_split() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("0.log");
        let log = Log::create(&path, b"earlier stdout F line\n").expect("can be made");
        let long = "x".repeat(usize::try_from(PIECE).expect("fits") + 5);
        let text = format!("one two\n{long}\n");
        log.pump("stdout", text.as_bytes()).await;
        let bytes = fs::read(&path).expect("is there");
        let entries: Vec<_> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| parse(line).expect("is an entry"))
            .collect();
        let texts: Vec<_> = entries.iter().map(|entry| entry.text.len()).collect();
        assert_eq!(texts, [4, 7, usize::try_from(PIECE).expect("fits"), 5]);
        assert_eq!(entries[0].time, "earlier");
        let complete: Vec<_> = entries.iter().map(|entry| entry.complete).collect();
        assert_eq!(complete, [true, true, false, true]);
    }
}
