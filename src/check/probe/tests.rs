//! Reports of nodes → outcomes.

use ms2m_transfer::node::{Containerd, Crio, Criu, CriuFiles, Space};

use super::*;

const GIB: u64 = 1 << 30;

fn node(runtime: &str) -> NodeView {
    NodeView {
        name: "a".to_owned(),
        runtime: runtime.to_owned(),
        ready: true,
        ..NodeView::default()
    }
}

const BOTH: Option<CriuOptions> = Some(CriuOptions {
    tcp_close: true,
    skip_in_flight: true,
});

fn sound() -> NodeReport {
    NodeReport {
        criu: Some(Criu {
            path: "/usr/sbin/criu".to_owned(),
            version: Some("4.2.1".to_owned()),
        }),
        libcriu: true,
        options: CriuFiles {
            crun: BOTH,
            ..CriuFiles::default()
        },
        crio: Some(Crio {
            enable_criu_support: Some(true),
            ..Crio::default()
        }),
        containerd: None,
        space: Some(Space {
            free_bytes: 50 * GIB,
            total_bytes: 100 * GIB,
        }),
        unread: Vec::new(),
    }
}

/// Names and outcomes of what is not passed.
fn against(node: &NodeView, report: NodeReport, memory: Memory) -> Vec<(String, Outcome)> {
    let probed = Probed::Seen(Box::new(report));
    let checks = probe(node, &probed, memory).checks;
    let not_passed = checks.into_iter().filter(|it| it.outcome != Outcome::Pass);
    not_passed
        .map(|it| {
            let words = it.name.split(" (").next().unwrap_or_default();
            (words.to_owned(), it.outcome)
        })
        .collect()
}

fn of_crio(change: impl FnOnce(&mut NodeReport)) -> Vec<(String, Outcome)> {
    let mut report = sound();
    change(&mut report);
    against(&node("cri-o://1.36.3"), report, Memory::Bytes(GIB))
}

fn one(name: &str, outcome: Outcome) -> Vec<(String, Outcome)> {
    vec![(name.to_owned(), outcome)]
}

const OPEN: &str = "CRIU lets open connections go";
const ARRIVING: &str = "CRIU lets arriving connections go";
const CRIO: &str = "CRI-O is switched to checkpoints";
const CONTAINERD: &str = "containerd is switched to checkpoints";

#[test]
fn the_file_that_counts_is_that_of_the_low_level_runtime() {
    assert_eq!(of_crio(|_| {}), []);
    // crun has none of its own, and goes to runc's.
    let moved = of_crio(|it| {
        it.options = CriuFiles {
            runc: BOTH,
            ..CriuFiles::default()
        }
    });
    assert_eq!(moved, []);
    // runc does not look at crun's.
    let runc = of_crio(|it| it.crio.as_mut().expect("is there").low_level = Some(RUNC.to_owned()));
    let both = [
        (OPEN.to_owned(), Outcome::Fail),
        (ARRIVING.to_owned(), Outcome::Warn),
    ];
    assert_eq!(runc, both);
    // Before 1.31 it was CRI-O's default.
    let older = against(&node("cri-o://1.30.0"), sound(), Memory::None);
    assert_eq!(older, both);
    let half = of_crio(|it| {
        it.options.crun = Some(CriuOptions {
            tcp_close: true,
            skip_in_flight: false,
        });
    });
    assert_eq!(half, one(ARRIVING, Outcome::Warn));
    let default = of_crio(|it| {
        it.options = CriuFiles {
            default: BOTH,
            ..CriuFiles::default()
        }
    });
    assert_eq!(
        default,
        [
            (OPEN.to_owned(), Outcome::Warn),
            (ARRIVING.to_owned(), Outcome::Warn)
        ]
    );
    let unread = of_crio(|it| {
        it.options.crun = None;
        it.unread = vec!["/etc/criu/crun.conf: Permission denied".to_owned()];
    });
    assert_eq!(
        unread,
        [
            (OPEN.to_owned(), Outcome::Skipped),
            (ARRIVING.to_owned(), Outcome::Skipped)
        ]
    );
}

#[test]
fn a_criu_that_is_old_or_missing() {
    let version = |text: Option<&str>| {
        of_crio(|it| it.criu.as_mut().expect("is there").version = text.map(str::to_owned))
    };
    const WILL_DO: &str = "CRIU's version will do";
    assert_eq!(version(Some("3.15")), one(WILL_DO, Outcome::Fail));
    // crun does not pass the options on.
    assert_eq!(version(Some("4.1")), one(WILL_DO, Outcome::Warn));
    assert_eq!(version(Some("4.10")), []);
    assert_eq!(version(None), one(WILL_DO, Outcome::Skipped));
    let none = of_crio(|it| it.criu = None);
    let expected = [
        ("CRIU is installed".to_owned(), Outcome::Fail),
        (WILL_DO.to_owned(), Outcome::Skipped),
    ];
    assert_eq!(none, expected);
    let library = of_crio(|it| it.libcriu = false);
    assert_eq!(
        library,
        one("CRIU's library is there for crun", Outcome::Warn)
    );
}

#[test]
fn the_switches_of_cri_o() {
    let said = |change: fn(&mut Crio)| of_crio(|it| change(it.crio.as_mut().expect("is there")));
    assert_eq!(
        said(|it| it.enable_criu_support = Some(false)),
        one(CRIO, Outcome::Fail)
    );
    assert_eq!(
        said(|it| it.enable_criu_support = None),
        one(CRIO, Outcome::Warn)
    );
    let level = |it: &mut Crio| it.container_level_enabled = Some("checkpoint".to_owned());
    assert_eq!(said(level), one(CRIO, Outcome::Fail));
    assert_eq!(of_crio(|it| it.crio = None), one(CRIO, Outcome::Warn));
    // Releases after September 2026 want the second one.
    let later = node("cri-o://1.36.4");
    assert_eq!(
        against(&later, sound(), Memory::None),
        one(CRIO, Outcome::Fail)
    );
    let mut report = sound();
    report
        .crio
        .as_mut()
        .expect("is there")
        .container_level_enabled = Some("checkpoint_restore".to_owned());
    assert_eq!(against(&later, report, Memory::None), []);
}

#[test]
fn the_switches_of_containerd() {
    let of = |version: &str, said: Option<Containerd>| {
        let mut report = sound();
        report.crio = None;
        report.options = CriuFiles {
            runc: BOTH,
            crun: BOTH,
            default: None,
        };
        report.containerd = said;
        against(
            &node(&format!("containerd://{version}")),
            report,
            Memory::None,
        )
    };
    let runc = Some(Containerd {
        low_level: Some(RUNC.to_owned()),
        ..Containerd::default()
    });
    let on = runc.clone().map(|it| Containerd {
        restore_via_create: Some(true),
        ..it
    });
    let off = runc.clone().map(|it| Containerd {
        enable_criu: Some(false),
        ..it
    });
    assert_eq!(of("2.1.9", runc.clone()), []);
    assert_eq!(of("2.3.4", runc), one(CONTAINERD, Outcome::Fail));
    assert_eq!(of("2.3.4", on), []);
    assert_eq!(of("2.1.9", off), one(CONTAINERD, Outcome::Fail));
    assert_eq!(of("2.3.4", None), one(CONTAINERD, Outcome::Skipped));
}

#[test]
fn room_is_what_is_left_beside_the_memory() {
    const ROOM: &str = "there is room for a checkpoint in /var/lib/kubelet/checkpoints";
    let free = |gib: u64, memory: Memory| {
        let mut report = sound();
        report.space = Some(Space {
            free_bytes: gib * GIB,
            total_bytes: 100 * GIB,
        });
        against(&node("cri-o://1.36.3"), report, memory)
    };
    assert_eq!(free(20, Memory::Bytes(GIB)), []);
    assert_eq!(free(20, Memory::Bytes(20 * GIB)), one(ROOM, Outcome::Fail));
    assert_eq!(free(20, Memory::Bytes(15 * GIB)), one(ROOM, Outcome::Warn));
    assert_eq!(free(5, Memory::None), one(ROOM, Outcome::Warn));
    assert_eq!(free(20, Memory::Untold), one(ROOM, Outcome::Skipped));
    assert_eq!(of_crio(|it| it.space = None), one(ROOM, Outcome::Skipped));
}

#[test]
fn one_low_level_runtime_on_both() {
    let seen = |low: Option<&str>| {
        let mut report = sound();
        report.crio.as_mut().expect("is there").low_level = low.map(str::to_owned);
        Probed::Seen(Box::new(report))
    };
    let (a, b) = (node("cri-o://1.36.3"), node("cri-o://1.36.3"));
    let outcome =
        |one: &Probed, other: &Probed| same_low_level((&a, one), (&b, other)).map(|it| it.outcome);
    assert_eq!(
        outcome(&seen(None), &seen(Some("crun"))),
        Some(Outcome::Pass)
    );
    assert_eq!(
        outcome(&seen(Some("runc")), &seen(None)),
        Some(Outcome::Fail)
    );
    let unseen = Probed::Unseen("why".to_owned());
    assert_eq!(outcome(&unseen, &seen(None)), None);
}

#[test]
fn a_pod_that_is_not_taken_is_no_pass() {
    let outcome =
        |probed: &Probed| probe(&node("cri-o://1.36.3"), probed, Memory::None).checks[0].outcome;
    let refused = Probed::NotAdmitted {
        words: "violates PodSecurity".to_owned(),
        remedies: Vec::new(),
    };
    assert_eq!(outcome(&refused), Outcome::Fail);
    assert_eq!(outcome(&Probed::Unseen("why".to_owned())), Outcome::Skipped);
}
