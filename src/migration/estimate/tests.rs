//! What an estimate comes to.

use super::*;

fn plan(strategy: Strategy) -> Plan {
    Plan {
        name: "m".to_owned(),
        namespace: "shop".to_owned(),
        source_pod: "w".to_owned(),
        source_uid: "u".to_owned(),
        source_node: "a".to_owned(),
        container: "w".to_owned(),
        base_image: "w@sha256:00".to_owned(),
        target_node: "b".to_owned(),
        target_pod: "w-shadow".to_owned(),
        strategy,
        owner: None,
        queue: "q".to_owned(),
        bindings: Vec::new(),
        checkpoint_image: "r/c:m".to_owned(),
        transfer_image: "r/t:1".to_owned(),
        compression: Compression::Zstd,
        warnings: Vec::new(),
        estimate: BTreeMap::new(),
    }
}

fn load() -> Load {
    Load {
        memory: Some(256 << 20),
        rates: Some(Rates {
            arrival: 50.0,
            processing: 50.0,
        }),
        waiting: 100,
        earlier: None,
    }
}

fn seconds(estimate: &Estimate, name: &str) -> Option<f64> {
    let step = estimate.steps.iter().find(|step| step.name == name);
    step.expect("there is such a step").seconds
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 0.1 * expected.max(0.1))
}

#[test]
fn what_was_measured_is_what_comes_out() {
    let of = |strategy| estimate(&plan(strategy), &load(), &Limits::default());
    let shadow = of(Strategy::ShadowPod);
    assert!(near(seconds(&shadow, "checkpoint"), 0.55), "{shadow:?}");
    assert!(near(seconds(&shadow, "restore"), 2.96), "{shadow:?}");
    assert!(near(seconds(&shadow, "empty the queue"), 2.0), "{shadow:?}");
    assert!(near(shadow.downtime_seconds, 1.55), "{shadow:?}");
    let sequential = of(Strategy::Sequential);
    assert!(sequential.downtime_seconds > shadow.downtime_seconds);
}

#[test]
fn what_is_not_known_is_not_reckoned() {
    let nothing = Load {
        waiting: 5,
        ..Load::default()
    };
    let estimate = estimate(&plan(Strategy::ShadowPod), &nothing, &Limits::default());
    assert_eq!(estimate.total_seconds, None);
    assert_eq!(estimate.downtime_seconds, None);
    for name in [
        "empty the queue",
        "checkpoint",
        "transfer",
        "restore",
        "replay",
    ] {
        assert_eq!(seconds(&estimate, name), None, "{name}");
    }
}

#[test]
fn an_earlier_migration_counts_for_more() {
    let earlier = Earlier {
        name: "before".to_owned(),
        same_pod: false,
        archive: 128.0 * MIB,
        checkpoint: 1.33,
        transfer: 10.1,
        restore: 4.4,
        reconnect: 9.0,
    };
    let with = |same_pod| {
        let load = Load {
            earlier: Some(Earlier {
                same_pod,
                ..earlier.clone()
            }),
            ..load()
        };
        estimate(&plan(Strategy::ShadowPod), &load, &Limits::default())
    };
    let other = with(false);
    assert!(near(seconds(&other, "transfer"), 20.1), "{other:?}");
    assert!(near(seconds(&other, "checkpoint"), 2.33), "{other:?}");
    assert!(near(seconds(&other, "reconnect"), RECONNECT), "{other:?}");
    let same = with(true);
    assert!(near(seconds(&same, "transfer"), 10.1), "{same:?}");
    assert!(near(seconds(&same, "reconnect"), 9.0), "{same:?}");
}

#[test]
fn a_replay_ends_at_the_cutoff_at_the_latest() {
    let busy = Load {
        rates: Some(Rates {
            arrival: 1_000.0,
            processing: 100.0,
        }),
        memory: Some(100 << 30),
        ..load()
    };
    let limits = Limits::default();
    let estimate = estimate(&plan(Strategy::ShadowPod), &busy, &limits);
    assert_eq!(
        seconds(&estimate, "replay"),
        Some(limits.replay_cutoff.as_secs_f64())
    );
}

#[test]
fn figures_are_what_can_be_laid_beside_a_receipt() {
    let of = |load: &Load| estimate(&plan(Strategy::ShadowPod), load, &Limits::default()).figures();
    let figures = of(&load());
    assert_eq!(figures["checkpoint"], "0.550s");
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "checkpoint",
            "downtime",
            "reconnect",
            "restore",
            "total",
            "transfer"
        ]
    );
    assert!(of(&Load::default()).is_empty());
}
