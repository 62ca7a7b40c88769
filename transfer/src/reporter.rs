//! Everything that leaves the process: events on stdout, words on stderr, the termination message.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ms2m_transfer::event::{Event, Progress};
use ms2m_transfer::report::Report;

use crate::layer::Counters;
use crate::pace::{Counts, Meter};

/// Writes events. A reader that went away is no reason to stop the transfer, so failures to
/// write are ignored.
#[derive(Debug)]
pub(crate) struct Reporter {
    start: Instant,
    meter: RefCell<Meter>,
}

impl Reporter {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            meter: RefCell::default(),
        }
    }

    /// Seconds since the process began.
    pub(crate) fn seconds(&self) -> f64 {
        // Microseconds are as much as anyone will compare.
        rounded(self.start.elapsed().as_secs_f64(), 1e6)
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
        let counts = Counts {
            total: counters.total.load(Ordering::Relaxed),
            read: counters.read.load(Ordering::Relaxed),
            packed: counters.packed.load(Ordering::Relaxed),
            sent: counters.sent.load(Ordering::Relaxed),
        };
        let seconds = self.seconds();
        let pace = self.meter.borrow_mut().look(seconds, counts);
        self.event(&Event::Progress(Progress {
            archive_bytes: counts.total,
            read_bytes: counts.read,
            sent_bytes: counts.sent,
            seconds,
            ratio: pace.ratio.map(|ratio| rounded(ratio, 1e4)),
            bytes_per_second: pace.bytes_per_second.map(|speed| speed as u64),
            eta_seconds: pace.eta.map(|eta| rounded(eta, 1e3)),
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

/// A number to so many parts of one.
fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
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
