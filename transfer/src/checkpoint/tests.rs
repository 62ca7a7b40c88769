//! An archive whose images CRIU's own tool has encoded (`fuzz/seeds.sh`), read from end to end.

use std::net::SocketAddr;

use super::*;

const CRIO: &[u8] = include_bytes!("../../../fuzz/corpus/archive/crio.tar");
const CONTAINERD: &[u8] = include_bytes!("../../../fuzz/corpus/archive/containerd.tar");

fn found(archive: &[u8]) -> Inspection {
    inspect(archive).expect("it is complete")
}

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn the_engines_facts_are_there() {
    let found = found(CRIO);
    assert_eq!(found.pod.as_deref(), Some("worker-0"));
    assert_eq!(found.namespace.as_deref(), Some("shop"));
    assert_eq!(found.container.as_deref(), Some("worker"));
    assert_eq!(found.engine.as_deref(), Some("CRI-O"));
    assert_eq!(found.runtime.as_deref(), Some("runc"));
    let requested = found.base_image.requested.as_deref();
    assert_eq!(requested, Some("registry.example/worker:1"));
    let checkpointed = found.checkpointed_at.as_deref();
    assert_eq!(checkpointed, Some("2026-01-31T12:00:00Z"));
    assert!(!found.restored);
    assert_eq!(found.sizes.archive, CRIO.len() as u64);
    assert_eq!(found.sizes.memory, 12_288);
    assert!(found.sizes.state > 0 && found.sizes.files > 0 && found.sizes.logs > 0);
}

#[test]
fn processes_and_what_they_had_open_are_there() {
    let found = found(CRIO);
    let process = |pid, parent, command: &str, threads| Process {
        pid,
        parent,
        command: Some(command.to_owned()),
        threads,
    };
    let processes = [process(1, 0, "worker", 3), process(12, 1, "helper", 1)];
    assert_eq!(found.processes, processes);
    let opened = |kind, name: Option<&str>, pids: &[u32]| Opened {
        kind,
        name: name.map(str::to_owned),
        pids: pids.to_vec(),
    };
    let files = [
        opened(OpenedKind::File, Some("/dev/null"), &[1, 12]),
        opened(OpenedKind::File, Some("/data/state.db"), &[1]),
        opened(OpenedKind::UnixSocket, Some("@ctl"), &[1]),
        opened(OpenedKind::Event, None, &[1]),
    ];
    assert_eq!(found.files, files);
}

#[test]
fn connections_and_mounts_are_there() {
    let found = found(CRIO);
    let connection = |local, remote, state| Connection {
        protocol: Protocol::Tcp,
        local,
        remote,
        state,
        pids: vec![1],
    };
    let listening = connection(end("0.0.0.0:8080"), None, "LISTEN");
    let broker = Some(end("[fd00::5672]:5672"));
    let connected = connection(end("[fd00::12]:45678"), broker, "ESTAB");
    assert_eq!(found.connections, [listening, connected]);
    let mount = Mount {
        path: "/data".to_owned(),
        source: Some("/dev/vda1".to_owned()),
    };
    assert_eq!(found.mounts, [mount]);
}

#[test]
fn without_images_the_engine_says_what_it_can() {
    let found = found(CONTAINERD);
    assert_eq!(found.engine.as_deref(), Some("containerd"));
    assert!(found.restored);
    assert!(found.processes.is_empty() && found.files.is_empty());
    let mounts: Vec<&str> = found.mounts.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(mounts, ["/etc/hosts"]);
}

#[test]
fn cut_anywhere_it_is_refused() {
    for end in (0..CRIO.len() - 10_240).step_by(100) {
        let why = inspect(&CRIO[..end]).expect_err("it is not complete");
        assert!(matches!(why, ScanError::Invalid(_)), "{why}");
    }
}

#[test]
fn an_image_that_is_none_of_crius_is_named() {
    let at = CRIO
        .windows(8)
        .position(|bytes| bytes == [0x19, 0x43, 0x56, 0x54, 0x30, 0x30, 0x27, 0x50])
        .expect("the process tree's head");
    let mut archive = CRIO.to_vec();
    archive[at] ^= 1;
    let why = inspect(&archive[..])
        .expect_err("it is not CRIU's")
        .to_string();
    assert!(why.contains("checkpoint/pstree.img"), "{why}");
}
