//! Every code in code has a text by its type; here: every text a use, and every text is fit to be read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn codes_are_words_and_stand_once() {
    let mut seen = BTreeSet::new();
    for it in codes() {
        let of_words = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(it.code.chars().all(of_words), "{}", it.code);
        assert!(seen.insert(it.code), "{} stands twice", it.code);
        assert_eq!(find(it.code), Some(it));
        for text in [it.title, it.means] {
            assert!(
                !text.is_empty() && !text.ends_with('.'),
                "{}: {text}",
                it.code
            );
        }
        assert!(!it.next.is_empty(), "{}: what is there to do?", it.code);
    }
    assert!(find("no-such").is_none());
}

/// What nobody says any more must not be explained any more.
#[test]
fn every_text_has_a_use() {
    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("the directory is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() && !path.ends_with("src/explain") {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let code: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("it can be read"))
        .collect();
    for it in codes() {
        let name = it.code.replace('-', "_").to_uppercase();
        let used = code.contains(&format!("explain::{name}")) || !it.says.is_empty();
        assert!(used, "nothing says {}", it.code);
    }
}

/// What real clusters say (facts.md: The checkpoint call, The checkpoint image, The restore, The
/// handoff), and the code under which it is explained.
const FACTS: &[(&str, &str)] = &[
    ("pod does not exist", "pod-gone"),
    ("container main does not exist", "container-gone"),
    ("404 page not found\n", "no-checkpoint-call"),
    ("nodes \"node-x\" not found", "node-unknown"),
    (
        "nodes \"node-a\" is forbidden: User \"me\" cannot create resource \"nodes/proxy\" in API group \"\" at the cluster scope",
        "proxy-denied",
    ),
    (
        "Forbidden (user=kube-apiserver-kubelet-client, verb=create, resource=nodes, subresource(s)=[checkpoint])",
        "kubelet-denies",
    ),
    (
        "checkpointing of shop/web-0/main failed (rpc error: code = Unknown desc = something else)",
        "checkpoint-failed",
    ),
    (
        "checkpointing of shop/web-0/main failed (failed to pause container: container is paused)",
        "checkpoint-at-once",
    ),
    (
        "checkpointing of shop/web-0/main failed (Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.)",
        "open-connection",
    ),
    (
        "checkpointing of shop/web-0/main failed (Error (criu/sk-inet.c): inet: In-flight connection (l) for 3f)",
        "in-flight-connection",
    ),
    (
        "CreateContainerError: no command specified",
        "runtime-no-restore",
    ),
    (
        "CreateContainerError: failed to read \"status.dump\": no such file or directory",
        "runtime-mismatch",
    ),
    (
        "CreateContainerError: failed to read \"io.kubernetes.cri-o.Annotations\": unexpected end of JSON input",
        "runtime-mismatch",
    ),
    ("CreateContainerError: image not known", "image-not-known"),
    (
        "error determining status: status.Image is not set",
        "image-untagged",
    ),
    (
        "restoring \"main\" expects following bind mounts defined (/data,/var/run/secrets/kubernetes.io/serviceaccount)",
        "mounts-missing",
    ),
    (
        "namespaced signature policy /etc/crio/policies/shop.json defined for pods in namespace shop; signature validation is not supported for container restore",
        "signature-policy",
    ),
    (
        "inet: Can't bind inet socket back: Cannot assign requested address",
        "tcp-established",
    ),
    (
        "criu failed: type RESTORE errno 0: file data/x has bad size 7 (expect 5)",
        "file-changed",
    ),
    (
        "container main ended with exit code 128 (StartError): OCI runtime restore failed: criu failed: type RESTORE errno 0",
        "restore-refused",
    ),
    ("container main: CrashLoopBackOff", "restore-failed"),
    (
        "container main ended with exit code 128 (StartError)",
        "restore-failed",
    ),
    (
        "container main: RunContainerError: context deadline exceeded",
        "restore-failed",
    ),
    (
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/'",
        "queue-otherwise",
    ),
    (
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
        "queue-not-empty",
    ),
    (
        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with if-unused flag set are not supported by quorum queues",
        "queue-not-empty",
    ),
];

#[test]
fn what_real_clusters_say_is_recognised() {
    for (said, code) in FACTS {
        let found = recognise(said).map(|it| it.code);
        assert_eq!(found, Some(*code), "{said}");
    }
    assert_eq!(recognise("context deadline exceeded"), None);
}

#[test]
fn a_code_survives_a_text_of_one_line() {
    let text = with_command("no queue q; name it", &QUEUE_MISSING);
    assert_eq!(text, "no queue q; name it; see: ms2m explain queue-missing");
    assert_eq!(recognise(&text), Some(&QUEUE_MISSING));
    assert_eq!(without_command(&text), "no queue q; name it");
    assert_eq!(without_command("plain"), "plain");
    // A word that is no code is no harm.
    assert_eq!(recognise("see: ms2m explain me"), None);
}
