//! What kubelets and runtimes answer → which kind of failure that is. What the words mean, and what
//! to do about them, is in [`crate::explain`]; here it only counts whether trying again could help.
//! Pure: texts in, the original words always kept.

use crate::explain::{self, Code};
use crate::migration::error::PortError;

/// What ends a restore for good: the kubelet may go on trying, and will go on failing.
const FINAL: [Code; 9] = [
    &explain::IMAGE_NOT_KNOWN,
    &explain::MOUNTS_MISSING,
    &explain::TCP_ESTABLISHED,
    &explain::FILE_CHANGED,
    &explain::RUNTIME_NO_RESTORE,
    &explain::RUNTIME_MISMATCH,
    &explain::SIGNATURE_POLICY,
    &explain::HTTPS_TO_LOCALHOST,
    &explain::RESTORE_REFUSED,
];

/// The error for a checkpoint call that was answered with `code` and `text`. `from_kubelet`: the
/// answer is plain text, so it comes from the kubelet; the API server answers with a `Status`.
pub(super) fn checkpoint_error(code: u16, from_kubelet: bool, text: &str) -> PortError {
    let text = text.trim();
    let words = if text.is_empty() {
        format!("HTTP {code} without a word")
    } else {
        text.to_owned()
    };
    // Who has refused shows in the code alone, whatever the words are.
    let words = match (code, from_kubelet) {
        (403, true) => format!("the kubelet refuses the API server: {words}"),
        (401 | 403, false) => format!("the API server refuses the checkpoint call: {words}"),
        (404, true) if !text.contains("does not exist") => {
            format!("the kubelet knows no checkpoint: {words}")
        }
        _ => words,
    };
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
    [&explain::IN_FLIGHT_CONNECTION, &explain::CHECKPOINT_AT_ONCE]
        .iter()
        .any(|code| code.is_said_in(text))
}

/// Whether the runtime's words mean that a restore will never work, however often it is tried.
pub(super) fn is_final_for_restore(text: &str) -> bool {
    FINAL.iter().any(|code| code.is_said_in(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code under which a person reads about it.
    fn code(error: &PortError) -> &'static str {
        explain::recognise(&error.to_string()).map_or("", |it| it.code)
    }

    #[test]
    fn two_refusals_that_look_alike_have_different_remedies() {
        let words = "nodes \"a\" is forbidden: User \"me\" cannot …";
        let caller = checkpoint_error(403, false, words);
        assert!(matches!(caller, PortError::Denied(_)));
        assert_eq!(code(&caller), "proxy-denied");
        let server = checkpoint_error(403, true, "Forbidden (user=kube-apiserver-kubelet-client)");
        assert!(matches!(server, PortError::Denied(_)));
        assert_eq!(code(&server), "kubelet-denies");
    }

    #[test]
    fn three_things_are_not_found() {
        for (from_kubelet, text, expected) in [
            (true, "404 page not found\n", "no-checkpoint-call"),
            (true, "", "no-checkpoint-call"),
            (true, "pod does not exist", "pod-gone"),
            (false, "nodes \"x\" not found", "node-unknown"),
        ] {
            let error = checkpoint_error(404, from_kubelet, text);
            assert!(matches!(error, PortError::NotFound(_)), "{error}");
            assert_eq!(code(&error), expected, "{error}");
            assert!(error.to_string().contains(text.trim()), "{error}");
        }
    }

    #[test]
    fn a_checkpoint_that_may_work_the_next_time_is_told_from_one_that_does_not() {
        let connected = checkpoint_error(500, true, "… Connected TCP socket, consider …");
        assert!(matches!(connected, PortError::Invalid(_)));
        for text in [
            "… In-flight connection (l) for 3f …",
            "failed to pause container",
        ] {
            let passing = checkpoint_error(500, true, text);
            assert!(matches!(passing, PortError::Busy(_)), "{text}");
        }
    }

    #[test]
    fn an_empty_answer_says_at_least_its_code() {
        let error = checkpoint_error(405, true, "");
        assert!(matches!(&error, PortError::Invalid(words) if words.contains("405")));
    }

    #[test]
    fn what_never_works_is_told_from_what_may() {
        for text in [
            "image not known",
            "restoring main expects following bind mounts defined (/data)",
            "file data/x has bad size 7 (expect 5)",
            "no command specified",
            "failed to read \"status.dump\": no such file",
            "failed to read \"io.kubernetes.cri-o.Annotations\"",
            "Get \"https://localhost:5351/v2/\": http: server gave HTTP response to HTTPS client",
            "OCI runtime restore failed: criu failed: type RESTORE errno 0",
        ] {
            assert!(is_final_for_restore(text), "{text}");
        }
        for text in [
            "context deadline exceeded",
            "CreateContainerError: unexpected end",
        ] {
            assert!(!is_final_for_restore(text), "{text}");
        }
    }
}
