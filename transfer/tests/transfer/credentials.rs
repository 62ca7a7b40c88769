//! Registries with authentication.

use ms2m_transfer::{FailureCode, env};

use crate::support::archive;
use crate::support::binary::{Outcome, Transfer};
use crate::support::registry::{PASSWORD, Registry, USER, write_docker_config};

/// Pushes to a registry that wants a password, with this one.
fn push_as(user: &str, password: &str) -> Outcome {
    let registry = Registry::start_with_password();
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_docker_config(directory.path(), registry.address(), user, password);
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    Transfer::new(&path, &image)
        .env(env::DOCKER_CONFIG, directory.path())
        .run()
}

#[test]
fn the_right_password_pushes_and_is_not_seen() {
    let outcome = push_as(USER, PASSWORD);
    outcome.pushed();
    assert!(!outcome.everything().contains(PASSWORD));
}

#[test]
fn a_wrong_password_is_denied_and_not_seen() {
    let outcome = push_as(USER, "wrong-hunter2");
    assert_eq!(outcome.failed().code, FailureCode::RegistryDenied);
    assert!(!outcome.everything().contains("wrong-hunter2"));
    assert_eq!(outcome.retries(), 0, "{}", outcome.stdout);
}

#[test]
fn no_password_is_denied() {
    let registry = Registry::start_with_password();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    let failed = Transfer::new(&path, &image).run().failed();
    assert_eq!(failed.code, FailureCode::RegistryDenied);
    assert!(failed.message.contains("credentials"), "{}", failed.message);
}

#[test]
fn a_broken_credentials_file_touches_nothing() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("config.json"), "{\"auths\":").expect("writes");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    let failed = Transfer::new(&path, &image)
        .env(env::DOCKER_CONFIG, directory.path())
        .run()
        .failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(
        failed.message.contains(env::DOCKER_CONFIG),
        "{}",
        failed.message
    );
    assert!(path.exists(), "nothing is touched");
}
