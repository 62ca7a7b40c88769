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

/// A helper by Docker's protocol, written for this: reads the registry's name, prints a pair.
fn write_helper(directory: &std::path::Path, body: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("docker-credential-of-this-test");
    std::fs::write(&path, format!("#!/bin/sh\nread registry\n{body}\n")).expect("writes");
    let executable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&path, executable).expect("it is ours");
}

/// Pushes with a helper for the registry, named in `how` (`credHelpers` or `credsStore`).
fn push_with_helper(how: &str, body: &str) -> Outcome {
    let registry = Registry::start_with_password();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let helper = match how {
        "credHelpers" => format!(r#"{{"{}":"of-this-test"}}"#, registry.address()),
        _ => r#""of-this-test""#.to_owned(),
    };
    let config = format!(r#"{{"{how}":{helper}}}"#);
    std::fs::write(directory.path().join("config.json"), config).expect("writes");
    write_helper(
        directory.path(),
        &body.replace("REGISTRY", registry.address()),
    );
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());
    let programs = format!("{}:/usr/bin:/bin", directory.path().display());
    Transfer::new(&path, &image)
        .env(env::DOCKER_CONFIG, directory.path())
        .env("PATH", programs)
        .run()
}

#[test]
fn a_credential_helper_on_the_path_is_asked() {
    let body = format!(
        r#"[ "$1 $registry" = "get REGISTRY" ] && echo '{{"Username":"{USER}","Secret":"{PASSWORD}"}}'"#
    );
    for how in ["credHelpers", "credsStore"] {
        let outcome = push_with_helper(how, &body);
        outcome.pushed();
        assert!(!outcome.everything().contains(PASSWORD));
    }
}

#[test]
fn a_credential_helper_without_the_registry_is_anonymous_and_one_that_fails_is_named() {
    let nothing = push_with_helper(
        "credsStore",
        "echo 'credentials not found in native keychain'; exit 1",
    );
    assert_eq!(nothing.failed().code, FailureCode::RegistryDenied);
    let broken = push_with_helper("credHelpers", "echo hunter2; exit 1");
    let failed = broken.failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(failed.message.contains("of-this-test"), "{failed:?}");
    assert!(!broken.everything().contains("hunter2"));
}
