//! How a failure is told: one function for people, one for scripts.

use serde_json::{Value, json};

use super::exit;
use super::ui::{Paint, Tone, Ui, without_userinfo};
use crate::explain;
use crate::migration::error::{Error, ErrorKind, PortError};
use crate::migration::summary::Summary;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Something that has a kind, an exit code and a remedy.
    Known(Box<Error>),
    /// The same, whose roll-back the user has watched step by step.
    Watched(Box<Error>),
    /// Something that was told in full already, with its exit code.
    Told(u8),
    /// Something that nobody expected; with its chain of causes.
    Unexpected(color_eyre::Report),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Known(error) | Self::Watched(error) => error.kind.exit_code(),
            Self::Told(code) => *code,
            Self::Unexpected(_) => exit::UNEXPECTED,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Known(Box::new(error))
    }
}

impl From<color_eyre::Report> for Failure {
    fn from(report: color_eyre::Report) -> Self {
        Self::Unexpected(report)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// What a command comes to.
pub type Outcome = Result<(), Failure>;

/// A refusal: `what` failed with `error` before anything was changed.
#[must_use]
pub fn refused(what: impl Into<String>, error: &PortError) -> Error {
    Error::refused(what).because(error)
}

/// The outcome of a migration that has completed: none unless something is in doubt, which is told.
///
/// # Errors
/// [`exit::IN_DOUBT`], told already: the result itself stands on stdout.
pub fn unless_in_doubt(ui: &Ui, summary: &Summary) -> Outcome {
    if summary.doubts.is_empty() {
        return Ok(());
    }
    ui.insist(&text(&in_doubt(summary), ui.err_paint()));
    Err(Failure::Told(exit::IN_DOUBT))
}

fn in_doubt(summary: &Summary) -> Error {
    let what = format!(
        "migration {} has completed, but not every message is known to have been applied exactly once and in order",
        summary.migration
    );
    let mut error = Error::new(ErrorKind::InDoubt, what)
        .hint("compare what the application holds with what was published in that time");
    error.left.clone_from(&summary.doubts);
    error
}

/// How scripts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// In one document.
    Document,
    /// In one line, the last of many.
    Line,
}

/// Tells a failure: for people on stderr, and for a script on stdout as well.
pub fn tell(ui: &Ui, failure: &Failure, script: Option<Script>) {
    match failure {
        Failure::Known(error) => ui.insist(&text(error, ui.err_paint())),
        Failure::Watched(error) => ui.insist(&text(&without_undone(error), ui.err_paint())),
        Failure::Told(_) => return,
        Failure::Unexpected(report) => {
            let paint = ui.err_paint();
            let mut lines = vec![format!("{}: {report:#}", label(paint))];
            lines.extend(indented("see", &explain::UNEXPECTED.command(), paint));
            ui.insist(&lines.join("\n"));
        }
    }
    let value = json_value(failure);
    let text = match script {
        Some(Script::Document) => format!("{value:#}"),
        Some(Script::Line) => value.to_string(),
        None => return,
    };
    // The exit code tells what happened even when stdout is gone.
    let _ = ui.data(&without_userinfo(&text));
}

fn label(paint: Paint) -> String {
    paint.tone(Tone::Bad, "error")
}

/// What was undone stands a few lines above already.
pub(super) fn without_undone(error: &Error) -> Error {
    Error {
        undone: Vec::new(),
        ..error.clone()
    }
}

/// What happened, why, what was undone, what is left, what to do next.
#[must_use]
pub fn text(error: &Error, paint: Paint) -> String {
    let mut lines = vec![format!("{}: {}", label(paint), error.what)];
    // What others' words mean comes before the words.
    let said = match (error.meaning, &error.cause) {
        (Some(meaning), said) => {
            lines.extend(indented("because", meaning, paint));
            said.as_deref()
        }
        (None, Some(cause)) => {
            lines.extend(indented("because", cause, paint));
            None
        }
        (None, None) => None,
    };
    if let Some(outcome) = exit::outcome(error.kind) {
        let tone = match error.kind {
            ErrorKind::Stuck
            | ErrorKind::Unfinished
            | ErrorKind::LockLost
            | ErrorKind::Left
            | ErrorKind::TooLate
            | ErrorKind::TimedOut
            | ErrorKind::InDoubt => Tone::Warning,
            _ => Tone::Good,
        };
        lines.push(format!("  {}", paint.tone(tone, outcome)));
    }
    for undone in &error.undone {
        lines.push(format!("    {} {undone}", paint.tone(Tone::Good, "✓")));
    }
    for left in &error.left {
        lines.push(format!("    {} {left}", paint.tone(Tone::Bad, "✗")));
    }
    for hint in &error.hints {
        lines.extend(indented("next", hint, paint));
    }
    if let Some(said) = said {
        lines.extend(indented("said", said, paint));
    }
    lines.extend(indented("see", &error.code.command(), paint));
    lines.join("\n")
}

/// `label: text`, the further lines of `text` under its first.
fn indented(label: &str, text: &str, paint: Paint) -> Vec<String> {
    let margin = " ".repeat(label.len() + 4);
    let mut lines = text.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    std::iter::once(format!("  {}: {first}", paint.tone(Tone::Dim, label)))
        .chain(lines.map(|line| format!("{margin}{line}")))
        .collect()
}

fn json_value(failure: &Failure) -> Value {
    let mut body = match failure {
        Failure::Known(error) | Failure::Watched(error) => json!({ "error": error }),
        Failure::Told(_) => json!({ "error": {} }),
        Failure::Unexpected(report) => {
            json!({ "error": { "kind": "unexpected", "code": explain::UNEXPECTED.code, "what": format!("{report:#}") } })
        }
    };
    body["error"]["exitCode"] = failure.exit_code().into();
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolled_back() -> Error {
        let mut error = Error::new(
            ErrorKind::RolledBack,
            "failed to restore default/worker-0-shadow on node-b",
        )
        .because("CreateContainerError: image not known\nretried 3 times")
        .hint("pull the base image on node-b, then try again");
        error.undone = vec!["target pod removed".into(), "gate removed".into()];
        error
    }

    #[test]
    fn people_read_what_happened_why_and_what_next() {
        insta::assert_snapshot!(text(&rolled_back(), Paint(false)), @r"
        error: failed to restore default/worker-0-shadow on node-b
          because: a restore is made on the image that the source container was made of, which CRI-O never pulls for it
          rolled back: the source serves as before
            ✓ target pod removed
            ✓ gate removed
          next: see that the target node can pull it by digest, with the pod's pull secrets
          next: start again: ms2m pulls it first
          next: pull the base image on node-b, then try again
          said: CreateContainerError: image not known
                retried 3 times
          see: ms2m explain image-not-known
        ");
    }

    #[test]
    fn what_is_left_is_named() {
        let mut error = Error::new(ErrorKind::Stuck, "failed to open the gate of queue orders")
            .because("connection refused")
            .hint("once the broker is back: ms2m migrate worker-0");
        error.left = vec!["queue orders.ms2m-source holds 12 messages".into()];
        insta::assert_snapshot!(text(&error, Paint(false)), @r"
        error: failed to open the gate of queue orders
          because: connection refused
          not everything could be undone
            ✗ queue orders.ms2m-source holds 12 messages
          next: once the broker is back: ms2m migrate worker-0
          see: ms2m explain stuck
        ");
    }

    #[test]
    fn a_roll_back_that_was_watched_is_not_told_twice() {
        let watched = text(&without_undone(&rolled_back()), Paint(false));
        assert!(!watched.contains("gate removed"), "{watched}");
        let failure = Failure::Watched(Box::new(rolled_back()));
        assert!(json_value(&failure).to_string().contains("gate removed"));
    }

    #[test]
    fn scripts_read_the_same_with_the_exit_code() {
        let failure = Failure::from(rolled_back());
        assert_eq!(failure.exit_code(), 4);
        let value = json_value(&failure);
        assert_eq!(value["error"]["kind"], "rolledBack");
        assert_eq!(value["error"]["exitCode"], 4);
        assert_eq!(value["error"]["undone"][1], "gate removed");
    }
}
