//! Each kind of call that `ms2m` makes of the API server, failing in passing, and denied for good;
//! watches cut in mid-stream; the lock that cannot be renewed.
//!
//! The kinds are those that a migration was seen to make; one case sees that no kind is missing.

use serde_json::{Value, json};

use crate::case::{Case, End, FaultOrder, Request};
use crate::place::Place;
use crate::support::Options;
use crate::trials::Trials;

/// One kind of call.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    verb: &'static str,
    /// Found in the path; POD stands for the pod's name.
    path: &'static str,
    /// So many calls of this verb and path come before it.
    skip: usize,
    /// Whether a conflict (409) is something that such a call can be answered with, and means
    /// nothing but 'try again'.
    conflicts: bool,
}

const fn kind(name: &'static str, verb: &'static str, path: &'static str) -> Kind {
    Kind {
        name,
        verb,
        path,
        skip: 0,
        conflicts: false,
    }
}

impl Kind {
    const fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    const fn may_conflict(self) -> Self {
        Self {
            conflicts: true,
            ..self
        }
    }
}

const WATCH_PULL: &str = "watch=true.*metadata.name%3DPOD-[a-z0-9]+-pull";
const WATCH_RECEIVER: &str = "watch=true.*metadata.name%3DPOD-[a-z0-9]+-receiver";
const OF_TRANSFER: &str = "labelSelector=migration.ms2m.io%2Ftransfer";

const KINDS: [Kind; 26] = [
    kind("read_the_pod", "get", "/pods/POD$"),
    kind("list_migrations", "list", "/statefulmigrations"),
    kind("list_records", "list", "/configmaps"),
    kind("ask_for_rights", "create", "/selfsubjectaccessreviews"),
    kind("list_pods", "list", "/pods\\?&limit"),
    kind("list_nodes", "list", "/nodes$"),
    kind("list_budgets", "list", "/poddisruptionbudgets"),
    kind("take_the_lock", "create", "/leases"),
    kind("make_the_record", "create", "/configmaps"),
    kind("make_the_pull", "create", "/pods$").may_conflict(),
    kind("watch_the_pull", "watch", WATCH_PULL),
    kind("write_the_record", "patch", "/configmaps/").may_conflict(),
    kind("make_the_job", "create", "/jobs$").may_conflict(),
    kind("list_the_transfer", "list", OF_TRANSFER),
    kind("watch_the_transfer", "watch", OF_TRANSFER),
    kind("read_the_log", "get", "/log\\?"),
    kind("read_the_source", "list", "metadata.name%3DPOD$"),
    kind("make_the_target", "create", "/pods$")
        .after(1)
        .may_conflict(),
    kind("watch_the_target", "watch", "metadata.name%3DPOD-shadow&"),
    kind("label_the_target", "patch", "/pods/POD-shadow$").may_conflict(),
    kind("remove_the_source", "delete", "/pods/POD$").may_conflict(),
    kind("watch_the_source", "watch", "metadata.name%3DPOD&"),
    kind("remove_the_pull", "delete", "/pods/POD-[a-z0-9]+-pull$").may_conflict(),
    kind("remove_the_job", "delete", "/jobs/").may_conflict(),
    kind("give_the_lock_back", "delete", "/leases/").may_conflict(),
    // One call is one checkpoint, so it is not repeated: see `checkpoint_call` for it.
    kind("take_the_checkpoint", "create", "/proxy/checkpoint/"),
];

const CHECKPOINT: &str = "take_the_checkpoint";

/// Calls of a direct transfer, besides those of every one.
const DIRECT: [Kind; 5] = [
    kind("make_the_receiver", "create", "/pods$")
        .after(1)
        .may_conflict(),
    kind("make_the_secret", "create", "/secrets$").may_conflict(),
    kind("watch_the_receiver", "watch", WATCH_RECEIVER),
    kind(
        "remove_the_receiver",
        "delete",
        "/pods/POD-[a-z0-9]+-receiver$",
    )
    .may_conflict(),
    kind(
        "remove_the_secret",
        "delete",
        "/secrets/POD-[a-z0-9]+-receiver$",
    )
    .may_conflict(),
];

/// The port of the first of them; a receiver takes two of its node's.
const DIRECT_PORT: usize = 5401;

/// Calls of a roll-back, with a restore that fails.
const BACK: [Kind; 1] = [kind("remove_the_target", "delete", "/pods/POD-shadow$").may_conflict()];

/// Comes by time: `lock` has its cases.
const RENEWAL: Kind = kind("renew_the_lock", "update", "/leases/");

/// Comes by time: the cases of lost nodes hang on it.
const LOOK_AT_NODE: Kind = kind("look_at_a_node", "get", "/nodes/");

pub(crate) fn add(trials: &mut Trials) {
    for kind in KINDS {
        if kind.name != CHECKPOINT {
            trials.add(
                format!("calls::{}_fails_in_passing", kind.name),
                move || fails_in_passing(kind, false, Vec::new()),
            );
        }
        trials.add(format!("calls::{}_is_denied", kind.name), move || {
            is_denied(kind, Vec::new())
        });
    }
    for (number, kind) in DIRECT.into_iter().enumerate() {
        trials.add(
            format!("calls::{}_fails_in_passing", kind.name),
            move || fails_in_passing(kind, false, direct(4 * number)),
        );
        trials.add(format!("calls::{}_is_denied", kind.name), move || {
            is_denied(kind, direct(4 * number + 2))
        });
    }
    for kind in BACK {
        trials.add(
            format!("calls::{}_fails_in_passing", kind.name),
            move || fails_in_passing(kind, true, Vec::new()),
        );
    }
    for (name, action, after) in [
        (
            "is_refused",
            json!({"status": 500, "message": "etcd is not there"}),
            false,
        ),
        ("is_busy", json!({"status": 429, "retryAfter": 1}), false),
        ("gets_no_answer", json!({"cut": true}), true),
    ] {
        trials.add(format!("calls::checkpoint_{name}"), move || {
            checkpoint_call(name, action, after)
        });
    }
    trials.add("calls::all_watches_are_cut_again_and_again", watches_cut);
    trials.add("calls::the_lock_is_not_renewed_for_a_while", || lock(4));
    trials.add("calls::the_lock_is_lost", || lock(1000));
    trials.add("calls::there_is_no_other_kind", no_other_kind);
}

/// Arguments for a direct transfer by ports that no other case uses.
pub(crate) fn direct(number: usize) -> Vec<String> {
    let port = (DIRECT_PORT + number).to_string();
    ["--direct", "--direct-port", &port]
        .map(str::to_owned)
        .to_vec()
}

/// Orders a fault for calls of this kind.
async fn order(
    case: &Case,
    kind: Kind,
    times: u32,
    after: bool,
    action: Value,
) -> crate::case::Ordered {
    let path = kind.path.replace("POD", &case.app.pod);
    case.fault(FaultOrder {
        verb: kind.verb,
        path: &path,
        skip: kind.skip,
        times,
        after,
        action,
    })
    .await
}

/// Every passing error one after the other: each attempt at the call meets the next one.
async fn fails_in_passing(kind: Kind, back: bool, arguments: Vec<String>) {
    let mut case = Case::start(&kind.name.replace('_', "-")).await;
    case.arguments.extend(arguments);
    if back {
        case.kubelet_fault("restore", "image not known", 100).await;
    }
    let mut faults = vec![
        (
            json!({"status": 500, "message": "etcdserver: request timed out"}),
            false,
        ),
        (json!({"status": 429, "retryAfter": 1}), false),
        (json!({"cut": true}), false),
        (json!({"cut": true}), true),
    ];
    if kind.conflicts {
        faults.push((
            json!({"status": 409, "message": "the object has been modified"}),
            false,
        ));
    }
    let mut ordered = Vec::new();
    for (action, after) in faults {
        ordered.push(order(&case, kind, 1, after, action).await);
    }
    let outcome = case.migrate().outcome().await;
    let words = format!("{outcome:?}");
    let (mut left, total) = (0, ordered.len());
    for fault in ordered {
        left += usize::from(case.cancel(fault).await);
    }
    let end = case.settle(outcome).await;
    let expected = if back {
        End::RolledBack
    } else {
        End::Completed
    };
    assert_eq!(end, expected, "{words}");
    // After an answer that was lost the work need not be asked for again, and a watch whose pod has
    // gone meanwhile is not made again.
    assert!(
        left < total,
        "no fault was met: is there still such a call?"
    );
    case.ends_well(end).await;
}

/// 403 for ever, until it has ended: then somebody grants the right, and it is run again where
/// something is left to do.
async fn is_denied(kind: Kind, arguments: Vec<String>) {
    let mut case = Case::start(&format!("no-{}", kind.name.replace('_', "-"))).await;
    case.arguments.extend(arguments);
    let action = json!({"status": 403, "message": "forbidden: ordered fault"});
    let fault = order(&case, kind, 1_000_000, false, action).await;
    let outcome = case.migrate().outcome().await;
    case.cancel(fault).await;
    case.archive_may_stay = kind.name == "make_the_job";
    let refused = outcome.code == Some(3);
    if refused {
        assert!(
            outcome.stderr.contains("nothing was changed"),
            "{outcome:?}"
        );
        case.lock_may_stay = kind.name == "give_the_lock_back";
        return case.ends_well(End::RolledBack).await;
    }
    case.lock_may_stay = kind.name == "give_the_lock_back";
    let end = case.settle(outcome).await;
    case.ends_well(end).await;
}

/// The one call that is never repeated.
async fn checkpoint_call(name: &str, action: Value, after: bool) {
    let mut case = Case::start(&format!("checkpoint-{}", name.replace('_', "-"))).await;
    let kind = KINDS[KINDS.len() - 1];
    let fault = order(&case, kind, 1, after, action).await;
    case.archive_may_stay = after;
    let outcome = case.migrate().outcome().await.expect_code(4);
    assert!(!case.cancel(fault).await, "the call was made");
    let calls = case.requests().await;
    let calls = calls
        .iter()
        .filter(|it| it.path.contains("/proxy/checkpoint/"))
        .count();
    assert_eq!(calls, 1, "one call is one checkpoint");
    let end = case.settle(outcome).await;
    case.ends_well(end).await;
}

/// All watches and followed logs of ms2m are cut in mid-stream as often as possible.
async fn watches_cut() {
    let mut case = Case::start("watches").await;
    let running = case.migrate();
    let cut = async {
        let order = json!({"match": {"user": case.app.namespace}});
        loop {
            case.place.api.post("/sandbox/cut", &order).await;
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = running.outcome() => outcome,
        () = cut => unreachable!("it cuts for ever"),
    };
    let end = case.settle(outcome).await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}

/// The lock cannot be renewed for so many attempts. The source takes its time over what waits in
/// its queue, so that renewals come.
async fn lock(times: u32) {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "60ms".to_owned())],
        ..Options::default()
    };
    let mut case = Case::start_with(
        Place::shared().await,
        &format!("lock-{times}"),
        &options,
        12.0,
    )
    .await;
    case.backlog(250).await;
    let fault = case
        .fault(FaultOrder {
            verb: RENEWAL.verb,
            path: RENEWAL.path,
            skip: 0,
            times,
            after: false,
            action: json!({"status": 500}),
        })
        .await;
    let outcome = case.migrate().outcome().await;
    let hit = !case.cancel(fault).await;
    if times < 100 {
        assert!(hit, "it was renewed");
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    } else {
        assert_eq!(
            outcome.code,
            Some(7),
            "it stops at once without its lock: {outcome:?}"
        );
    }
    let end = case.settle(outcome).await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}

/// A call that no kind of the table stands for has no case.
async fn no_other_kind() {
    let mut case = Case::start("kinds").await;
    let end = case.run().await;
    let strangers: Vec<Request> = case
        .requests()
        .await
        .into_iter()
        .filter(|request| {
            !KINDS
                .iter()
                .chain(&BACK)
                .chain([&RENEWAL, &LOOK_AT_NODE])
                .any(|kind| {
                    let path = kind.path.replace("POD", &case.app.pod);
                    let path = regex::Regex::new(&path).expect("an expression");
                    let bare = request.path.split('?').next().unwrap_or_default();
                    kind.verb == request.verb
                        && (path.is_match(bare) || path.is_match(&request.path))
                })
        })
        .collect();
    assert!(strangers.is_empty(), "calls without a case: {strangers:#?}");
    case.ends_well(end).await;
}
