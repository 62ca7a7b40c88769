//! The last words of a container.

use std::fs::File;
use std::io::Read as _;

use k8s_openapi::api::core::v1::Container as Spec;

use crate::node::runtime::{Container, parse_log_line};

/// Longest termination message, in bytes.
const LIMIT: u64 = 4096;
/// Most that is taken from a log instead, in bytes and lines.
const LOG_LIMIT: usize = 2048;
const LOG_LINES: usize = 80;

/// What the container wrote to its termination log, or where the pod asks for it and the
/// container failed without a word, the end of its log.
pub(super) fn message(spec: &Spec, container: &Container, code: i32) -> Option<String> {
    let path = spec
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log");
    let mounts = &container.config.mounts;
    let source = &mounts
        .iter()
        .find(|mount| mount.destination == path)?
        .source;
    let mut bytes = Vec::new();
    // A container may have deleted it; then it had nothing to say.
    let _ = File::open(source).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
    if !bytes.is_empty() {
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let fallback = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if code == 0 || !fallback {
        return None;
    }
    let log = std::fs::read(container.log.path()).unwrap_or_default();
    let text = end_of_log(&log);
    (!text.is_empty()).then_some(text)
}

fn end_of_log(log: &[u8]) -> String {
    let lines: Vec<_> = log
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(parse_log_line)
        .map(|entry| String::from_utf8_lossy(entry.text).into_owned())
        .collect();
    let mut text = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    if text.len() > LOG_LIMIT {
        let mut at = text.len() - LOG_LIMIT;
        while !text.is_char_boundary(at) {
            at += 1;
        }
        text = text.split_off(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_short() {
        let log: String = (0..200)
            .map(|n| format!("t stdout F line {n} é\n"))
            .collect();
        let text = end_of_log(log.as_bytes());
        assert!(
            text.starts_with("line 120 é\n") && text.ends_with("line 199 é"),
            "{text}"
        );
        let log = format!("t stdout F {}\n", "é".repeat(3000));
        assert!(end_of_log(log.as_bytes()).len() <= LOG_LIMIT);
    }
}
