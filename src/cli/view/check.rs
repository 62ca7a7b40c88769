//! The results of checks: a mark a line, and under what does not hold its meaning and its remedy.

use crate::check::{Check, Outcome, Report};
use crate::cli::ui::{Paint, Tone};

/// All groups, and how many checks there are of each outcome.
#[must_use]
pub fn text(report: &Report, paint: Paint) -> String {
    let mut lines = Vec::new();
    for group in &report.groups {
        lines.push(paint.tone(Tone::Strong, &group.name));
        for check in &group.checks {
            lines.extend(shown(check, paint));
        }
        lines.push(String::new());
    }
    lines.push(summary(report, paint));
    lines.join("\n")
}

fn shown(check: &Check, paint: Paint) -> Vec<String> {
    let (mark, tone) = mark(check.outcome);
    let mut lines = vec![format!("  {} {}", paint.tone(tone, mark), check.name)];
    let meaning = check.meaning.iter().flat_map(|words| words.lines());
    lines.extend(meaning.map(|line| format!("      {line}")));
    // Never wrapped: commands are copied.
    for remedy in check.remedies.iter().flat_map(|words| words.lines()) {
        lines.push(format!(
            "      {} {remedy}",
            paint.tone(Tone::Strong, "next:")
        ));
    }
    if let Some(code) = check.code {
        let label = paint.tone(Tone::Dim, "see:");
        lines.push(format!("      {label} {}", code.command()));
    }
    lines
}

fn mark(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Pass => ("✓", Tone::Good),
        Outcome::Warn => ("!", Tone::Warning),
        Outcome::Fail => ("✗", Tone::Bad),
        Outcome::Skipped => ("-", Tone::Dim),
    }
}

fn summary(report: &Report, paint: Paint) -> String {
    let counts = report.counts;
    let verdict = if report.ok {
        paint.tone(Tone::Good, "nothing stands against it")
    } else {
        paint.tone(Tone::Bad, "it would fail")
    };
    format!(
        "{verdict}: ✓ {}  ! {}  ✗ {}  - {}",
        counts.passed, counts.warned, counts.failed, counts.skipped
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Group;
    use crate::explain;

    fn report() -> Report {
        Report::new(vec![
            Group::new(
                "Kubernetes API",
                vec![Check::pass("the API server answers")],
            ),
            Group::new(
                "Nodes",
                vec![
                    Check::warn("it is ready", "it is cordoned").hint("kubectl uncordon a"),
                    Check::fail(
                        "its gate is on",
                        &explain::NO_CHECKPOINT_CALL,
                        "404 page not found\nfrom the kubelet",
                    )
                    .because("without it there is no checkpoint")
                    .hint("switch it on"),
                    Check::skipped("its images", "no right to look"),
                ],
            ),
        ])
    }

    #[test]
    fn marks_meanings_and_remedies() {
        insta::assert_snapshot!(text(&report(), Paint(false)), @r"
        Kubernetes API
          ✓ the API server answers

        Nodes
          ! it is ready
              it is cordoned
              next: kubectl uncordon a
          ✗ its gate is on
              404 page not found
              from the kubelet
              without it there is no checkpoint
              next: switch it on
              see: ms2m explain no-checkpoint-call
          - its images
              no right to look

        it would fail: ✓ 1  ! 1  ✗ 1  - 1
        ");
    }

    #[test]
    fn colours_only_where_they_are_welcome() {
        assert!(!text(&report(), Paint(false)).contains('\u{1b}'));
        let coloured = text(&report(), Paint(true));
        assert!(coloured.contains("\u{1b}[32m✓"), "{coloured}");
    }
}
