use super::*;
use crate::api::{Compression, Phase, Strategy};
use crate::cli::commands::which::tests::record;
use crate::cli::view::summary::tests::summary;

fn begins(pod: &str, to: &str, warnings: &[&str]) -> Move {
    Move {
        label: pod.to_owned(),
        namespace: "default".to_owned(),
        pod: pod.to_owned(),
        how: How::Begins(Box::new(Plan {
            name: format!("{pod}-x7k2f"),
            namespace: "default".to_owned(),
            source_pod: pod.to_owned(),
            source_uid: "u-1".to_owned(),
            source_node: "node-a".to_owned(),
            container: "worker".to_owned(),
            base_image: "registry.example.com/worker@sha256:00".to_owned(),
            target_node: to.to_owned(),
            target_pod: pod.to_owned(),
            strategy: Strategy::Sequential,
            owner: None,
            queue: format!("orders.{pod}"),
            bindings: Vec::new(),
            checkpoint_image: "registry.example.com/checkpoints:x".to_owned(),
            transfer_image: "registry.example.com/ms2m-transfer:1".to_owned(),
            compression: Compression::Gzip,
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            estimate: BTreeMap::new(),
        })),
    }
}

fn goes_on(pod: &str) -> Move {
    let mut record = record(&format!("{pod}-abcde"), pod);
    record.status.phase = Some(Phase::Replaying);
    record.status.strategy = Some(Strategy::ShadowPod);
    record.status.source_node = Some("node-a".to_owned());
    record.status.target_node = Some("node-c".to_owned());
    Move {
        label: pod.to_owned(),
        namespace: "default".to_owned(),
        pod: pod.to_owned(),
        how: How::GoesOn(Box::new(record)),
    }
}

fn survey() -> Survey {
    Survey {
        node: "node-a".to_owned(),
        moves: vec![
            goes_on("cart-0"),
            begins("worker-0", "node-b", &["init containers run again"]),
            begins("worker-1", "node-c", &[]),
        ],
        stays: vec![Stay {
            label: "loner".to_owned(),
            namespace: "default".to_owned(),
            pod: "loner".to_owned(),
            error: Error::refused("nothing says which queue it consumes").hint("say it"),
        }],
        aside: BTreeMap::from([(Aside::Finished, 3), (Aside::DaemonSet, 1)]),
    }
}

fn rolled_back() -> Ending {
    let error = Error::new(ErrorKind::RolledBack, "failed to restore worker-0");
    Ending::Failed(Box::new(error))
}

#[test]
fn people_read_what_moves_and_what_does_not() {
    insta::assert_snapshot!(plan(&survey(), Paint(false)), @r"
    POD       TO      STRATEGY    QUEUE            PLAN
    cart-0    node-c  ShadowPod   q                goes on with cart-0-abcde, Replaying
    worker-0  node-b  Sequential  orders.worker-0  moves
    worker-1  node-c  Sequential  orders.worker-1  moves
    Cannot move
      loner: nothing says which queue it consumes
        next: say it
        see: ms2m explain refused
    Not concerned: 1 of a DaemonSet, 3 finished
    warning: worker-0: init containers run again
    ");
}

#[test]
fn people_read_what_came_of_each() {
    let endings = [
        Ending::Moved(Box::new(summary())),
        rolled_back(),
        Ending::NotBegun("another one has failed"),
    ];
    insta::assert_snapshot!(results(&survey(), &endings, 100), @r"
    ╭──────────┬────────┬────────┬─────────────────────────────────────────┬────────┬──────────╮
    │ Pod      ┆ From   ┆ To     ┆ Result                                  ┆ Total  ┆ Downtime │
    ╞══════════╪════════╪════════╪═════════════════════════════════════════╪════════╪══════════╡
    │ cart-0   ┆ node-a ┆ node-b ┆ moved                                   ┆ 5.200s ┆ 0.480s   │
    │ worker-0 ┆ node-a ┆ node-b ┆ rolled back: failed to restore worker-0 ┆        ┆          │
    │ worker-1 ┆ node-a ┆ node-c ┆ not begun: another one has failed       ┆        ┆          │
    ╰──────────┴────────┴────────┴─────────────────────────────────────────┴────────┴──────────╯
    ");
    assert_eq!(exit_code(&endings, false), 4);
}

#[test]
fn scripts_read_all_of_it_in_one_object() {
    let planned = document(&survey(), None, Some(&Error::refused("no")));
    assert_eq!(planned["pods"][0]["unfinished"]["name"], "cart-0-abcde");
    assert_eq!(planned["pods"][1]["plan"]["targetNode"], "node-b");
    assert_eq!(planned["cannotMove"][0]["pod"], "loner");
    assert_eq!(planned["notConcerned"]["finished"], 3);
    assert_eq!(planned["error"]["exitCode"], 3);
    let endings = [
        Ending::Moved(Box::new(summary())),
        rolled_back(),
        Ending::NotBegun("interrupted"),
    ];
    let done = document(&survey(), Some(&endings), None);
    assert_eq!(done["pods"][0]["summary"]["downtimeSeconds"], 0.48);
    assert_eq!(done["pods"][1]["result"], "rolledBack");
    assert_eq!(done["pods"][1]["error"]["exitCode"], 4);
    assert_eq!(done["pods"][2]["result"], "notBegun");
    assert!(done.get("error").is_none());
}

#[test]
fn the_gravest_failure_counts() {
    let failed = |kind| Ending::Failed(Box::new(Error::new(kind, "it failed")));
    let lost = [
        failed(ErrorKind::RolledBack),
        failed(ErrorKind::TargetLost),
        failed(ErrorKind::Stuck),
    ];
    assert_eq!(exit_code(&lost, true), 9);
    let left_out = [
        Ending::Moved(Box::new(summary())),
        Ending::NotBegun("interrupted"),
    ];
    assert_eq!(exit_code(&left_out, true), 130);
    // A signal that came too late to stop anything.
    assert_eq!(exit_code(&left_out[..1], true), 0);
}
