//! What the tests share: archives, a registry, a proxy that disturbs it, one by script, and the binary's runs.

pub(crate) mod archive;
pub(crate) mod binary;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod registry;
pub(crate) mod scripted;

use std::time::{Duration, Instant};

/// Long enough for anything that ends at all on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Peak resident memory of a process in bytes.
pub(crate) fn high_water_mark(pid: rustix::process::Pid) -> Option<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Runs a future of a client to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    // A test process has one provider for all of its tests; the second one is refused.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
