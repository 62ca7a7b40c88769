//! How long a transfer takes and what it costs, next to a floor that is measured in the same run.
//!
//! `cargo bench -p ms2m-transfer` prints a table; README.md beside this file keeps figures.
//! Registry and transfer share the machine, so the registry's work is in the wall time.

#![expect(clippy::print_stdout, reason = "the table is the result")]

#[path = "../tests/transfer/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use ms2m_transfer::{Report, env};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use sha2::{Digest, Sha256};

use support::archive;
use support::registry::Registry;

const MIB: u64 = 1024 * 1024;
const REPEATS: usize = 3;

/// The kernel counts processor time for user space in hundredths of a second on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// One measurement.
struct Figures {
    wall: f64,
    cpu: f64,
    /// Bytes; 0 where it is not measured.
    peak: u64,
    /// Bytes.
    sent: u64,
}

fn main() {
    // `cargo test --all-targets` runs benchmarks without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("| archive | what | wall s | CPU s | peak MiB | sent MiB | MB/s of archive |");
    println!("|---|---|---|---|---|---|---|");
    for memory in [64 * MIB, 1024 * MIB] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = archive::write(directory.path(), memory);
        row(memory, "floor: read, SHA-256", || floor(&path));
        row(memory, "floor: read, SHA-256, gzip 1", || floor_gzip(&path));
        row(memory, "floor: read, SHA-256, zstd 1", || floor_zstd(&path));
        for compression in ["none", "gzip", "zstd"] {
            let what = format!("ms2m-transfer, {compression}");
            row(memory, &what, || transfer(&path, compression));
        }
    }
}

/// Prints the fastest of a few measurements: the one that the machine disturbed least.
fn row(memory: u64, what: &str, measure: impl Fn() -> Figures) {
    let best = (0..REPEATS)
        .map(|_| measure())
        .min_by(|a, b| a.wall.total_cmp(&b.wall))
        .expect("there is at least one");
    let mib = |bytes: u64| match bytes {
        0 => "–".to_owned(),
        bytes => format!("{:.1}", bytes as f64 / MIB as f64),
    };
    println!(
        "| {} MiB | {what} | {:.2} | {:.2} | {} | {} | {:.0} |",
        memory / MIB,
        best.wall,
        best.cpu,
        mib(best.peak),
        mib(best.sent),
        memory as f64 / 1e6 / best.wall
    );
}

fn floor(path: &Path) -> Figures {
    read_through(path, std::io::sink())
}

fn floor_gzip(path: &Path) -> Figures {
    read_through(path, GzEncoder::new(std::io::sink(), Compression::fast()))
}

fn floor_zstd(path: &Path) -> Figures {
    let mut encoder = zstd::Encoder::new(std::io::sink(), 1).expect("sets up");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = u32::try_from(threads).expect("no machine has so many");
    encoder.multithread(threads).expect("is a valid number");
    read_through(path, encoder.auto_finish())
}

fn read_through(path: &Path, mut sink: impl Write) -> Figures {
    let (start, cpu) = (Instant::now(), processor_seconds("self"));
    let mut file = File::open(path).expect("the archive is there");
    let mut block = vec![0; 256 * 1024];
    let mut hash = Sha256::new();
    loop {
        let n = file.read(&mut block).expect("reads");
        if n == 0 {
            break;
        }
        hash.update(&block[..n]);
        sink.write_all(&block[..n]).expect("takes everything");
    }
    std::hint::black_box(hash.finalize());
    Figures {
        wall: start.elapsed().as_secs_f64(),
        cpu: processor_seconds("self") - cpu,
        peak: 0,
        sent: 0,
    }
}

fn transfer(path: &Path, compression: &str) -> Figures {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("termination-log");
    File::create(&log).expect("creates");
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ms2m-transfer"))
        .env(env::ARCHIVE, path)
        .env(env::IMAGE, format!("{}/cp:1", registry.address()))
        .env(env::COMPRESSION, compression)
        .env(env::PLAIN_HTTP, "true")
        .env(env::KEEP_ARCHIVE, "true")
        .env(env::TERMINATION_LOG, &log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let pid = Pid::from_child(&child);
    // Until it is reaped, an ended process still tells its processor time.
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .expect("our child");
    let wall = start.elapsed().as_secs_f64();
    let cpu = processor_seconds(&pid.as_raw_nonzero().to_string());
    child.wait().expect("our child");
    let message = std::fs::read_to_string(&log).expect("the log is there");
    let Ok(Report::Pushed(pushed)) = Report::parse(&message) else {
        panic!("{message}");
    };
    Figures {
        wall,
        cpu,
        peak: pushed.peak_memory_bytes.unwrap_or_default(),
        sent: pushed.layer_bytes,
    }
}

/// User and system time of a process, all of its threads together.
fn processor_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    // The second field, the name in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks: f64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().expect("a number"))
        .sum();
    ticks / TICKS_PER_SECOND
}
