//! Registries that cannot be reached, that refuse, and that break in the middle.

use std::net::TcpListener;

use ms2m_transfer::{FailureCode, env};

use crate::support::archive;
use crate::support::binary::{Outcome, Transfer};
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::{PASSWORD, Registry, USER, write_docker_config};

/// Pushes a small archive through a proxy with these faults.
fn push_through(faults: Faults) -> (Outcome, Registry) {
    let registry = Registry::start();
    let proxy = Proxy::start(registry.address(), faults);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", proxy.address());
    let outcome = Transfer::new(&path, &image).run();
    assert!(!path.exists(), "the archive is deleted after a failure too");
    (outcome, registry)
}

fn refusing(status: u32, times: u32) -> Faults {
    Faults {
        refuse: times.into(),
        status: status.into(),
        ..Faults::default()
    }
}

#[test]
fn an_unreachable_registry_is_given_up_within_seconds() {
    // A port that was free a moment ago and that nobody listens on.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("127.0.0.1:{port}/cp:1");
    let outcome = Transfer::new(&path, &image).run();
    let failed = outcome.failed();
    assert_eq!(failed.code, FailureCode::RegistryFailed);
    assert!(
        failed.message.contains("Connection refused"),
        "{}",
        failed.message
    );
    assert_eq!(outcome.retries(), 5);
    assert!(!path.exists(), "the archive is deleted after a failure too");
}

#[test]
fn denied_is_denied_at_once() {
    for status in [401, 403] {
        let (outcome, _registry) = push_through(refusing(status, u32::MAX));
        assert_eq!(outcome.failed().code, FailureCode::RegistryDenied);
        assert_eq!(outcome.retries(), 0, "{}", outcome.stdout);
    }
}

#[test]
fn a_registry_that_only_fails_is_given_up() {
    let (outcome, _registry) = push_through(refusing(500, u32::MAX));
    let failed = outcome.failed();
    assert_eq!(failed.code, FailureCode::RegistryFailed);
    assert!(failed.message.contains("500"), "{}", failed.message);
    assert_eq!(outcome.retries(), 3);
}

#[test]
fn failures_in_passing_are_retried() {
    for status in [503, 429] {
        // One request only asks whether a token is needed, the next begins the upload, and again.
        let (outcome, _registry) = push_through(refusing(status, 3));
        outcome.pushed();
        assert!(outcome.retries() >= 1, "{}", outcome.stdout);
    }
}

#[test]
fn an_upload_that_was_cut_starts_again() {
    let registry = Registry::start();
    let cut_once = Faults {
        cuts: 1.into(),
        cut_after: (6 * 1024 * 1024).into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), cut_once);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 16 * 1024 * 1024);
    let bytes = std::fs::read(&path).expect("the archive is there");
    let image = format!("{}/cp:1", proxy.address());

    let outcome = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .run();

    let pushed = outcome.pushed();
    assert_eq!(outcome.retries(), 1, "{}", outcome.stdout);
    let direct = format!("{}/cp:1", registry.address());
    assert!(
        registry.blob(&direct, &pushed.layer_digest) == bytes,
        "the layer is not the archive"
    );
}

#[test]
fn an_upload_that_is_always_cut_is_given_up() {
    let registry = Registry::start();
    let always = Faults {
        cuts: i64::MAX.into(),
        cut_after: (1024 * 1024).into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), always);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 8 * 1024 * 1024);
    let image = format!("{}/cp:1", proxy.address());
    let outcome = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .run();
    assert_eq!(outcome.failed().code, FailureCode::RegistryFailed);
    // Four attempts, each with as many more as the registry lets it go on from where it was cut.
    let retries = outcome.retries();
    assert!((3..=20).contains(&retries), "{retries}");
    let direct = format!("{}/cp:1", registry.address());
    assert_eq!(registry.manifest(&direct), None, "an image was pushed");
}

/// AWS ECR's answer to a piece, after which it takes no other: to a stream it may say what it likes.
#[test]
fn a_registry_that_takes_one_piece_gets_the_layer_as_such() {
    let registry = Registry::start_with_password();
    let no_pieces = Faults {
        no_pieces: true.into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(registry.address(), no_pieces);
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_docker_config(directory.path(), &proxy.address(), USER, PASSWORD);
    let path = archive::write(directory.path(), 16 * 1024 * 1024);
    let image = format!("{}/cp:1", proxy.address());

    let outcome = Transfer::new(&path, &image)
        .env(env::DOCKER_CONFIG, directory.path())
        .run();

    // The registry has checked the layer against its digest.
    let pushed = outcome.pushed();
    assert_eq!(outcome.retries(), 0, "{}", outcome.stdout);
    assert!(pushed.layer_bytes > 4 << 20, "it would take several pieces");
}

#[test]
fn a_registry_without_tls_is_named_as_such() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    let failed = Transfer::new(&path, &image)
        .env(env::PLAIN_HTTP, "false")
        .run()
        .failed();
    assert_eq!(failed.code, FailureCode::RegistryFailed);
    assert!(failed.message.contains("plain HTTP"), "{}", failed.message);
}
