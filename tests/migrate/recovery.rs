//! Migrations that a process has left or is told to leave: resumed, aborted, interrupted, and
//! taken over. Each with producers at work and the audit at the end.

use ms2m_worker::producer::Record;

use crate::support::app::Producers;
use crate::support::cli::{Outcome, Running};
use crate::support::{App, Options};

/// The name of every migration here; each has a namespace of its own.
const NAME: &str = "m-1";

/// A worker that takes its time over a backlog, so that its migration stays before the checkpoint
/// for some seconds, and producers.
struct Scene {
    app: App,
    producers: Producers,
    cluster: Vec<String>,
    broker: Vec<String>,
}

impl Scene {
    async fn start(name: &str) -> Self {
        let environment = vec![("PROCESSING_TIME", "50ms".to_owned())];
        Self::with(name, environment, 100).await
    }

    async fn with(name: &str, environment: Vec<(&'static str, String)>, backlog: u64) -> Self {
        let options = Options {
            environment,
            ..Options::default()
        };
        let app = App::start(name, &options).await;
        let backlog = app.publish(backlog).await;
        Self {
            cluster: app.cluster_listing().await,
            broker: app.broker_listing().await,
            producers: app.produce(5.0, Some(backlog)),
            app,
        }
    }

    fn migrate(&self) -> Running {
        let mut arguments = self.app.migrate_arguments();
        arguments.extend(["--name".to_owned(), NAME.to_owned()]);
        self.app.start_ms2m(&arguments)
    }

    /// A migration that has closed the gate and waits for the source.
    async fn migrating(&self) -> Running {
        let running = self.migrate();
        running.says("gate closed").await;
        running
    }

    /// One that was killed there.
    async fn killed(&self) {
        let running = self.migrating().await;
        running.signal("KILL").await;
        running.outcome().await;
    }

    async fn abort(&self, more: &[&str]) -> Outcome {
        self.app.run(&[&["abort", NAME], more].concat()).await
    }

    /// The source serves, exact, and everything is as it was but for the record.
    async fn is_as_before(self) {
        let record = self.producers.stop().await;
        self.app.assert_exact(&record, &self.app.pod).await;
        self.app.await_broker(&self.broker).await;
        let now: Vec<String> = self
            .app
            .cluster_listing()
            .await
            .into_iter()
            .filter(|name| name != &format!("configmap/ms2m-{NAME}"))
            .collect();
        assert_eq!(now, self.cluster);
        self.app.end().await;
    }

    /// The target serves, exact.
    async fn is_moved(self) {
        let record: Record = self.producers.stop().await;
        self.app.assert_exact(&record, &self.app.target).await;
        self.app.end().await;
    }
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "'{word}' is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_resumed_by_its_name_alone() {
    let scene = Scene::start("resume").await;
    scene.killed().await;
    let resumed = scene
        .app
        .run(&["migrate", "--resume", NAME, "-o", "json"])
        .await
        .expect_code(0);
    has(
        &resumed.stderr,
        &[
            "migration m-1 of pod",
            "has not ended: it is Checkpointing; going on with it",
            "going on to move",
        ],
    );
    assert_eq!(resumed.json()["migration"], NAME);
    let again = scene.app.run(&["migrate", "--resume", NAME]).await;
    has(
        &again.expect_code(3).stderr,
        &["migration m-1 has ended", "it is completed"],
    );
    scene.is_moved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resumed_is_refused_with_a_remedy() {
    let scene = Scene::start("unresumed").await;
    let running = scene.migrating().await;
    let unknown = scene.app.run(&["migrate", "--resume", "m-2"]).await;
    has(
        &unknown.expect_code(3).stderr,
        &["there is no migration m-2", "did you mean m-1?"],
    );
    let status = scene.app.run(&["status", NAME]).await;
    has(&status.expect_code(0).stdout, &["Held by   process"]);
    let held = scene.app.run(&["migrate", "--resume", NAME]).await;
    has(
        &held.expect_code(3).stderr,
        &["is already under way", "is being migrated by process"],
    );
    running.outcome().await.expect_code(0);
    scene.is_moved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_rolls_back_what_nobody_works_on() {
    let scene = Scene::start("abort").await;
    scene.killed().await;
    let aborted = scene.abort(&["-o", "json"]).await.expect_code(0);
    has(
        &aborted.stderr,
        &[
            "undone: queue",
            "undone: gate and replay queues removed",
            "undone: the pods and the Job",
        ],
    );
    let undone = &aborted.json()["undone"];
    assert!(
        undone.as_array().is_some_and(|it| it.len() >= 3),
        "{undone}"
    );
    let again = scene.abort(&[]).await.expect_code(0);
    has(&again.stderr, &["has ended already"]);
    has(&again.stdout, &["migration m-1 is rolled back"]);
    let resume = scene.app.run(&["migrate", "--resume", NAME]).await;
    has(&resume.expect_code(3).stderr, &["has ended"]);
    let named_again = scene.migrate().outcome().await.expect_code(3);
    has(
        &named_again.stderr,
        &["there is a migration m-1 already", "--name"],
    );
    scene.is_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_reaches_the_process_that_works_on_it() {
    let scene = Scene::start("ask").await;
    let running = scene.migrating().await;
    // By its pod, as somebody would who does not know the name.
    let aborted = scene.app.run(&["abort", &scene.app.pod]).await;
    let aborted = aborted.expect_code(0);
    has(
        &aborted.stderr,
        &[
            "process",
            "works on migration m-1, and was asked to roll it back",
        ],
    );
    has(&aborted.stdout, &["migration m-1 is rolled back"]);
    let outcome = running.outcome().await.expect_code(130);
    has(
        &outcome.stderr,
        &["somebody has asked to abort this migration", "undone:"],
    );
    assert_eq!(outcome.json()["error"]["kind"], "interrupted");
    scene.is_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_need_not_wait() {
    let scene = Scene::start("nowait").await;
    let running = scene.migrating().await;
    let asked = scene.abort(&["--wait=false", "-o", "json"]).await;
    has(
        asked.expect_code(0).json()["asked"]
            .as_str()
            .unwrap_or_default(),
        &["process"],
    );
    running.outcome().await.expect_code(130);
    scene.is_as_before().await;
}

/// An application that obeys late keeps its migration past the commit point for a while.
async fn committed(name: &str) -> (Scene, Running) {
    let scene = Scene::with(name, vec![("CONTROL_POLL", "2s".to_owned())], 10).await;
    let running = scene.migrate();
    running.says("committed").await;
    (scene, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_commit_point_an_abort_finishes() {
    let (scene, running) = committed("late").await;
    running.signal("KILL").await;
    running.outcome().await;
    let aborted = scene.abort(&[]).await.expect_code(8);
    has(
        &aborted.stderr,
        &[
            "could not be aborted any more",
            "past its commit point",
            "serves",
        ],
    );
    let again = scene.abort(&[]).await.expect_code(8);
    has(&again.stderr, &["could not be aborted any more"]);
    scene.is_moved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_commit_point_an_interrupted_process_finishes() {
    let (scene, running) = committed("forward").await;
    running.signal("TERM").await;
    let outcome = running.outcome().await.expect_code(0);
    has(&outcome.stderr, &["only forward, so it is being finished"]);
    scene.is_moved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_and_a_kill_roll_back_visibly() {
    let scenes = tokio::join!(Scene::start("hup"), Scene::start("term"));
    for (scene, signal) in [(scenes.0, "HUP"), (scenes.1, "TERM")] {
        let running = scene.migrating().await;
        running.signal(signal).await;
        let outcome = running.outcome().await.expect_code(130);
        has(
            &outcome.stderr,
            &[
                "interrupted: rolling back, the source goes on serving",
                "undone: messages go to queue",
                "undone: gate and replay queues removed",
                "interrupted and rolled back: the source serves as before",
            ],
        );
        scene.is_as_before().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_says_how_to_go_on() {
    let scene = Scene::start("second").await;
    let running = scene.migrating().await;
    running.signal("INT").await;
    running.says("interrupted: rolling back").await;
    running.signal("INT").await;
    let outcome = running.outcome().await.expect_code(130);
    let command = outcome
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("ms2m abort "))
        .unwrap_or_else(|| panic!("no command is given:\n{}", outcome.stderr));
    let words: Vec<String> = std::iter::once("abort")
        .chain(command.split(' '))
        .map(str::to_owned)
        .collect();
    has(
        &outcome.stderr,
        &["stopped at once", "ms2m migrate --resume m-1 -n "],
    );
    scene.app.ms2m(&words).await.expect_code(0);
    scene.is_as_before().await;
}

/// A process that was suspended for longer than its lock lasts does nothing after it wakes.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_wakes_too_late_stops_at_once() {
    let scene = Scene::start("suspended").await;
    let running = scene.migrating().await;
    running.signal("STOP").await;
    let words = running.stderr();
    // It is alive, as far as anybody can see, so the lock has to run out.
    let other = scene.app.run(&["migrate", &scene.app.pod]).await;
    other.expect_code(0);
    running.signal("CONT").await;
    let outcome = running.outcome().await.expect_code(7);
    assert_eq!(outcome.json()["error"]["kind"], "lockLost");
    has(&outcome.stderr, &["the lock on the pod was lost"]);
    let since = outcome.stderr.strip_prefix(&words).unwrap_or_default();
    assert!(!since.contains("undone"), "it has done something:\n{since}");
    scene.is_moved().await;
}

/// A roll-back that fails is remembered with what is left, and cleared by whoever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_that_fails_is_stuck_until_somebody_clears_it() {
    let scene = Scene::start("stuck").await;
    if !scene.app.world.is_sandbox() {
        scene.app.end().await;
        return;
    }
    let running = scene.migrating().await;
    let fault = serde_json::json!({
        "match": {"verb": "delete", "path": format!("namespaces/{}/pods/", scene.app.namespace)},
        "times": 1000,
        "action": {"status": 403, "message": "pods are protected by a test"},
    });
    let fault = scene.app.world.order_of_api(fault).await;
    running.signal("INT").await;
    let outcome = running.outcome().await.expect_code(6);
    has(
        &outcome.stderr,
        &[
            "not undone: roll back",
            "protected by a test",
            "pod m-1-pull",
            "ms2m abort m-1 -n",
        ],
    );
    let left = outcome.json()["error"]["left"].to_string();
    assert!(!left.contains("queue"), "the broker is clean: {left}");

    let list = scene.app.run(&["status"]).await.expect_code(0).stdout;
    has(&list, &["Stuck"]);
    let one = scene.app.run(&["status", NAME]).await.expect_code(0).stdout;
    has(
        &one,
        &[
            "stuck in its roll-back",
            "left: pod m-1-pull",
            "this undoes the rest: ms2m abort m-1 -n",
            "UndoFailed",
        ],
    );

    scene.app.world.kubectl(&["delete", "--raw", &fault]).await;
    // Going on means rolling back, even by the command that moves pods.
    let again = scene.app.run(&["migrate", &scene.app.pod]).await;
    has(
        &again.expect_code(4).stderr,
        &["it is stuck in its roll-back; going on with its roll-back"],
    );
    let list = scene.app.run(&["status"]).await.expect_code(0).stdout;
    has(&list, &["Failed"]);
    scene.is_as_before().await;
}
