//! What kubelets and runtimes say → what to do about it. One table for the checkpoint, one for
//! the restore. Pure: texts in, sentences out, the original words always kept.
//!
//! The texts were measured on CRI-O 1.36 and containerd 2.1 with runc 1.3 and CRIU 4.2, or are
//! quoted from the sources of Kubernetes 1.36.

use crate::migration::error::PortError;

/// A text to look for, and the sentence that helps.
type Row = (&'static str, &'static str);

/// Remedies for a checkpoint that fails, the more particular first.
const CHECKPOINT: &[Row] = &[
    (
        "Connected TCP socket",
        "CRIU has to be told what to do with open connections: put the lines `tcp-close` and \
         `skip-in-flight` into /etc/criu/runc.conf (crun: /etc/criu/crun.conf) on both nodes",
    ),
    (
        "In-flight connection",
        "a connection was just arriving at a listening socket: put the line `skip-in-flight` into \
         /etc/criu/runc.conf (crun: /etc/criu/crun.conf) on both nodes",
    ),
    (
        "failed to pause container",
        "another checkpoint of this container is under way; wait for it to end",
    ),
    (
        "checkpoint/restore support not available",
        "install CRIU on the source node and set `enable_criu_support = true` in CRI-O's \
         configuration",
    ),
    (
        "CheckpointContainer not implemented",
        "the source node's runtime cannot take checkpoints: containerd 2.0 or CRI-O 1.25 is needed",
    ),
    (
        "unknown method CheckpointContainer",
        "the source node's runtime cannot take checkpoints: containerd 2.0 or CRI-O 1.25 is needed",
    ),
];

/// Remedies for a restore that fails, the more particular first. A text of this table is final:
/// the kubelet may go on trying, and will go on failing.
const RESTORE: &[Row] = &[
    (
        "image not known",
        "the source container's own image is not on the target node, and the runtime never pulls \
         it for a restore",
    ),
    (
        "expects following bind mounts defined",
        "the target pod lacks a mount that the source container has; every mount must be there \
         under the same path",
    ),
    (
        "Can't bind inet socket back",
        "the checkpoint was taken with `tcp-established`: use `tcp-close` in CRIU's configuration \
         on both nodes",
    ),
    (
        "has bad size",
        "a file that the process has open was changed after the checkpoint: the source must not \
         write to storage that both pods share",
    ),
    (
        "no command specified",
        "the target node's runtime took the checkpoint for an ordinary image: it must support \
         restoring (CRI-O with `enable_criu_support = true`; containerd 2.1 to 2.3) and CRIU must \
         be installed",
    ),
    (
        "status.dump",
        "the checkpoint was taken by CRI-O, and the target node runs containerd: both nodes need \
         the same runtime",
    ),
    (
        "io.kubernetes.cri-o.Annotations",
        "the checkpoint was taken by containerd, and the target node runs CRI-O: both nodes need \
         the same runtime",
    ),
    (
        "signature policy",
        "CRI-O refuses a restore in a namespace that has a signature policy",
    ),
    (
        "server gave HTTP response to HTTPS client",
        "the target node's runtime speaks HTTPS to localhost, where a direct transfer's receiver serves \
         plain HTTP; CRI-O: put `[[registry]]`, `location = \"localhost:5351\"` (or the port of \
         --direct-port) and `insecure = true` into a file in /etc/containers/registries.conf.d on that \
         node, and `systemctl reload crio`",
    ),
    (
        "criu failed: type RESTORE",
        "CRIU's own log on the target node (restore.log in the container's directory) says why; \
         `tcp-close` in /etc/criu/runc.conf on both nodes, the same runtime and CPU family are the \
         usual suspects",
    ),
];

/// The API server's kubelet client, which kubeadm 1.36.1 and later bind to a role without
/// `nodes/checkpoint`.
const KUBELET_DENIES: &str = "the kubelet refuses the API server's own identity: bind a \
    ClusterRole with `create nodes/checkpoint` to the user kube-apiserver-kubelet-client";

/// What it means when the kubelet has no such route.
const NO_ROUTE: &str = "the kubelet knows no checkpoint: set \
    `featureGates: {ContainerCheckpoint: true}` in its configuration (on by default since \
    Kubernetes 1.30)";

/// What it means when the API server refuses the caller.
const CALLER_DENIED: &str = "grant `create nodes/proxy` to whoever runs ms2m";

/// The error for a checkpoint call that was answered with `code` and `text`. `from_kubelet`: the
/// answer is plain text, so it comes from the kubelet; the API server answers with a `Status`.
pub(super) fn checkpoint_error(code: u16, from_kubelet: bool, text: &str) -> PortError {
    let text = text.trim();
    let remedy = match (code, from_kubelet) {
        (403, true) => Some(KUBELET_DENIES),
        (401 | 403, false) => Some(CALLER_DENIED),
        (404, true) if !text.contains("does not exist") => Some(NO_ROUTE),
        _ => find(CHECKPOINT, text),
    };
    let words = if text.is_empty() {
        format!("HTTP {code} without a word")
    } else {
        text.to_owned()
    };
    let words = with_remedy(&words, remedy);
    match code {
        401 | 403 => PortError::Denied(words),
        404 => PortError::NotFound(words),
        409 => PortError::Conflict(words),
        429 | 502..=504 => PortError::Busy(words),
        500 if passes(text) => PortError::Busy(words),
        _ => PortError::Invalid(words),
    }
}

/// Whether a failed checkpoint may work the next time: the cause lies in the moment.
fn passes(text: &str) -> bool {
    text.contains("In-flight connection") || text.contains("failed to pause container")
}

/// The runtime's words about a restore, with what to do about it where that is known.
pub(super) fn restore_words(text: &str) -> String {
    with_remedy(text.trim(), find(RESTORE, text))
}

/// Whether the runtime's words mean that a restore will never work, however often it is tried.
pub(super) fn is_final_for_restore(text: &str) -> bool {
    find(RESTORE, text).is_some()
}

fn find(table: &[Row], text: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(part, _)| text.contains(part))
        .map(|(_, remedy)| *remedy)
}

fn with_remedy(words: &str, remedy: Option<&str>) -> String {
    match remedy {
        Some(remedy) => format!("{words} ({remedy})"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(error: &PortError) -> String {
        error.to_string()
    }

    #[test]
    fn two_refusals_that_look_alike_have_different_remedies() {
        let caller = checkpoint_error(403, false, "nodes \"a\" is forbidden: User \"me\" cannot …");
        assert!(matches!(caller, PortError::Denied(_)));
        assert!(words(&caller).contains("create nodes/proxy"));
        let server = checkpoint_error(
            403,
            true,
            "Forbidden (user=kube-apiserver-kubelet-client, verb=create, resource=nodes, subresource(s)=[checkpoint])",
        );
        assert!(matches!(server, PortError::Denied(_)));
        assert!(words(&server).contains("bind a ClusterRole with `create nodes/checkpoint`"));
    }

    #[test]
    fn three_things_are_not_found() {
        let gate = checkpoint_error(404, true, "404 page not found\n");
        assert!(words(&gate).contains("ContainerCheckpoint: true"), "{gate}");
        let pod = checkpoint_error(404, true, "pod does not exist");
        assert_eq!(words(&pod), "pod does not exist");
        let node = checkpoint_error(404, false, "nodes \"x\" not found");
        assert_eq!(words(&node), "nodes \"x\" not found");
        for error in [gate, pod, node] {
            assert!(matches!(error, PortError::NotFound(_)));
        }
    }

    #[test]
    fn criu_s_complaints_are_translated_and_kept() {
        let text = "checkpointing of default/web-0/main failed (… Error (criu/sk-inet.c:191): inet: \
                    Connected TCP socket, consider using --tcp-established option. …)";
        let error = checkpoint_error(500, true, text);
        assert!(matches!(error, PortError::Invalid(_)), "it will fail again");
        assert!(words(&error).starts_with(text));
        assert!(words(&error).contains("`tcp-close`"));
        let passing = checkpoint_error(500, true, "… In-flight connection (l) for 3f …");
        assert!(matches!(passing, PortError::Busy(_)), "it may pass");
        assert!(words(&passing).contains("`skip-in-flight`"));
    }

    #[test]
    fn an_empty_answer_says_at_least_its_code() {
        let error = checkpoint_error(405, true, "");
        assert!(matches!(&error, PortError::Invalid(words) if words.contains("405")));
    }

    #[test]
    fn what_runtimes_say_of_a_restore_is_translated_and_kept() {
        for (text, part) in [
            ("image not known", "own image is not on the target node"),
            (
                "restoring main expects following bind mounts defined (/data)",
                "every mount",
            ),
            ("file data/x has bad size 7 (expect 5)", "share"),
            ("no command specified", "ordinary image"),
            (
                "failed to read \"status.dump\": no such file",
                "runs containerd",
            ),
            (
                "failed to read \"io.kubernetes.cri-o.Annotations\"",
                "runs CRI-O",
            ),
            (
                "pinging container registry localhost:5351: Get \"https://localhost:5351/v2/\": http: server gave \
                 HTTP response to HTTPS client",
                "insecure = true",
            ),
            (
                "OCI runtime restore failed: criu failed: type RESTORE errno 0",
                "restore.log",
            ),
        ] {
            let said = restore_words(text);
            assert!(said.starts_with(text) && said.contains(part), "{said}");
            assert!(is_final_for_restore(text), "{text}");
        }
        assert_eq!(
            restore_words("context deadline exceeded"),
            "context deadline exceeded"
        );
        assert!(!is_final_for_restore("context deadline exceeded"));
    }
}
