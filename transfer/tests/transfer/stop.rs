//! A transfer that is told to stop in the middle.

use ms2m_transfer::{Event, FailureCode, env};
use rustix::process::{Signal, kill_process};

use crate::support::archive;
use crate::support::binary::Transfer;
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::Registry;

#[test]
fn sigterm_stops_a_push() {
    let registry = Registry::start();
    let slow = Faults {
        slow: 20.into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), slow);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 64 * 1024 * 1024);
    let image = format!("{}/cp:1", proxy.address());

    let running = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .spawn();
    running.wait_for_event(
        |event| matches!(event, Event::Progress(progress) if progress.sent_bytes > 0),
    );
    kill_process(running.pid(), Signal::TERM).expect("it is our child");
    let outcome = running.wait();

    assert_eq!(outcome.code, Some(143), "{}", outcome.everything());
    assert_eq!(outcome.failed().code, FailureCode::Interrupted);
    assert_eq!(registry.manifest(&image), None, "an image was pushed");
    assert!(!path.exists(), "the archive is deleted after a failure too");
}
