//! An archive that is waited for, and taken while it is still being written.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ms2m_transfer::{Event, FailureCode, env};
use rustix::process::{Signal, kill_process};

use crate::support::archive;
use crate::support::binary::{Running, Transfer};
use crate::support::registry::Registry;
use crate::support::scripted::{Script, Scripted};

const MIB: u64 = 1024 * 1024;

fn prefix(directory: &Path) -> PathBuf {
    directory.join("checkpoint-worker-0_shop-worker-")
}

/// A run that waits, and has taken note of what is there.
fn waiting(directory: &Path, image: &str, compression: &str) -> Running {
    let running = Transfer::bare()
        .env(env::ARCHIVE_PREFIX, prefix(directory))
        .env(env::IMAGE, image)
        .env(env::PLAIN_HTTP, "true")
        .env(env::COMPRESSION, compression)
        .spawn();
    running.wait_for_event(|event| matches!(event, Event::Waiting(_)));
    running
}

/// Writes what is in `whole` to its place in small pieces, as a runtime does.
fn write_slowly(whole: &[u8], directory: &Path) -> PathBuf {
    let path = directory.join(archive::NAME);
    let mut file = File::create(&path).expect("creates the archive");
    for piece in whole.chunks(512 * 1024) {
        file.write_all(piece).expect("writes");
        // Not waiting for anything: the writer is slower than the reader, as CRIU is.
        std::thread::sleep(Duration::from_millis(2));
    }
    path
}

fn made(memory: u64) -> Vec<u8> {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(elsewhere.path(), memory);
    std::fs::read(path).expect("it was just written")
}

#[test]
fn it_is_read_while_it_is_written() {
    let registry = Registry::start();
    for compression in ["zstd", "gzip", "none", "auto"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let image = format!("{}/early/{compression}:1", registry.address());
        let running = waiting(directory.path(), &image, compression);
        let whole = made(24 * MIB);
        let path = write_slowly(&whole, directory.path());
        let outcome = running.wait();
        let pushed = outcome.pushed();
        assert_eq!(pushed.archive, archive::NAME);
        assert_eq!(pushed.archive_bytes, whole.len() as u64);
        let digest = archive::digest(&whole);
        assert_eq!(pushed.diff_id, digest, "{compression}: other bytes");
        assert!(!path.exists(), "the archive is deleted");
    }
}

#[test]
fn those_of_before_and_of_others_are_left_alone() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let old = directory
        .path()
        .join("checkpoint-worker-0_shop-worker-2026-01-31T11:59:59Z.tar");
    let other = directory
        .path()
        .join("checkpoint-worker-0_shop-worker-2-2026-01-31T12:00:00Z.tar");
    std::fs::write(&old, made(MIB)).expect("writes");
    let image = format!("{}/cp:1", registry.address());
    let mut running = waiting(directory.path(), &image, "none");
    std::fs::write(&other, made(MIB)).expect("writes");
    let whole = made(2 * MIB);
    assert!(!running.has_ended());
    write_slowly(&whole, directory.path());
    assert_eq!(running.wait().pushed().archive, archive::NAME);
    assert!(old.exists() && other.exists(), "not its own");
}

#[test]
fn one_that_breaks_off_is_not_pushed() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = format!("{}/cp:1", registry.address());
    let running = waiting(directory.path(), &image, "none");
    let whole = made(8 * MIB);
    let path = write_slowly(&whole[..whole.len() - 1024], directory.path());
    running.wait_for_event(
        |event| matches!(event, Event::Progress(progress) if progress.read_bytes > 4 * MIB),
    );
    // Whoever waits for it learns that the checkpoint has failed, and removes the pod.
    kill_process(running.pid(), Signal::TERM).expect("it is our child");
    let outcome = running.wait();
    assert_eq!(outcome.failed().code, FailureCode::Interrupted);
    assert_eq!(registry.manifest(&image), None, "an image was pushed");
    assert!(!path.exists(), "it holds a process's memory");
}

#[test]
fn what_is_no_archive_is_refused_and_deleted() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = format!("{}/cp:1", registry.address());
    let running = waiting(directory.path(), &image, "zstd");
    let path = directory.path().join(archive::NAME);
    std::fs::write(&path, vec![b'x'; 4096]).expect("writes");
    let outcome = running.wait();
    assert_eq!(outcome.failed().code, FailureCode::ArchiveInvalid);
    assert!(!path.exists(), "by its name it is the kubelet's");
}

#[test]
fn a_wait_in_vain_ends_with_a_signal() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = format!("{}/cp:1", registry.address());
    let running = waiting(directory.path(), &image, "zstd");
    kill_process(running.pid(), Signal::TERM).expect("it is our child");
    let outcome = running.wait();
    assert_eq!(outcome.failed().code, FailureCode::Interrupted);
}

#[test]
fn a_directory_that_is_not_there_is_said_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = Transfer::bare()
        .env(env::ARCHIVE_PREFIX, prefix(&directory.path().join("none")))
        .env(env::IMAGE, "localhost:1/cp:1")
        .run();
    assert_eq!(outcome.failed().code, FailureCode::ArchiveMissing);
}

#[test]
fn the_archive_grows_for_a_second_pass_too() {
    // A registry that does not take pieces gets the layer in one request, after a pass that only
    // measures.
    let registry = Scripted::start(Script {
        refuse_pieces: Some(405),
        ..Script::default()
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = registry.image();
    let running = waiting(directory.path(), &image, "none");
    let whole = made(8 * MIB);
    write_slowly(&whole, directory.path());
    assert_eq!(running.wait().pushed().diff_id, archive::digest(&whole));
}
