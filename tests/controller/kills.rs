//! The leader killed at each step boundary, and another controller that takes over.
//!
//! A step boundary is a write of the status: it is held, before it is carried out or after that and
//! before the leader knows, and the leader is killed over it. How many there are is written down
//! nowhere: a walker goes on until a migration ends before its boundary comes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::controller::{Controller, install_crd, requests_of};
use crate::support::{App, Options, Owner, World};

/// Walkers side by side: each takes every so-many-th boundary.
const WALKERS: usize = 3;

/// A write is held for so long, which is enough to be seen and killed over.
const HELD_MS: u64 = 4_000;

/// How long a walker rests between two looks.
const LOOK: Duration = Duration::from_millis(50);

async fn walk(owner: Owner, first: usize, after: bool) {
    let mut boundary = first;
    while killed_at(owner, boundary, after).await {
        boundary += WALKERS;
    }
    assert!(boundary > 10, "there are more boundaries than {boundary}");
}

/// Kills the leader over its status write number `boundary`. `false` when the migration ended before.
async fn killed_at(owner: Owner, boundary: usize, after: bool) -> bool {
    let world = World::get();
    install_crd(world).await;
    let options = Options {
        owner,
        ..Options::default()
    };
    let app = App::start("kill", &options).await;
    app.make_secret().await;
    let leader = Controller::start(&app, &[]).await;
    leader.leads().await;
    let other = Controller::start(&app, &[]).await;
    other.running.says("\"stage\":\"StandsBy\"").await;
    let path = format!("/namespaces/{}/statefulmigrations/m/status", app.namespace);
    let fault = json!({
        "match": {"verb": "patch", "path": path},
        "skip": boundary - 1,
        "times": 1,
        "after": after,
        "action": {"delayMs": HELD_MS},
    });
    let fault = world.order_of_api(fault).await;
    let producers = app.produce(50.0, None);
    app.apply(&app.resource("m")).await;
    let held = has_come(&app, boundary).await;
    if held {
        leader.running.signal("KILL").await;
    }
    // It has done all that was ordered, more often than not.
    Api::of(world).await.delete(&fault).await;
    let found = app.await_end("m").await;
    let told = || format!("{}\n{}", leader.running.stderr(), other.running.stderr());
    // A checkpoint call is not repeated: whether it was carried out nobody knows.
    let survivor = match found["status"]["phase"].as_str() {
        Some("Completed") => &app.target,
        Some("Failed") => &app.pod,
        _ => panic!("it has not ended: {found:#}"),
    };
    let record = producers.stop().await;
    let (verdict, _) = app.verdict(&record, survivor).await;
    assert!(
        verdict.exact,
        "killed at {boundary}: {verdict:?}\n{}",
        told()
    );
    let left = app.broker_listing().await;
    assert!(
        !left.iter().any(|it| it.contains(".ms2m-")),
        "killed at {boundary}: {left:?}\n{}",
        told()
    );
    app.end().await;
    held
}

/// Waits until the write has come; `false` when the migration has ended before.
async fn has_come(app: &App, boundary: usize) -> bool {
    let is_write =
        |it: &&Value| it["verb"] == "patch" && it["resource"] == "statefulmigrations/status";
    let api = Api::of(app.world).await;
    loop {
        let found = app.migration("m").await.unwrap_or_default();
        let requests = requests_of(&api, &app.namespace).await;
        if requests.iter().filter(is_write).count() >= boundary {
            return true;
        }
        let phase = found["status"]["phase"].as_str().unwrap_or_default();
        if ["Completed", "Failed"].contains(&phase) {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

macro_rules! walkers {
    ($($name:ident: $owner:expr, $first:literal, $after:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                walk($owner, $first, $after).await;
            }
        )*
    };
}

walkers! {
    before_each_boundary_from_1: Owner::Nobody, 1, false;
    before_each_boundary_from_2: Owner::Nobody, 2, false;
    before_each_boundary_from_3: Owner::Nobody, 3, false;
    after_each_boundary_of_a_set_from_1: Owner::StatefulSet, 1, true;
    after_each_boundary_of_a_set_from_2: Owner::StatefulSet, 2, true;
    after_each_boundary_of_a_set_from_3: Owner::StatefulSet, 3, true;
}
