//! What an error code means, for people.

use crate::cli::ui::{Paint, Tone};
use crate::explain::{self, Code};

/// All codes with their titles, by subject.
#[must_use]
pub fn list(paint: Paint) -> String {
    let width = explain::codes().map(|it| it.code.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (subject, codes) in explain::all() {
        lines.push(paint.tone(Tone::Strong, subject));
        let titles = codes
            .iter()
            .map(|it| format!("  {:width$}  {}", it.code, it.title));
        lines.extend(titles);
        lines.push(String::new());
    }
    lines.push("ms2m explain CODE tells more of each".to_owned());
    lines.join("\n")
}

/// One code: what it means, its causes, what to do.
#[must_use]
pub fn text(code: Code, paint: Paint, columns: u16) -> String {
    let name = paint.tone(Tone::Strong, code.code);
    let mut lines = vec![format!("{name}: {}", code.title), String::new()];
    lines.extend(wrapped("", code.means, columns));
    let source: &[&str] = if code.source.is_empty() {
        &[]
    } else {
        &[code.source]
    };
    for (title, numbered, items) in [
        ("Usual causes", false, code.causes),
        ("What to do", true, code.next),
        ("Seen as", false, code.says),
        ("Known from", false, source),
    ] {
        if items.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(paint.tone(Tone::Strong, title));
        for (at, item) in items.iter().enumerate() {
            let mark = if numbered {
                format!("  {}. ", at + 1)
            } else {
                "  - ".to_owned()
            };
            lines.extend(wrapped(&mark, item, columns));
        }
    }
    lines.join("\n")
}

/// `text` after `mark`, broken between words where it is too long; further lines stand under the
/// first.
fn wrapped(mark: &str, text: &str, columns: u16) -> Vec<String> {
    let width = usize::from(columns).saturating_sub(mark.len()).max(20);
    let margin = " ".repeat(mark.len());
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let starts = std::iter::once(mark).chain(std::iter::repeat(margin.as_str()));
    starts
        .zip(lines)
        .map(|(start, line)| format!("{start}{line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained() {
        let text = text(&explain::IN_FLIGHT_CONNECTION, Paint(false), 80);
        insta::assert_snapshot!(text, @r"
        in-flight-connection: a connection was just arriving at a listening socket

        CRIU refuses to dump a connection that is not established yet unless
        `skip-in-flight` is in its configuration; a readiness probe is enough

        Usual causes
          - /etc/criu/runc.conf or crun.conf on the source node has `tcp-close` alone

        What to do
          1. put the lines `tcp-close` and `skip-in-flight` into /etc/criu/runc.conf
             (with crun: /etc/criu/crun.conf) on both nodes
          2. or try again: it is a matter of the moment, though under HTTP traffic 11 of
             12 attempts failed

        Seen as
          - In-flight connection

        Known from
          - measured on CRI-O 1.36.3 with runc 1.3.6 and CRIU 4.2.1
        ");
    }

    #[test]
    fn all_codes_are_listed_by_subject() {
        let list = list(Paint(false));
        let listed = list.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(listed, explain::codes().count());
        assert!(list.contains("The handoff\n  source-silent"), "{list}");
    }
}
