//! Help, usage errors, and the flags for use by hand.

use ms2m_transfer::{FailureCode, env};

use crate::support::archive;
use crate::support::binary::Transfer;
use crate::support::registry::Registry;

#[test]
fn help_names_everything() {
    let outcome = Transfer::bare().args(&["--help"]).run();
    assert_eq!(outcome.code, Some(0));
    for name in [
        env::ARCHIVE,
        env::IMAGE,
        env::NAMESPACE,
        env::POD,
        env::CONTAINER,
        env::SOURCE_NODE,
        env::COMPRESSION,
        env::PLAIN_HTTP,
        env::KEEP_ARCHIVE,
        env::TERMINATION_LOG,
        env::DOCKER_CONFIG,
        env::SSL_CERT_FILE,
        "Examples:",
        "Exit codes:",
        "143",
    ] {
        assert!(outcome.stdout.contains(name), "{name} is not in the help");
    }
}

#[test]
fn a_usage_error_is_reported_too() {
    let outcome = Transfer::bare().run();
    let failed = outcome.failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(outcome.stderr.contains("--archive"), "{}", outcome.stderr);
    let outcome = Transfer::bare().args(&["--compression", "zip"]).run();
    assert_eq!(outcome.failed().code, FailureCode::Config);
}

#[test]
fn authorities_that_are_not_there_are_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let missing = directory.path().join("no-such.pem");
    let failed = Transfer::new(&path, "registry.example/cp:1")
        .env(env::SSL_CERT_FILE, &missing)
        .run()
        .failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(failed.message.contains("no-such.pem"), "{}", failed.message);
    assert!(path.exists(), "nothing is touched");
}

#[test]
fn an_image_without_a_tag_is_refused_and_touches_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let failed = Transfer::new(&path, "registry.example/cp").run().failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(failed.message.contains(env::IMAGE), "{}", failed.message);
    assert!(path.exists(), "nothing is touched");
}

#[test]
fn flags_do_by_hand_what_the_environment_does_in_a_pod() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    let outcome = Transfer::bare()
        .env(env::TERMINATION_LOG, directory.path().join("not-there"))
        .args(&["--archive", &path.display().to_string()])
        .args(&["--image", &image, "--plain-http", "--keep-archive"])
        .run();
    assert_eq!(outcome.code, Some(0), "{}", outcome.everything());
    assert!(registry.manifest(&image).is_some());
    assert!(path.exists(), "it was to be kept");
    assert!(
        !directory.path().join("not-there").exists(),
        "a termination log is not made where there is none"
    );
}
