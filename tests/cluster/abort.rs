//! Requests to abort reach the holder of a lock, and nobody else.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use ms2m::migration::ports::Journal as _;
use serde_json::json;

use crate::server::{World, soon};

#[tokio::test]
async fn the_holder_is_told_within_seconds_and_keeps_its_lock() {
    let world = World::start().await;
    let (one, two) = (
        world.cluster().await.journal(),
        world.cluster().await.journal(),
    );
    let lock = one.lock("web-0").await.expect("it is free");
    let asked = two.request_abort("web-0", "m-1").await.expect("an answer");
    let holder = asked.expect("somebody holds it");
    assert!(
        holder
            .who
            .contains(&format!("process {}", std::process::id())),
        "{holder:?}"
    );
    tokio::time::timeout(Duration::from_secs(8), lock.abort_requested("m-1"))
        .await
        .expect("it is told");
    let other = tokio::time::timeout(Duration::from_millis(100), lock.abort_requested("m-2"));
    assert!(other.await.is_err(), "another migration is not meant");
    assert!(lock.is_held());

    // The renewals go on and keep the request.
    let renewed = async {
        loop {
            let now = two.request_abort("web-0", "m-1").await.expect("an answer");
            let now = now.expect("it is held");
            if now.sign != holder.sign {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(renewed).await;
    let lease = world
        .api::<Lease>()
        .get("ms2m-web-0")
        .await
        .expect("a lease");
    let annotations = lease.metadata.annotations.unwrap_or_default();
    assert_eq!(annotations["migration.ms2m.io/abort"], "m-1");
    lock.release().await.expect("it can be released");
}

#[tokio::test]
async fn without_a_living_holder_there_is_nobody_to_ask() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    let asked = journal.request_abort("web-0", "m-1").await;
    assert_eq!(asked.expect("an answer"), None);

    let lock = journal.lock("web-0").await.expect("it is free");
    let held = journal.holder("web-0").await.expect("an answer");
    let lease = world
        .api::<Lease>()
        .get("ms2m-web-0")
        .await
        .expect("a lease");
    let identity = lease.spec.and_then(|spec| spec.holder_identity);
    lock.release().await.expect("it can be released");
    assert!(held.is_some());

    // The same process with another start time: its pid was given away again.
    let identity = identity.expect("a holder");
    let mut parts: Vec<&str> = identity.split('/').collect();
    parts[4] = "1";
    world
        .make::<Lease>(json!({
            "metadata": {"name": "ms2m-web-0"},
            "spec": {"holderIdentity": parts.join("/"), "leaseDurationSeconds": 15},
        }))
        .await;
    let asked = journal.request_abort("web-0", "m-1").await;
    assert_eq!(asked.expect("an answer"), None);
}

/// The last wish counts: whoever takes a lock over was told to go on after somebody had asked the
/// holder before it to abort.
#[tokio::test]
async fn a_request_dies_with_the_holder_that_it_was_for() {
    let world = World::start().await;
    world
        .make::<Lease>(json!({
            "metadata": {"name": "ms2m-web-0"},
            "spec": {
                "holderIdentity": "host-b/boot/pid:[1]/77/5/ff",
                "leaseDurationSeconds": 2,
                "renewTime": "2099-01-01T00:00:00.000000Z",
            },
        }))
        .await;
    let journal = world.cluster().await.journal();
    let asked = journal.request_abort("web-0", "m-1").await;
    assert!(asked.expect("an answer").is_some(), "nobody knows better");
    // The request is no sign of life of the holder.
    let lock = soon(journal.lock("web-0")).await.expect("it is abandoned");
    let told = tokio::time::timeout(Duration::from_secs(4), lock.abort_requested("m-1"));
    assert!(told.await.is_err(), "it was for another");
    lock.release().await.expect("it can be released");
}
