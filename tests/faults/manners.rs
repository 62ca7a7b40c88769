//! Applications with bad manners, and producers that pass the gate by.

use crate::case::{Case, End};
use crate::place::Place;
use crate::support::Options;
use crate::trials::Trials;
use crate::verdict::Excuses;

/// What ms2m has to come to.
#[derive(Clone, Copy)]
enum Upshot {
    /// It moves it all the same.
    Moves,
    /// It gives up and rolls back; the words say why.
    GivesUp(&'static str),
    /// It does not begin; the words say why.
    Refuses(&'static str),
}

use Upshot::{GivesUp, Moves, Refuses};

/// Name, environment of the worker, further arguments, and the result.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    Upshot,
);

const CASES: [Row; 8] = [
    (
        "ignores_start_replay",
        &[("IGNORE_START_REPLAY", "true")],
        &["--obey-timeout", "3s"],
        GivesUp("waited for the source to consume its replay queue"),
    ),
    ("obeys_late", &[("CONTROL_DELAY", "2s")], &[], Moves),
    (
        "obeys_too_late",
        &[("CONTROL_DELAY", "5s")],
        &["--obey-timeout", "2s"],
        GivesUp("waited for the source"),
    ),
    (
        "polls_its_control_queue",
        &[("CONTROL_POLL", "1s")],
        &[],
        Moves,
    ),
    (
        "drops_its_connection_on_end_replay",
        &[("DROP_ON_END_REPLAY", "true"), ("PROCESSING_TIME", "3ms")],
        &[],
        Moves,
    ),
    (
        "acknowledges_automatically",
        &[("AUTO_ACK", "true")],
        &[],
        Refuses("acknowledge"),
    ),
    (
        "has_two_consumers",
        &[("CONSUMERS", "2")],
        &[],
        Refuses("has 2 consumers"),
    ),
    (
        "does_not_know_its_new_name",
        &[("CACHE_POD_NAME", "true")],
        &["--obey-timeout", "5s"],
        GivesUp("target"),
    ),
];

pub(crate) fn add(trials: &mut Trials) {
    for row in CASES {
        trials.add(format!("manners::{}", row.0), move || manners(row));
    }
    trials.add("manners::never_quiet", never_quiet);
    trials.add("manners::slow_with_much_to_do", slow);
}

async fn start(name: &str, environment: &[(&'static str, &'static str)], rate: f64) -> Case {
    let options = Options {
        environment: environment
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
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

async fn manners((name, environment, arguments, result): Row) {
    let mut case = start(name, environment, 40.0).await.with(arguments);
    if matches!(result, Refuses(_)) {
        case.app.await_consumer().await;
    }
    let outcome = case.migrate().outcome().await;
    let (code, words) = match result {
        Moves => (0, ""),
        GivesUp(words) => (4, words),
        Refuses(words) => (3, words),
    };
    // What is put back for a source that does not obey may be met by what just comes in.
    let doubtful = code == 4 && outcome.code == Some(11);
    let outcome = if doubtful {
        outcome
    } else {
        outcome.expect_code(code)
    };
    assert!(
        outcome.stderr.contains(words),
        "'{words}' is not in:\n{}",
        outcome.stderr
    );
    let end = match result {
        Moves => End::Completed,
        GivesUp(_) | Refuses(_) => End::RolledBack,
    };
    if matches!(result, Refuses(_)) {
        // What such an application makes of the order of its messages is its own affair.
        case.serves(&case.app.pod).await;
        case.nothing_is_left(end).await;
        return case.clear().await;
    }
    let end = if matches!(result, Refuses(_)) {
        end
    } else {
        case.settle(outcome).await
    };
    // A dropped connection has some messages delivered again.
    let redelivered = name.starts_with("drops");
    case.ends_with(end, Excuses { redelivered }).await;
}

/// Producers that publish straight to the queue, so that it is never quiet.
async fn never_quiet() {
    // More than can be applied within the limit, so that no stall of the publishers looks like
    // quiet; at rates that the worker can catch up with on a busy machine.
    let mut case = start("never-quiet", &[("PROCESSING_TIME", "5ms")], 20.0)
        .await
        .with(&["--drain-timeout", "3s"]);
    case.backlog(1000).await;
    case.publish_past_the_gate(40.0);
    let outcome = case.migrate().outcome().await.expect_code(4);
    assert!(
        outcome.stderr.contains("default exchange"),
        "{}",
        outcome.stderr
    );
    case.ends_well(End::RolledBack).await;
}

/// A worker that is hardly faster than what comes, with a backlog.
async fn slow() {
    let mut case = start("slow", &[("PROCESSING_TIME", "20ms")], 30.0).await;
    case.backlog(150).await;
    let end = case.run().await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}
