//! A party crashing, disappearing, or losing its connection, before and after the commit point.

use ms2m_worker::audit;
use serde_json::{Value, json};

use crate::broker::open_the_gate;
use crate::case::{Case, End};
use crate::place::Place;
use crate::support::cli::Followed;
use crate::support::{Options, eventually};
use crate::trials::Trials;
use crate::verdict::Excuses;

/// Who it happens to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Source,
    Target,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// SIGKILL to its process; the kubelet does what the restart policy says.
    Crash,
    /// Its pod is deleted.
    Deletion,
    /// The broker closes its connections.
    Disconnection,
}

/// Name, the words of ms2m at which it happens, to whom, what, and the only end there may be.
type Row = (&'static str, &'static str, Who, What, Option<End>);

use End::{Completed, RolledBack};
use What::{Crash, Deletion, Disconnection};
use Who::{Source, Target};

/// Those after which the survivor's state must be exact: it is not the survivor that crashed.
const EXACT: [Row; 15] = [
    (
        "target_crashes_as_it_starts",
        "target restored",
        Target,
        Crash,
        Some(RolledBack),
    ),
    (
        "target_is_deleted_as_it_starts",
        "target restored",
        Target,
        Deletion,
        Some(RolledBack),
    ),
    (
        "source_crashes_on_its_own_queue",
        "] Transferring",
        Source,
        Crash,
        Some(Completed),
    ),
    (
        "source_crashes_while_restoring",
        "] Restoring",
        Source,
        Crash,
        Some(Completed),
    ),
    (
        "source_crashes_while_replaying",
        "] Replaying",
        Source,
        Crash,
        None,
    ),
    (
        "source_crashes_after_the_commit",
        "committed:",
        Source,
        Crash,
        Some(Completed),
    ),
    (
        "source_is_deleted_while_replaying",
        "] Replaying",
        Source,
        Deletion,
        None,
    ),
    (
        "source_is_deleted_after_the_commit",
        "committed:",
        Source,
        Deletion,
        Some(Completed),
    ),
    (
        "source_is_disconnected_with_the_gate_closed",
        "gate closed",
        Source,
        Disconnection,
        None,
    ),
    (
        "source_is_disconnected_after_the_checkpoint",
        "checkpoint taken",
        Source,
        Disconnection,
        None,
    ),
    (
        "source_is_disconnected_while_replaying",
        "] Replaying",
        Source,
        Disconnection,
        None,
    ),
    (
        "source_is_disconnected_after_the_commit",
        "committed:",
        Source,
        Disconnection,
        Some(Completed),
    ),
    (
        "target_is_disconnected_while_replaying",
        "] Replaying",
        Target,
        Disconnection,
        None,
    ),
    (
        "target_is_disconnected_with_the_gate_open",
        "gate opened",
        Target,
        Disconnection,
        None,
    ),
    (
        "target_is_disconnected_after_the_commit",
        "committed:",
        Target,
        Disconnection,
        Some(Completed),
    ),
];

/// Those after which it is the survivor that crashed: what it had in memory is gone.
const FORGETFUL: [Row; 2] = [
    (
        "source_crashes_at_the_start",
        "] Checkpointing",
        Source,
        Crash,
        None,
    ),
    (
        "source_crashes_with_the_gate_closed",
        "gate closed",
        Source,
        Crash,
        None,
    ),
];

pub(crate) fn add(trials: &mut Trials) {
    for row in EXACT {
        trials.add(format!("crash::{}", row.0), move || exact(row));
    }
    for row in FORGETFUL {
        trials.add(format!("crash::{}", row.0), move || forgetful(row));
    }
    // The replay is short, and the commit comes at its end: a crash may come to either side of it.
    trials.add("crash::target_crashes_while_replaying", || {
        near_the_commit("target-crashes-while-replaying", "] Replaying")
    });
    trials.add("crash::target_crashes_after_the_commit", || {
        near_the_commit("target-crashes-after-the-commit", "committed:")
    });
    trials.add("crash::source_is_deleted_with_the_gate_closed", || {
        source_gone("source-gone", 60.0)
    });
    trials.add("crash::source_is_deleted_and_much_comes_in", || {
        source_gone("much-comes-in", 1000.0)
    });
    for (name, gate, management, doubt) in TAKEN_OVER {
        let name = format!("crash::source_is_deleted_and_ms2m_killed_{name}");
        trials.add(name, move || taken_over(gate, management, doubt));
    }
    trials.add(
        "crash::target_is_disconnected_with_much_to_replay",
        out_of_turn,
    );
    trials.add("crash::target_is_deleted_with_much_to_replay", buried);
    trials.add(
        "crash::target_is_deleted_and_ms2m_killed_when_the_gate_is_gone",
        buried_twice,
    );
}

/// How long the answers to writes of the record are held back, for time to kill their writer.
const HELD_MS: u64 = 2_000;

/// How whoever goes on with putting messages back finds the gate, whether the broker tells, and what is to be
/// said of the messages' order.
const TAKEN_OVER: [(&str, Gate, bool, Option<&str>); 3] = [
    ("before_the_gate_opened", Gate::Closed, true, None),
    (
        "after_the_gate_opened",
        Gate::Open,
        true,
        Some("messages were put back when the gate had opened"),
    ),
    (
        "and_nobody_knows_of_the_gate",
        Gate::Closed,
        false,
        Some("an earlier process may have opened the gate"),
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    Open,
}

/// An application with something to replay, and a source that is busy while it drains.
async fn start(name: &str) -> Case {
    start_at(name, 60.0).await
}

/// The same with so many messages a second.
async fn start_at(name: &str, rate: f64) -> Case {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "5ms".to_owned())],
        ..Options::default()
    };
    Case::start_with(
        Place::shared().await,
        &name.replace('_', "-"),
        &options,
        rate,
    )
    .await
}

impl Case {
    async fn strike(&self, who: Who, what: What) {
        let pod = match who {
            Source => &self.app.pod,
            Target => &self.app.target,
        };
        let full = format!("{}/{pod}", self.app.namespace);
        let world = &self.place.world;
        match what {
            Crash => {
                world
                    .order("/container", json!({"pod": full, "do": "kill"}))
                    .await;
            }
            Disconnection => {
                world
                    .order("/broker", json!({"do": "disconnect", "pod": full}))
                    .await;
            }
            Deletion => {
                let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.app.namespace);
                self.place
                    .api
                    .delete(&format!("{path}?gracePeriodSeconds=1"))
                    .await;
            }
        }
    }
}

async fn struck((name, moment, who, what, expected): Row) -> (Case, End) {
    let mut case = start(name).await;
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    case.strike(who, what).await;
    let outcome = running.outcome().await;
    let words = format!("{outcome:?}");
    let end = case.settle(outcome).await;
    assert!(
        expected.is_none_or(|expected| expected == end),
        "{end:?}: {words}"
    );
    (case, end)
}

async fn exact(row: Row) {
    let (case, end) = struck(row).await;
    let crashed = match row.2 {
        Source => RolledBack,
        Target => Completed,
    };
    if row.3 != Disconnection {
        assert_ne!(
            end, crashed,
            "the one that crashed must not be the one that survives"
        );
    }
    // A connection that drops under load has some messages delivered again.
    case.ends_with(end, Excuses { redelivered: true }).await;
}

/// What was in the crashed source's memory is lost, and nothing else; nothing is applied twice.
async fn forgetful(row: Row) {
    let (mut case, end) = struck(row).await;
    let survivor = case.survivor(end).to_owned();
    case.serves(&survivor).await;
    let verdict = case.verdict(&survivor, Excuses { redelivered: true }).await;
    assert_eq!(
        (verdict.doubled, verdict.out_of_order),
        (0, 0),
        "{}",
        audit::table(&verdict)
    );
    case.nothing_is_left(end).await;
    case.clear().await;
}

/// While the source is there it takes over again. Once it is gone, so is the state: that is said,
/// and nothing hangs.
async fn near_the_commit(name: &str, moment: &str) {
    let mut case = start(name).await;
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    case.strike(Target, Crash).await;
    let outcome = running.outcome().await;
    match outcome.code {
        Some(4) => {
            let end = case.settle(outcome).await;
            case.ends_with(end, Excuses { redelivered: true }).await;
        }
        // It had been seen at work already, and the source was gone.
        Some(0) => case.clear().await,
        _ => {
            let outcome = outcome.expect_code(9);
            assert!(outcome.stderr.contains(&case.app.target), "{outcome:?}");
            case.clear().await;
        }
    }
}

/// A migration whose gate has just opened, with the source gone and much left to replay.
async fn much_to_replay(name: &str) -> (Case, Followed) {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "10ms".to_owned())],
        ..Options::default()
    };
    let case = Case::start_with(Place::shared().await, name, &options, 40.0).await;
    let mut case = case.with(&["--replay-cutoff", "1s", "--max-pause", "0s"]);
    let mut running = case.migrate();
    assert!(running.says("gate closed").await);
    case.backlog(500).await;
    assert!(running.says("gate opened").await);
    (case, running)
}

/// The target loses its connection with the gate open and much to replay, and comes back on the primary
/// queue by habit: it applies newer messages first, and that is told.
async fn out_of_turn() {
    let (mut case, running) = much_to_replay("out-of-turn").await;
    case.strike(Target, Disconnection).await;
    let outcome = running.outcome().await.expect_code(11);
    let words = "the target left its replay queue before it had finished it";
    assert!(outcome.stderr.contains(words), "{outcome:?}");
    let end = case.settle(outcome).await;
    assert_eq!(end, Completed);
    let survivor = case.survivor(end).to_owned();
    case.serves(&survivor).await;
    let verdict = case.verdict(&survivor, Excuses { redelivered: true }).await;
    assert_eq!((verdict.lost, verdict.doubled), (0, 0), "{verdict:?}");
    assert!(
        verdict.out_of_order > 0,
        "nothing was at stake: {verdict:?}"
    );
    case.nothing_is_left(end).await;
    case.clear().await;
}

/// The target is lost with the gate open and much to replay: that goes back into the primary queue, behind
/// newer messages, and is told.
async fn buried() {
    let (case, running) = much_to_replay("buried").await;
    case.strike(Target, Deletion).await;
    let outcome = running.outcome().await.expect_code(9);
    let words = "messages were put back when the gate had opened";
    let report = outcome.stderr.rsplit("error:").next().unwrap_or_default();
    assert!(report.contains(words), "{outcome:?}");
    case.clear().await;
}

/// The process dies between the removal of the gate and the end of its record: the next one finds no gate to
/// put messages back by, and ends it all the same.
async fn buried_twice() {
    let (case, mut running) = much_to_replay("buried-twice").await;
    case.strike(Target, Deletion).await;
    let fault = case
        .hold_back("delete", "/(jobs|pods)", false, HELD_MS)
        .await;
    let removed = running.says("gate and replay queues of queue").await;
    running.signal("KILL").await;
    let first = running.outcome().await;
    assert!(removed, "{first:?}");
    case.cancel(fault).await;
    let outcome = case.migrate().outcome().await.expect_code(9);
    assert!(outcome.stderr.contains(&case.app.target), "{outcome:?}");
    case.clear().await;
}

/// The source is deleted before there is a checkpoint: nothing can bring it back. It is said, and
/// nothing of the migration is left over, however much comes in while its messages are put back.
async fn source_gone(name: &str, rate: f64) {
    let mut case = start_at(name, rate).await.with(&["--obey-timeout", "5s"]);
    case.backlog(300).await;
    let mut running = case.migrate();
    assert!(running.says("gate closed").await);
    case.strike(Source, Deletion).await;
    let outcome = running.outcome().await;
    let outcome = outcome.expect_code(9);
    // Who sees it first: ms2m, or the kubelet that is asked for the checkpoint.
    let words = format!("source pod {} has ended or is gone", case.app.pod);
    let asked = "the pod was deleted or has left its node between the plan and the checkpoint";
    let told = |words: &str| outcome.stderr.contains(words);
    assert!(told(&words) || told(asked), "{outcome:?}");
    assert!(told("rolled back, but nobody serves"), "{outcome:?}");
    assert!(!told("serves as before"), "{outcome:?}");
    case.clear().await;
}

/// The process dies while messages are put back whose source is gone. Whether it had opened the gate is
/// not in its record: the next one looks, and says what that means for the messages' order.
async fn taken_over(gate: Gate, management: bool, doubt: Option<&str>) {
    let name = doubt.map_or("in-order", |_| "in-doubt");
    let mut case = start(name).await.with(&["--obey-timeout", "5s"]);
    let mut running = case.migrate();
    assert!(running.says("gate closed").await);
    let fault = case.hold_back("patch", "/configmaps", true, HELD_MS).await;
    case.strike(Source, Deletion).await;
    eventually("the way back in the record", async || {
        let records = case.records().await;
        let is_there = |record: &Value| record["status"]["handoff"]["undo"] == "PutBack";
        records.iter().any(is_there).then_some(())
    })
    .await;
    running.signal("KILL").await;
    running.outcome().await;
    case.cancel(fault).await;
    case.backlog(20).await;
    // Nothing comes in at the moment at which the next process opens it.
    case.producers
        .take()
        .expect("they are at work")
        .stop()
        .await;
    if gate == Gate::Open {
        open_the_gate(&case).await;
    }
    if !management {
        case = case.with(&["--management-url", "http://127.0.0.1:9"]);
    }
    let outcome = case.migrate().outcome().await.expect_code(9);
    let told = |words: &str| outcome.stderr.contains(words);
    assert!(told("since the source does not take them"), "{outcome:?}");
    assert!(doubt.is_none_or(told), "{outcome:?}");
    assert_eq!(
        told("may stand before older ones"),
        doubt.is_some(),
        "{outcome:?}"
    );
    case.clear().await;
}
