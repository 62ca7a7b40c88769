//! The lock on a pod: two never hold it.

use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use ms2m::migration::error::PortError;
use ms2m::migration::ports::Journal as _;
use serde_json::json;
use tokio::time::Instant;

use crate::server::{World, soon};

/// A lease that somebody on another machine holds, or held.
fn foreign(seconds: u64) -> serde_json::Value {
    json!({
        "metadata": {"name": "ms2m-web-0"},
        "spec": {
            "holderIdentity": "host-b/boot/pid:[1]/77/5/ff",
            "leaseDurationSeconds": seconds,
            // A clock that runs ahead by years must not keep the lock for ever.
            "renewTime": "2099-01-01T00:00:00.000000Z"
        }
    })
}

#[tokio::test]
async fn a_held_lock_is_refused_and_a_released_one_is_free_at_once() {
    let world = World::start().await;
    let (one, two) = (
        world.cluster().await.journal(),
        world.cluster().await.journal(),
    );
    let lock = one.lock("web-0").await.expect("it is free");
    let begin = Instant::now();
    let Err(PortError::Conflict(words)) = soon(two.lock("web-0")).await else {
        panic!("two hold it");
    };
    assert!(
        words.contains(&format!("process {}", std::process::id())),
        "{words}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    two.lock("web-1").await.expect("another pod's is free");

    lock.release().await.expect("it can be released");
    lock.release().await.expect("twice is no error");
    let begin = Instant::now();
    two.lock("web-0").await.expect("it is free again");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_abandoned_lock_is_taken_over_after_its_duration_was_seen_to_pass() {
    let world = World::start().await;
    world.make::<Lease>(foreign(2)).await;
    let begin = Instant::now();
    let journal = world.cluster().await.journal();
    let lock = soon(journal.lock("web-0")).await.expect("nobody renews it");
    assert!(
        begin.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    let lease = world
        .api::<Lease>()
        .get("ms2m-web-0")
        .await
        .expect("a lease");
    assert_eq!(lease.spec.and_then(|spec| spec.lease_transitions), Some(1));
    lock.release().await.expect("it can be released");
}

#[tokio::test]
async fn the_lock_of_a_process_that_died_here_is_free_at_once() {
    let world = World::start().await;
    let one = world.cluster().await.journal();
    let lock = one.lock("web-0").await.expect("it is free");
    let leases = world.api::<Lease>();
    let held = leases.get("ms2m-web-0").await.expect("a lease");
    drop(lock);
    // The same identity with the start time of another process: this pid was given away again.
    let holder = held
        .spec
        .and_then(|it| it.holder_identity)
        .expect("a holder");
    let mut parts: Vec<&str> = holder.split('/').collect();
    parts[4] = "1";
    let patch = json!({"spec": {"holderIdentity": parts.join("/")}});
    leases
        .patch("ms2m-web-0", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("it can be patched");
    let begin = Instant::now();
    one.lock("web-0").await.expect("its holder is dead");
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn of_many_who_want_an_abandoned_lock_one_gets_it() {
    let world = World::start().await;
    world.make::<Lease>(foreign(1)).await;
    let mut journals = Vec::new();
    for _ in 0..6 {
        journals.push(world.cluster().await.journal());
    }
    let tries = join_all(journals.iter().map(|journal| journal.lock("web-0")));
    let locks: Vec<_> = soon(tries)
        .await
        .into_iter()
        .filter_map(Result::ok)
        .collect();
    assert_eq!(locks.len(), 1);
}

#[tokio::test]
async fn a_lock_that_was_taken_away_is_lost() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    let lock = journal.lock("web-0").await.expect("it is free");
    let leases = world.api::<Lease>();
    leases
        .delete("ms2m-web-0", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    soon(lock.lost()).await;

    let lock = journal.lock("web-0").await.expect("it is free");
    let patch = json!({"spec": {"holderIdentity": "somebody-else"}});
    leases
        .patch("ms2m-web-0", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("it can be patched");
    soon(lock.lost()).await;
    lock.release().await.expect("there is nothing to give back");
    leases
        .get("ms2m-web-0")
        .await
        .expect("what is another's stays");
}

#[tokio::test]
async fn renewals_that_fail_for_long_lose_the_lock_before_anybody_else_has_it() {
    let world = World::start().await;
    let (one, two) = (
        world.cluster().await.journal(),
        world.cluster().await.journal(),
    );
    let lock = one.lock("web-0").await.expect("it is free");
    world.fail("update", "leases", 500, 1000);
    let begin = Instant::now();
    let waiting = async {
        let second = two.lock("web-0");
        let end = soon(second).await.err();
        (end, begin.elapsed())
    };
    let losing = async {
        soon(lock.lost()).await;
        // The second can take over now: its own writes are let through.
        let lost = begin.elapsed();
        world.server.faults().clear();
        lost
    };
    let (lost, (end, _)) = tokio::join!(losing, waiting);
    assert!(end.is_none(), "{end:?}");
    assert!(lost >= Duration::from_secs(10), "{lost:?}");
    assert!(lost < Duration::from_secs(15), "{lost:?}");
}

#[tokio::test]
async fn a_short_disturbance_loses_nothing() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    world.fail("create", "leases", 500, 2);
    world.cut("create", "leases", 1);
    let lock = soon(journal.lock("web-0")).await.expect("it is free");
    world.fail("update", "leases", 503, 1);
    world.cut("update", "leases", 1);
    let leases = world.api::<Lease>();
    let before = leases.get("ms2m-web-0").await.expect("a lease");
    let renewed = async {
        loop {
            let now = leases.get("ms2m-web-0").await.expect("a lease");
            if now.spec != before.spec {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = soon(renewed) => {}
        () = lock.lost() => panic!("lost by a short disturbance"),
    }
}

/// Nothing of this process runs for longer than the lock lasts, as after SIGSTOP or the sleep of a
/// laptop. When it wakes, the lock must count as lost before anything else gets a turn: others
/// may have it by then, although no renewal has failed.
#[tokio::test]
async fn a_suspended_process_knows_at_once_that_it_has_lost_the_lock() {
    let world = World::start().await;
    let journal = world.cluster().await.journal();
    let lock = journal.lock("web-0").await.expect("it is free");
    assert!(lock.is_held());
    let mut lost = lock.lost();
    assert!(futures_util::poll!(&mut lost).is_pending());
    std::thread::sleep(Duration::from_secs(13));
    assert!(!lock.is_held());
    assert!(futures_util::poll!(&mut lost).is_ready());
}

/// What a controller holds that led and has fallen silent is free for the one that leads next; what
/// anybody else holds is not.
#[tokio::test]
async fn who_leads_next_has_the_locks_of_who_led() {
    let world = World::start().await;
    let leases = world.api::<Lease>();
    for (name, process, seconds) in [
        ("leader", "77/5/aa", 1),
        ("ms2m-web-0", "77/5/bb", 3_600),
        ("ms2m-web-1", "78/5/cc", 3_600),
    ] {
        let mut lease = foreign(seconds);
        lease["metadata"]["name"] = json!(name);
        lease["spec"]["holderIdentity"] = json!(format!("host-b/boot/pid:[1]/{process}"));

        world.make::<Lease>(lease).await;
    }
    let cluster = world.cluster().await;
    let leadership = soon(cluster.journal().lead("leader")).await;
    let leadership = std::sync::Arc::new(leadership.expect("the other one is silent"));
    let journal = cluster
        .journal()
        .of_leader(std::sync::Arc::clone(&leadership));
    let lock = soon(journal.lock("web-0"))
        .await
        .expect("it was the former leader's");
    let others = tokio::time::timeout(Duration::from_secs(2), journal.lock("web-1")).await;
    assert!(others.is_err(), "somebody else may be at work there");

    // With the leadership each of its locks is lost.
    assert!(lock.is_held());
    leases
        .delete("leader", &DeleteParams::default())
        .await
        .expect("it is there");
    soon(lock.lost()).await;
    assert!(!lock.is_held() && !leadership.is_held());
}
