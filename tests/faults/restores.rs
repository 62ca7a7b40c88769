//! The target's restore failing with each text of the runtimes (facts.md), and a checkpoint call
//! that fails.

use serde_json::json;

use crate::case::{Case, End, FaultOrder, LOOK};
use crate::place::{FORGETFUL, Place};
use crate::support::Options;
use crate::trials::Trials;

/// What CRI-O says; the kubelet retries for ever.
const CRIO: [(&str, &str); 8] = [
    ("image_not_known", "image not known"),
    (
        "mounts_missing",
        "restoring worker expects following bind mounts defined (/data)",
    ),
    (
        "a_file_has_another_size",
        "criu failed: type RESTORE errno 0: file data/x has bad size 7 (expect 5)",
    ),
    (
        "a_connection_cannot_be_bound",
        "inet: Can't bind inet socket back: Cannot assign requested address",
    ),
    ("taken_for_an_ordinary_image", "no command specified"),
    (
        "of_containerd",
        "failed to read \"io.kubernetes.cri-o.Annotations\": open /…: no such file or directory",
    ),
    (
        "by_criu",
        "failed to restore container worker: criu failed: type RESTORE errno 0",
    ),
    (
        "for_a_reason_that_nobody_knows",
        "rpc error: code = Unknown desc = something else",
    ),
];

/// What containerd says; the container ends with StartError and exit code 128.
const CONTAINERD: [(&str, &str); 2] = [
    (
        "by_criu",
        "OCI runtime restore failed: criu failed: type RESTORE errno 0",
    ),
    ("of_crio", "failed to read \"status.dump\": no such file"),
];

/// What a checkpoint call is answered with.
const CHECKPOINTS: [(&str, &str); 3] = [
    (
        "a_connected_socket",
        "inet: Connected TCP socket, consider using --tcp-established option.",
    ),
    ("an_arriving_connection", "In-flight connection (l) for 3f"),
    ("no_support", "checkpoint/restore support not available"),
];

pub(crate) fn add(trials: &mut Trials) {
    for (name, text) in CRIO {
        trials.add(format!("restore::crio_{name}"), move || {
            fails(name, "restore", text, None)
        });
    }
    for (name, text) in CONTAINERD {
        trials.add(format!("restore::containerd_{name}"), move || {
            fails(name, "restore", text, Some(("ctr-a", "ctr-b")))
        });
    }
    for (name, text) in CHECKPOINTS {
        trials.add(format!("checkpoint::{name}"), move || {
            fails(name, "checkpoint", text, None)
        });
    }
    trials.add("restore::works_at_the_second_attempt", second_attempt);
    trials.add(
        "restore::base_image_gone_since_it_was_pulled",
        base_image_gone,
    );
    trials.add("restore::there_and_back_on_containerd", there_and_back);
}

async fn start(name: &str, nodes: Option<(&str, &str)>) -> Case {
    let options = Options {
        nodes: nodes.map(|(from, to)| (from.to_owned(), to.to_owned())),
        ..Options::default()
    };
    Case::start_with(
        Place::shared().await,
        &name.replace('_', "-"),
        &options,
        40.0,
    )
    .await
}

async fn fails(name: &str, on: &str, text: &str, nodes: Option<(&str, &str)>) {
    let case = start(name, nodes).await;
    case.kubelet_fault(on, text, 1000).await;
    let outcome = case.migrate().outcome().await.expect_code(4);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    // JSON has the quotation marks escaped.
    let part = text.split('"').next().unwrap_or(text).trim();
    assert!(said.contains(part), "'{part}' is not in:\n{said}");
    case.ends_well(End::RolledBack).await;
}

/// Two restores of one image at the same moment race in CRI-O, and the kubelet tries again: an
/// error that may pass is given the time to.
async fn second_attempt() {
    let mut case = start("second-attempt", None).await;
    let text = "context deadline exceeded";
    case.kubelet_fault("restore", text, 1).await;
    let end = case.run().await;
    case.ends_well(end).await;
}

/// The node runs out of space between the pull and the restore: its kubelet collects images, and
/// CRI-O never pulls one for a restore.
async fn base_image_gone() {
    let world = &Place::shared().await.world;
    let nodes = (world.source_node.as_str(), FORGETFUL);
    let mut case = start("base-image-gone", Some(nodes)).await;
    // The first pod is the one that pulls.
    let target = case
        .fault(FaultOrder {
            verb: "create",
            path: "/pods",
            skip: 1,
            times: 1,
            after: false,
            action: json!({"delayMs": 5000}),
        })
        .await;
    let running = case.migrate();
    let is_made = || async {
        let requests = case.requests().await;
        let made = requests
            .iter()
            .filter(|it| it.verb == "create" && it.resource == "pods");
        made.count() > 1
    };
    while !is_made().await {
        tokio::time::sleep(LOOK).await;
    }
    let order = json!({"node": FORGETFUL, "collectImages": true});
    case.place.world.order("/node", order).await;
    let outcome = running.outcome().await.expect_code(0);
    assert!(!case.cancel(target).await, "the target's pod was held");
    let end = case.settle(outcome).await;
    case.ends_well(end).await;
}

/// The first target has a mount that its source had not, which the second one must have too.
async fn there_and_back() {
    let mut case = start("there-and-back", Some(("ctr-a", "ctr-b"))).await;
    let end = case.run().await;
    assert_eq!(end, End::Completed);
    case.turn_round().await;
    let end = case.run().await;
    assert_eq!(end, End::Completed);
    case.ends_well(end).await;
}
