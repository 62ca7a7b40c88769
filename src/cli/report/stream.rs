//! One JSON object an event on stdout, as it happens, beside whatever is shown on stderr.

use jiff::Timestamp;

use super::View;
use crate::cli::ui::{Ui, without_userinfo};
use crate::migration::event::{Event, EventKind};
use crate::migration::summary::Summary;

/// Streams events, and shows them in another view as well.
pub(super) struct Stream {
    pub(super) ui: Ui,
    pub(super) shown: Box<dyn View>,
}

impl View for Stream {
    fn event(&mut self, event: &Event) {
        // What it came to is the last line, which the command itself writes: not every end is an event.
        let is_end = matches!(
            event.kind,
            EventKind::Completed { .. } | EventKind::Failed { .. }
        );
        if !is_end {
            // A reader that is gone must not stop a migration.
            let _ = line(&self.ui, event);
        }
        self.shown.event(event);
    }

    fn note(&mut self, text: &str) {
        self.shown.note(text);
    }

    fn tick(&mut self) {
        self.shown.tick();
    }

    fn end(&mut self) {
        self.shown.end();
    }
}

/// The last line of a migration that has completed.
///
/// # Errors
/// Writing to stdout fails.
pub(in crate::cli) fn completed(ui: &Ui, summary: &Summary) -> std::io::Result<()> {
    let event = Event {
        time: Timestamp::now(),
        migration: summary.migration.clone(),
        kind: EventKind::Completed {
            summary: Box::new(summary.clone()),
        },
    };
    line(ui, &event)
}

fn line(ui: &Ui, event: &Event) -> std::io::Result<()> {
    ui.data(&without_userinfo(&serde_json::to_string(event)?))
}
