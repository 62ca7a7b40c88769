//! The checkpoint call: one POST through the API server's node proxy to the kubelet, sent exactly
//! once, whatever comes of it.
//!
//! Never repeated here: each call that arrives is a checkpoint of its own, and two at once for
//! one container fail. Who repeats it has to know that no earlier one is still under way.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde::Deserialize;
use tokio::time::timeout;

use super::error::port_error;
use super::remedy::checkpoint_error;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How much longer than the kubelet's own limit the answer is waited for. Leaving early can leave
/// a container paused on containerd.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reason that the client library gives a `Status` that it made itself from an answer that
/// was not one: plain text, as the kubelet's errors are.
pub(super) const NOT_A_STATUS: &str = "Failed to parse error data";

/// What the kubelet answers.
#[derive(Deserialize)]
struct Answer {
    items: Vec<String>,
}

/// Takes one checkpoint and answers the archive's path on the node. `client` must not retry.
pub(super) async fn checkpoint(
    client: &Client,
    namespace: &str,
    node: &str,
    pod: &str,
    container: &str,
    limit: Duration,
) -> PortResult<String> {
    let path = path(namespace, node, pod, container, limit)?;
    let request = Request::post(path)
        .body(Vec::new())
        .map_err(|error| PortError::Invalid(error.to_string()))?;
    let answer = timeout(limit + PATIENCE, client.request_text(request)).await;
    match answer {
        Ok(Ok(text)) => archive(&text),
        Ok(Err(error)) => Err(translate(&error)),
        Err(_) => Err(PortError::Unreachable(format!(
            "no answer to the checkpoint call within {} s; the kubelet on {node} may still be \
             writing the archive",
            (limit + PATIENCE).as_secs()
        ))),
    }
}

/// The kubelet takes its own limit from `timeout`, which can only raise it.
fn path(
    namespace: &str,
    node: &str,
    pod: &str,
    container: &str,
    limit: Duration,
) -> PortResult<String> {
    for name in [namespace, node, pod, container] {
        let fits = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        if !fits {
            return Err(PortError::Invalid(format!(
                "{name:?} cannot be the name of a Kubernetes object"
            )));
        }
    }
    Ok(format!(
        "/api/v1/nodes/{node}/proxy/checkpoint/{namespace}/{pod}/{container}?timeout={}",
        limit.as_secs().max(1)
    ))
}

/// The archive's path in the kubelet's answer.
fn archive(text: &str) -> PortResult<String> {
    let answer: Answer = serde_json::from_str(text).map_err(|_| unclear(text))?;
    match answer.items.as_slice() {
        [path] if path.starts_with('/') && !path.contains("/../") => Ok(path.clone()),
        _ => Err(unclear(text)),
    }
}

fn unclear(text: &str) -> PortError {
    let start: String = text.chars().take(200).collect();
    PortError::Invalid(format!(
        "the kubelet's answer to the checkpoint call is not the path of one archive: {start:?}"
    ))
}

fn translate(error: &kube::Error) -> PortError {
    match error {
        kube::Error::Api(status) => {
            checkpoint_error(status.code, status.reason == NOT_A_STATUS, &status.message)
        }
        other => port_error("take a checkpoint", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    #[test]
    fn the_path_names_everything_and_the_limit() {
        assert_eq!(
            path("shop", "node-a", "web-0", "main", LIMIT).expect("names"),
            "/api/v1/nodes/node-a/proxy/checkpoint/shop/web-0/main?timeout=600"
        );
    }

    #[test]
    fn no_name_can_leave_its_place_in_the_path() {
        for name in ["", "a/b", "a?b", "../x", "A", "a b", "a%2f"] {
            assert!(
                path("shop", name, "web-0", "main", LIMIT).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_answer_is_one_absolute_path() {
        let good =
            "/var/lib/kubelet/checkpoints/checkpoint-web-0_shop-main-2026-01-01T00:00:00Z.tar";
        let answer = format!(r#"{{"items":["{good}"]}}"#);
        assert_eq!(archive(&answer).expect("a path"), good);
        for text in [
            "",
            "ok",
            "{}",
            r#"{"items":[]}"#,
            r#"{"items":["a.tar"]}"#,
            r#"{"items":["/a","/b"]}"#,
            r#"{"items":["/a/../b"]}"#,
        ] {
            assert!(
                matches!(archive(text), Err(PortError::Invalid(_))),
                "{text}"
            );
        }
    }
}
