//! The result of a migration.

use comfy_table::{Cell, CellAlignment};

use super::{absence, boxed, pairs};
use crate::api::Strategy;
use crate::cli::format;
use crate::cli::ui::{Paint, Tone};
use crate::migration::summary::{Summary, seconds_text};

/// The result as people read it: a headline, the phases, and what else there is to know.
#[must_use]
pub fn text(summary: &Summary, paint: Paint, columns: u16) -> String {
    let headline = format!(
        "{} moved from {} to {} in {}: {} downtime, {} replayed",
        summary.source_pod,
        summary.source_node,
        summary.target_node,
        format::seconds(summary.total_seconds),
        format::seconds(summary.downtime_seconds),
        format::counted(summary.messages_replayed, "message"),
    );
    format!(
        "{}\n{}\n{}",
        paint.tone(Tone::Good, &headline),
        phases(summary, columns),
        details(summary)
    )
}

fn phases(summary: &Summary, columns: u16) -> String {
    let total = summary.total_seconds;
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut table = boxed(columns);
    table.set_header(vec![
        Cell::new("Phase"),
        right("Time".to_owned()),
        right("Share".to_owned()),
    ]);
    for (phase, seconds) in &summary.phase_seconds {
        table.add_row(vec![
            Cell::new(phase),
            right(seconds_text(*seconds)),
            right(format::percent(*seconds, total)),
        ]);
    }
    table.add_row(vec![
        Cell::new("Total"),
        right(seconds_text(total)),
        right(format::percent(total, total)),
    ]);
    table.trim_fmt()
}

fn details(summary: &Summary) -> String {
    let strategy = match summary.strategy {
        Strategy::ShadowPod => "ShadowPod",
        Strategy::Sequential => "Sequential",
    };
    let mut rows = vec![
        (
            "Migration",
            format!("{}/{}", summary.namespace, summary.migration),
        ),
        (
            "Pod",
            format!(
                "{} on {}, {strategy}",
                summary.target_pod, summary.target_node
            ),
        ),
        (
            "Downtime",
            format!(
                "{} = {} around the checkpoint{} + {} around the handoff ({})",
                seconds_text(summary.downtime_seconds),
                seconds_text(summary.cut_pause_seconds),
                absence(&seconds_text(summary.absence_seconds)),
                seconds_text(summary.handoff_pause_seconds),
                summary.downtime_by
            ),
        ),
        (
            "Spent",
            format!(
                "{} checkpoint call + {} transfer + {} restore + {} reconnecting + {} everything else",
                seconds_text(summary.checkpoint_call_seconds),
                seconds_text(summary.transfer_run_seconds),
                seconds_text(summary.restore_run_seconds),
                seconds_text(summary.reconnect_seconds),
                seconds_text(summary.own_seconds)
            ),
        ),
        (
            "Replayed",
            format!(
                "{} of {} ({}), {} left",
                summary.messages_replayed,
                format::counted(summary.messages_routed, "message"),
                summary.messages_replayed_by,
                summary.messages_left
            ),
        ),
        (
            "Archive",
            format!(
                "{}, {} as a layer",
                format::bytes(summary.archive_bytes),
                format::bytes(summary.layer_bytes)
            ),
        ),
    ];
    for doubt in &summary.doubts {
        rows.push(("In doubt", doubt.clone()));
    }
    if !summary.checkpoint_image.is_empty() {
        rows.push(("Image", summary.checkpoint_image.clone()));
    }
    pairs(&rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::api::Phase;

    pub(crate) fn summary() -> Summary {
        Summary {
            migration: "worker-0-x7k2f".to_owned(),
            namespace: "default".to_owned(),
            source_pod: "worker-0".to_owned(),
            target_pod: "worker-0-shadow".to_owned(),
            source_node: "node-a".to_owned(),
            target_node: "node-b".to_owned(),
            strategy: Strategy::ShadowPod,
            phase: Phase::Completed,
            phase_seconds: vec![
                (Phase::Pending, 0.12),
                (Phase::Checkpointing, 0.78),
                (Phase::Transferring, 1.2),
                (Phase::Restoring, 0.4),
                (Phase::Replaying, 2.5),
                (Phase::Finalizing, 0.2),
            ],
            total_seconds: 5.2,
            downtime_seconds: 0.48,
            cut_pause_seconds: 0.41,
            absence_seconds: 0.0,
            handoff_pause_seconds: 0.07,
            checkpoint_call_seconds: 0.31,
            transfer_run_seconds: 1.1,
            restore_run_seconds: 0.35,
            reconnect_seconds: 0.52,
            own_seconds: 2.92,
            downtime_by: "seen".to_owned(),
            messages_routed: 312,
            messages_replayed: 312,
            messages_left: 0,
            messages_replayed_by: "counted".to_owned(),
            doubts: Vec::new(),
            checkpoint_image: format!("registry.example.com/checkpoints@sha256:{}", "0".repeat(64)),
            archive_bytes: 104_857_600,
            layer_bytes: 41_943_040,
        }
    }

    #[test]
    fn people_read_a_table() {
        insta::assert_snapshot!(text(&summary(), Paint(false), 80), @r"
        worker-0 moved from node-a to node-b in 5.200s: 0.480s downtime, 312 messages replayed
        ╭───────────────┬────────┬───────╮
        │ Phase         ┆   Time ┆ Share │
        ╞═══════════════╪════════╪═══════╡
        │ Pending       ┆ 0.120s ┆    2% │
        │ Checkpointing ┆ 0.780s ┆   15% │
        │ Transferring  ┆ 1.200s ┆   23% │
        │ Restoring     ┆ 0.400s ┆    8% │
        │ Replaying     ┆ 2.500s ┆   48% │
        │ Finalizing    ┆ 0.200s ┆    4% │
        │ Total         ┆ 5.200s ┆  100% │
        ╰───────────────┴────────┴───────╯
        Migration  default/worker-0-x7k2f
        Pod        worker-0-shadow on node-b, ShadowPod
        Downtime   0.480s = 0.410s around the checkpoint + 0.070s around the handoff (seen)
        Spent      0.310s checkpoint call + 1.100s transfer + 0.350s restore + 0.520s reconnecting + 2.920s everything else
        Replayed   312 of 312 messages (counted), 0 left
        Archive    100.00 MiB, 40.00 MiB as a layer
        Image      registry.example.com/checkpoints@sha256:0000000000000000000000000000000000000000000000000000000000000000
        ");
    }

    #[test]
    fn a_wide_screen_changes_nothing_and_a_narrow_one_wraps_nothing_but_the_table() {
        assert_eq!(
            text(&summary(), Paint(false), 200),
            text(&summary(), Paint(false), 80)
        );
        let narrow = text(&summary(), Paint(false), 30);
        assert!(narrow.contains(&format!("@sha256:{}", "0".repeat(64))));
    }
}
