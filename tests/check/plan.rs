//! `ms2m plan`: what would be done, and about how long it would take.

use crate::support::{App, Options, eventually};

/// Arguments of `ms2m plan` for the migration of an application, with `-o json`.
fn arguments(app: &App) -> Vec<String> {
    let mut arguments = crate::shown::arguments(app);
    "plan".clone_into(&mut arguments[0]);
    arguments
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_rests_on_what_is_seen() {
    let app = App::start("plan", &Options::default()).await;
    let producers = app.produce(40.0, None);
    let before = app.cluster_listing().await;
    let shown = eventually("the broker tells its rates", async || {
        let shown = app.ms2m(&arguments(&app)).await.expect_code(0).json();
        let replay = shown["estimate"]["steps"].to_string();
        replay
            .contains("messages a second come in")
            .then_some(shown)
    })
    .await;
    producers.stop().await;
    assert_eq!(app.cluster_listing().await, before, "nothing is changed");
    let estimate = &shown["estimate"];
    for step in estimate["steps"].as_array().into_iter().flatten() {
        assert!(step["seconds"].is_number(), "{step}: the sandbox tells all");
        assert!(step["reason"].as_str().is_some_and(|it| !it.is_empty()));
    }
    let steps = estimate["steps"].to_string();
    assert!(steps.contains("were measured on CRI-O"), "{steps}");
    let total = estimate["totalSeconds"].as_f64().expect("all is known");
    let downtime = estimate["downtimeSeconds"].as_f64().expect("it is known");
    assert!(0.0 < downtime && downtime < total, "{estimate}");
    assert_eq!(shown["plan"]["targetPod"], app.target.as_str());
    app.end().await;
}

/// What an earlier migration took counts for more than what was measured elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_migration_is_what_the_next_one_is_reckoned_by() {
    let app = App::start("again", &Options::default()).await;
    let moved = app.migrate(&["--name", "before"]).await.expect_code(0);
    let mut arguments = arguments(&app);
    arguments[1].clone_from(&app.target);
    arguments[3].clone_from(&app.from);
    let shown = app.ms2m(&arguments).await.expect_code(0).json();
    let steps = shown["estimate"]["steps"].as_array().expect("steps");
    let step = |name: &str| {
        let mut all = steps.iter();
        all.find(|it| it["name"] == name)
            .expect("there is such a step")
    };
    for name in ["checkpoint", "transfer", "restore"] {
        let reason = step(name)["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("as in migration before"), "{reason}");
    }
    let seconds = step("checkpoint")["seconds"].as_f64();
    let was = moved.json()["checkpointCallSeconds"].as_f64();
    assert_eq!(seconds, was, "the same application");
    // What is thought when one begins is kept, to be laid beside what it comes to.
    "migrate".clone_into(&mut arguments[0]);
    arguments.extend(["--name".to_owned(), "after".to_owned()]);
    app.ms2m(&arguments).await.expect_code(0);
    let status = ["status", "after", "-n", &app.namespace].map(str::to_owned);
    let json = [&status[..], &["-o".to_owned(), "json".to_owned()]].concat();
    let record = app.ms2m(&json).await.expect_code(0).json();
    let thought = record["status"]["estimate"]["checkpoint"].as_str();
    assert_eq!(
        thought,
        moved.json()["checkpointCallSeconds"]
            .as_f64()
            .map(|it| format!("{it:.3}s"))
            .as_deref()
    );
    let shown = app.ms2m(&status).await.expect_code(0);
    assert!(shown.stdout.contains("estimate       fact"), "{shown:?}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_refused() {
    let app = App::start("refused", &Options::default()).await;
    let mut arguments = arguments(&app);
    arguments.extend(["--container".to_owned(), "nobody".to_owned()]);
    let refused = app.ms2m(&arguments).await.expect_code(3);
    assert!(
        refused.stderr.contains("has no container nobody"),
        "{refused:?}"
    );
    app.end().await;
}
