//! A pod of the node, and the migrations that have not ended → what is to be looked at. Pure.

use crate::cli::settings::table;
use crate::cli::view::drain::Aside;
use crate::cluster::FoundPod;
use crate::explain;
use crate::migration::error::Error;
use crate::migration::record::Record;

/// What a pod of the node is, before anybody has planned anything.
#[derive(Debug, PartialEq)]
pub(super) enum Sort {
    /// Nobody's concern.
    Aside(Aside),
    /// It cannot move.
    Stays(Error),
    /// It is in a migration that has not ended.
    GoesOn(Box<Record>),
    /// A plan will tell.
    Asks,
}

/// What `found` on `node` is; `records` are those of its namespace.
pub(super) fn sort(node: &str, found: &FoundPod, records: &[Record]) -> Sort {
    let pod = &found.pod;
    if found.helper {
        return Sort::Aside(Aside::Helper);
    }
    let mut left = records.iter().filter(|record| is_left(record));
    let of_pod = left.find(|record| has_part(record, &pod.name));
    if let Some(record) = of_pod {
        return if leaves(record, node) {
            Sort::GoesOn(Box::new(record.clone()))
        } else {
            Sort::Stays(on_its_way(record, &pod.name))
        };
    }
    let owner = pod.owner.as_ref().map(|owner| owner.kind.as_str());
    if pod.mirror || owner == Some("Node") {
        return Sort::Aside(Aside::Static);
    }
    if owner == Some("DaemonSet") {
        return Sort::Aside(Aside::DaemonSet);
    }
    if matches!(pod.phase.as_str(), "Succeeded" | "Failed") {
        return Sort::Aside(Aside::Finished);
    }
    if pod.terminating {
        return Sort::Aside(Aside::Terminating);
    }
    if !pod.annotations.contains_key(&table::QUEUE.annotation()) {
        return Sort::Stays(no_queue(&found.namespace, &pod.name));
    }
    Sort::Asks
}

/// Migrations that lead away from `node` and have not ended, of pods that are not on it any more.
pub(super) fn gone<'a>(
    node: &'a str,
    found: &'a [FoundPod],
    records: &'a [Record],
) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| {
        let there = |found: &FoundPod| {
            found.namespace == record.namespace && has_part(record, &found.pod.name)
        };
        is_left(record) && leaves(record, node) && !found.iter().any(there)
    })
}

fn is_left(record: &Record) -> bool {
    record.is_unfinished() && record.is_begun()
}

fn has_part(record: &Record, pod: &str) -> bool {
    record.spec.source_pod == pod || record.status.target_pod.as_deref() == Some(pod)
}

fn leaves(record: &Record, node: &str) -> bool {
    record.status.source_node.as_deref() == Some(node)
}

fn on_its_way(record: &Record, pod: &str) -> Error {
    Error::refused(format!(
        "pod {pod} is on its way to this node: migration {} has not ended",
        record.name
    ))
    .code(&explain::UNDER_WAY)
    .hint(format!("go on with it first: {}", record.resume_command()))
    .hint(format!("or roll it back: {}", record.abort_command()))
}

fn no_queue(namespace: &str, pod: &str) -> Error {
    let annotation = table::QUEUE.annotation();
    Error::refused("nothing says which queue it consumes")
        .code(&explain::QUEUE_UNNAMED)
        .hint(format!(
            "say it: kubectl annotate pod {pod} -n {namespace} {annotation}=QUEUE"
        ))
        .hint("or, if it has no state, leave it to kubectl drain")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::Phase;
    use crate::cli::commands::which::tests::record;
    use crate::migration::ports::{OwnerView, PodView};

    fn found(name: &str, change: impl FnOnce(&mut FoundPod)) -> FoundPod {
        let annotation = (table::QUEUE.annotation(), "orders".to_owned());
        let mut found = FoundPod {
            namespace: "default".to_owned(),
            pod: PodView {
                name: name.to_owned(),
                uid: "u".to_owned(),
                annotations: BTreeMap::from([annotation]),
                labels: BTreeMap::new(),
                node: Some("node-a".to_owned()),
                phase: "Running".to_owned(),
                terminating: false,
                ready: true,
                containers: Vec::new(),
                init_containers: Vec::new(),
                volumes: Vec::new(),
                host_ports: false,
                owner: None,
                mirror: false,
            },
            helper: false,
        };
        change(&mut found);
        found
    }

    fn owned(kind: &str) -> FoundPod {
        found("w", |it| {
            it.pod.owner = Some(OwnerView {
                kind: kind.to_owned(),
                name: "o".to_owned(),
            });
        })
    }

    fn moving(pod: &str, from: &str, to: &str) -> Record {
        let mut record = record("m-1", pod);
        record.status.source_pod_uid = Some("u".to_owned());
        record.status.source_node = Some(from.to_owned());
        record.status.target_node = Some(to.to_owned());
        record.status.target_pod = Some(format!("{pod}-shadow"));
        record
    }

    #[test]
    fn what_is_nobodys_concern_is_left_out() {
        for (found, aside) in [
            (owned("DaemonSet"), Aside::DaemonSet),
            (owned("Node"), Aside::Static),
            (found("w", |it| it.pod.mirror = true), Aside::Static),
            (
                found("w", |it| "Succeeded".clone_into(&mut it.pod.phase)),
                Aside::Finished,
            ),
            (
                found("w", |it| it.pod.terminating = true),
                Aside::Terminating,
            ),
            (found("w", |it| it.helper = true), Aside::Helper),
        ] {
            assert_eq!(sort("node-a", &found, &[]), Sort::Aside(aside));
        }
        assert_eq!(sort("node-a", &owned("StatefulSet"), &[]), Sort::Asks);
    }

    #[test]
    fn a_pod_that_nothing_says_the_queue_of_stays() {
        let bare = found("w", |it| it.pod.annotations.clear());
        let Sort::Stays(error) = sort("node-a", &bare, &[]) else {
            panic!("it stays");
        };
        assert_eq!(error.what, "nothing says which queue it consumes");
        assert!(error.hints[0].contains("kubectl annotate pod w -n default"));
    }

    #[test]
    fn a_migration_that_has_not_ended_is_gone_on_with_only_away_from_the_node() {
        let away = moving("w", "node-a", "node-b");
        let pod = found("w", |it| {
            it.pod.annotations.clear();
            it.pod.terminating = true;
        });
        let records = [away.clone()];
        assert_eq!(
            sort("node-a", &pod, &records),
            Sort::GoesOn(Box::new(away.clone()))
        );
        let target = found("w-shadow", |_| {});
        let sorted = sort("node-b", &target, &records);
        assert!(matches!(sorted, Sort::Stays(_)), "{sorted:?}");

        let mut ended = away;
        ended.status.phase = Some(Phase::Completed);
        assert_eq!(sort("node-b", &target, &[ended]), Sort::Asks);
    }

    #[test]
    fn a_source_that_is_gone_is_found_by_its_migration() {
        let records = [
            moving("w", "node-a", "node-b"),
            moving("x", "node-b", "node-a"),
        ];
        let names = |pods: &[FoundPod]| {
            let gone = gone("node-a", pods, &records);
            gone.map(|record| record.spec.source_pod.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["w"]);
        assert!(names(&[found("w", |_| {})]).is_empty());
    }
}
