//! About how long a migration would take, step by step.

use super::boxed;
use crate::cli::format::seconds;
use crate::cli::ui::{Paint, Tone};
use crate::migration::estimate::Estimate;

/// The steps, the whole, and the downtime, each with what it rests on.
#[must_use]
pub fn text(estimate: &Estimate, paint: Paint, columns: u16) -> String {
    let mut table = boxed(columns);
    table.set_header(vec!["Step", "About", "Because"]);
    for step in &estimate.steps {
        table.add_row(vec![
            step.name.to_owned(),
            about(step.seconds),
            step.reason.clone(),
        ]);
    }
    table.add_row(vec![
        "total".to_owned(),
        about(estimate.total_seconds),
        String::new(),
    ]);
    table.add_row(vec![
        "downtime".to_owned(),
        about(estimate.downtime_seconds),
        estimate.downtime_reason.clone(),
    ]);
    format!(
        "{}\n{}",
        paint.tone(Tone::Strong, "Estimate"),
        table.trim_fmt()
    )
}

/// The whole and the downtime, in a line.
#[must_use]
pub fn brief(estimate: &Estimate) -> String {
    format!(
        "about {} in all, about {} of it without consumption (ms2m plan tells why)",
        about(estimate.total_seconds),
        about(estimate.downtime_seconds)
    )
}

fn about(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::estimate::Step;

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let estimate = Estimate {
            steps: vec![
                Step {
                    name: "checkpoint",
                    seconds: Some(0.55),
                    reason: "256 MiB".to_owned(),
                },
                Step {
                    name: "replay",
                    seconds: None,
                    reason: "the broker does not tell".to_owned(),
                },
            ],
            total_seconds: None,
            downtime_seconds: Some(1.55),
            downtime_reason: "the checkpoint, and the change-over".to_owned(),
        };
        insta::assert_snapshot!(text(&estimate, Paint(false), 80), @r"
        Estimate
        ╭────────────┬────────┬─────────────────────────────────────╮
        │ Step       ┆ About  ┆ Because                             │
        ╞════════════╪════════╪═════════════════════════════════════╡
        │ checkpoint ┆ 0.550s ┆ 256 MiB                             │
        │ replay     ┆ ?      ┆ the broker does not tell            │
        │ total      ┆ ?      ┆                                     │
        │ downtime   ┆ 1.550s ┆ the checkpoint, and the change-over │
        ╰────────────┴────────┴─────────────────────────────────────╯
        ");
    }
}
