//! Archives that are not as they should be leave no image.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::SystemTime;

use ms2m_transfer::{Event, FailureCode, env};

use crate::support::archive::{self, CONFIG_DUMP, SPEC_DUMP};
use crate::support::binary::Transfer;
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::Registry;

/// Pushes `path`, expects it to be refused, and returns the reason.
fn refused(path: &Path, code: FailureCode) -> String {
    let registry = Registry::start();
    let image = format!("{}/cp:1", registry.address());
    let failed = Transfer::new(path, &image).run().failed();
    assert_eq!(failed.code, code, "{}", failed.message);
    assert!(
        failed.message.contains(&path.display().to_string()),
        "{}",
        failed.message
    );
    assert_eq!(registry.manifest(&image), None, "an image was pushed");
    assert_eq!(registry.sessions(), 0, "memory stays in the registry");
    assert!(!registry.has_blobs(), "memory stays in the registry");
    failed.message
}

#[test]
fn a_truncated_archive_is_refused_and_deleted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 6 * 1024 * 1024);
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    let size = file.metadata().expect("it is there").len();
    // Everything but the end marker is there: the last byte of the last entry, for instance.
    file.set_len(size - 1024).expect("truncates");
    let why = refused(&path, FailureCode::ArchiveInvalid);
    assert!(why.contains("cut off"), "{why}");
    assert!(!path.exists(), "half a checkpoint holds secrets too");
}

#[test]
fn an_archive_cut_in_the_memory_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The second length can be told from the file's size, the first only when all else is sent.
    for length in [20 * 1024 * 1024, 20 * 1024 * 1024 + 1] {
        let path = archive::write(directory.path(), 24 * 1024 * 1024);
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        file.set_len(length).expect("truncates");
        refused(&path, FailureCode::ArchiveInvalid);
        assert!(!path.exists(), "half a checkpoint holds secrets too");
    }
}

#[test]
fn a_link_out_of_the_archive_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write_with_link(directory.path(), "checkpoint/run", "/run");
    let why = refused(&path, FailureCode::ArchiveInvalid);
    assert!(why.contains("a link") && why.contains("/run"), "{why}");
}

#[test]
fn an_archive_that_changes_meanwhile_is_refused() {
    let registry = Registry::start();
    let slow = Faults {
        slow: 20.into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), slow);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 24 * 1024 * 1024);
    let image = format!("{}/cp:1", proxy.address());

    let running = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .spawn();
    running.wait_for_event(|event| matches!(event, Event::Progress(_)));
    let file = File::options().append(true).open(&path).expect("opens");
    file.set_modified(SystemTime::now()).expect("sets the time");
    let failed = running.wait().failed();

    assert_eq!(failed.code, FailureCode::ArchiveInvalid);
    assert!(failed.message.contains("changed"), "{}", failed.message);
    assert_eq!(registry.manifest(&image), None, "an image was pushed");
}

#[test]
fn hostile_names_are_refused() {
    for name in ["/etc/cron.d/evil", "checkpoint/../../evil"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = archive::write_entries(
            directory.path(),
            &[
                ("config.dump", CONFIG_DUMP.as_bytes()),
                ("spec.dump", SPEC_DUMP.as_bytes()),
                ("checkpoint/pages-1.img", b"memory"),
                (name, b"evil"),
            ],
        );
        let why = refused(&path, FailureCode::ArchiveInvalid);
        assert!(why.contains(name), "{why}");
    }
}

#[test]
fn a_dump_that_is_no_json_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write_entries(
        directory.path(),
        &[
            ("config.dump", b"not JSON"),
            ("spec.dump", SPEC_DUMP.as_bytes()),
            ("checkpoint/pages-1.img", b"memory"),
        ],
    );
    let why = refused(&path, FailureCode::ArchiveInvalid);
    assert!(why.contains("config.dump"), "{why}");
}

#[test]
fn an_empty_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(archive::NAME);
    File::create(&path).expect("creates");
    let why = refused(&path, FailureCode::ArchiveInvalid);
    assert!(why.contains("empty"), "{why}");
}

#[test]
fn what_is_no_checkpoint_is_refused_but_never_deleted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write_entries(directory.path(), &[("thesis.tex", b"ten years of work")]);
    let why = refused(&path, FailureCode::ArchiveInvalid);
    assert!(why.contains("config.dump"), "{why}");
    assert!(
        path.exists(),
        "a path given by mistake must not cost a file"
    );
}

#[test]
fn a_missing_file_and_a_directory_are_missing_archives() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    refused(
        &directory.path().join("nowhere.tar"),
        FailureCode::ArchiveMissing,
    );
    refused(directory.path(), FailureCode::ArchiveMissing);
    assert!(directory.path().exists());
}
