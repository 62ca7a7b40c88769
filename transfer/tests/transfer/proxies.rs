//! Registries behind a proxy.

use ms2m_transfer::{FailureCode, env};

use crate::support::archive;
use crate::support::binary::{Outcome, Transfer};
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::Registry;

/// A name that nobody can look up: what gets there has gone through the proxy.
const ELSEWHERE: &str = "registry.invalid:5000";

/// Pushes to `host` with `proxies.default` in a `config.json`.
fn push_to(host: &str, proxies: &str) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = format!(r#"{{"proxies":{{"default":{proxies}}}}}"#);
    std::fs::write(directory.path().join("config.json"), config).expect("writes");
    let path = archive::write(directory.path(), 1 << 20);
    Transfer::new(&path, &format!("{host}/cp:1"))
        .env(env::DOCKER_CONFIG, directory.path())
        .run()
}

/// docker-registry takes requests as a proxy does, with the whole URL, so a relay makes it one.
fn a_proxy() -> (Registry, Proxy) {
    let registry = Registry::start();
    let proxy = Proxy::start(registry.address(), Faults::default());
    (registry, proxy)
}

#[test]
fn the_proxy_of_the_config_file_is_used_and_its_password_not_seen() {
    let (registry, proxy) = a_proxy();
    let url = format!("http://me:hunter2@{}", proxy.address());
    let outcome = push_to(ELSEWHERE, &format!(r#"{{"httpProxy":"{url}"}}"#));
    let pushed = outcome.pushed();
    assert!(pushed.image.starts_with(ELSEWHERE), "{}", pushed.image);
    let image = format!("{}/cp:1", registry.address());
    assert!(registry.manifest(&image).is_some());
    assert!(!outcome.everything().contains("hunter2"));
}

#[test]
fn the_proxy_of_the_environment_is_used_where_the_file_names_none() {
    let (registry, proxy) = a_proxy();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 1 << 20);
    let image = format!("{ELSEWHERE}/cp:1");
    let push =
        Transfer::new(&path, &image).env("HTTP_PROXY", format!("http://{}", proxy.address()));
    push.run().pushed();
    let image = format!("{}/cp:1", registry.address());
    assert!(registry.manifest(&image).is_some());
}

#[test]
fn a_registry_that_needs_no_proxy_is_reached_without() {
    let registry = Registry::start();
    // Nobody listens there.
    let proxies = r#"{"httpProxy":"http://127.0.0.1:1","noProxy":"10.0.0.0/8,127.0.0.1"}"#;
    push_to(registry.address(), proxies).pushed();
}

#[test]
fn a_proxy_that_is_none_touches_nothing_and_is_not_repeated() {
    let outcome = push_to(ELSEWHERE, r#"{"httpProxy":"http://me:hunter2@ho st"}"#);
    let failed = outcome.failed();
    assert_eq!(failed.code, FailureCode::Config);
    assert!(failed.message.contains("httpProxy"), "{}", failed.message);
    assert!(!outcome.everything().contains("hunter2"));
}
