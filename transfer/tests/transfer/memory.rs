//! Memory does not grow with the archive.

use ms2m_transfer::{Event, env};
use rustix::process::{Signal, kill_process};

use crate::support::archive;
use crate::support::binary::Transfer;
use crate::support::high_water_mark;
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::Registry;

const GIB: u64 = 1024 * 1024 * 1024;
/// Half of the 64 MiB that the Job asks for, and what is promised at any size.
const LIMIT: u64 = 32 * 1024 * 1024;

#[test]
fn a_gibibyte_takes_less_than_32_mib() {
    for compression in ["zstd", "gzip"] {
        takes_little(compression);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the figure is for whoever runs the test"
)]
fn takes_little(compression: &str) {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), GIB);
    let image = format!("{}/cp:1", registry.address());

    let mut running = Transfer::new(&path, &image)
        .env(env::COMPRESSION, compression)
        .spawn();
    let mut peak = 0;
    while !running.has_ended() {
        // VmHWM only grows, so the last look before the end is as good as all of them.
        peak = high_water_mark(running.pid()).unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pushed = running.wait().pushed();

    let own = pushed.peak_memory_bytes.expect("Linux tells");
    eprintln!(
        "peak memory for a 1 GiB archive, {compression}: {:.1} MiB seen from outside, {:.1} MiB by its own report, in {:.1} s",
        peak as f64 / 1048576.0,
        own as f64 / 1048576.0,
        pushed.seconds
    );
    assert!(pushed.archive_bytes > GIB);
    assert!(peak > 0 && peak < LIMIT, "{peak} bytes");
    assert!(own < LIMIT, "{own} bytes");
    // Its own report is a moment older than its end.
    assert!(own.abs_diff(peak) < 4 * 1024 * 1024, "{own} is not {peak}");
}

#[test]
fn a_slow_registry_does_not_fill_the_memory() {
    let registry = Registry::start();
    let slow = Faults {
        slow: 5.into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), slow);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), GIB / 4);
    let image = format!("{}/cp:1", proxy.address());

    let running = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .spawn();
    // By then a reader that nobody holds back would have read the whole archive.
    running.wait_for_event(
        |event| matches!(event, Event::Progress(progress) if progress.sent_bytes >= 16 << 20),
    );
    let peak = high_water_mark(running.pid()).expect("it is running");
    kill_process(running.pid(), Signal::TERM).expect("it is our child");
    running.wait();

    assert!(peak < LIMIT, "{peak} bytes");
}
