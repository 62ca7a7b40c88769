//! Everything that leaves the process: events on stdout, words on stderr, the termination message.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ms2m_transfer::event::{Event, Progress};
use ms2m_transfer::report::Report;

use crate::layer::Counters;

/// Writes events. A reader that went away is no reason to stop the transfer, so failures to
/// write are ignored.
#[derive(Debug)]
pub(crate) struct Reporter {
    start: Instant,
}

impl Reporter {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start }
    }

    /// Seconds since the process began.
    pub(crate) fn seconds(&self) -> f64 {
        // Microseconds are as much as anyone will compare.
        (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e6
    }

    /// Writes one line to stdout.
    pub(crate) fn event(&self, event: &Event) {
        let mut line = event.to_line();
        line.push('\n');
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(line.as_bytes());
        let _ = stdout.flush();
    }

    pub(crate) fn progress(&self, counters: &Counters) {
        self.event(&Event::Progress(Progress {
            archive_bytes: counters.total.load(Ordering::Relaxed),
            read_bytes: counters.read.load(Ordering::Relaxed),
            sent_bytes: counters.sent.load(Ordering::Relaxed),
            seconds: self.seconds(),
        }));
    }

    /// The last word: an event, and the termination message if its file is there.
    pub(crate) fn finish(&self, report: Report, termination_log: &Path) {
        if let Err(error) = write_existing(termination_log, &report.to_termination_message()) {
            tracing::warn!(
                "the result cannot be written to {}: {error}",
                termination_log.display()
            );
        }
        self.event(&report.into());
    }
}

/// Replaces a file's contents. A missing file stays missing: outside of a pod there is none.
fn write_existing(path: &Path, text: &str) -> std::io::Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Peak resident memory of this process in bytes, from the kernel's own count.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
