//! What was done with each object: a line each as it happens, or one JSON document in the end.

use serde::Serialize;

use super::{DryRun, MannerArgs};
use crate::cli::failure::Outcome;
use crate::cli::output::{Output, show};
use crate::cli::ui::Ui;
use crate::cluster::{Change, Which};
use crate::install::Document;

/// Tells, and remembers what was told.
pub(in crate::cli::commands) struct Told<'a> {
    ui: &'a Ui,
    output: Output,
    dry_run: Option<DryRun>,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(flatten)]
    which: Which,
    /// None where only a cluster could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    objects: &'a [Line],
    dry_run: bool,
    /// None where nobody waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
}

impl<'a> Told<'a> {
    pub(in crate::cli::commands) fn new(ui: &'a Ui, manner: &MannerArgs) -> Self {
        Self {
            ui,
            output: manner.output,
            dry_run: manner.dry_run,
            lines: Vec::new(),
        }
    }

    /// Whether something was changed already.
    pub(in crate::cli::commands) fn has_changed(&self) -> bool {
        let changed =
            |line: &Line| !matches!(line.change, None | Some(Change::Unchanged | Change::Left));
        self.dry_run.is_none() && self.lines.iter().any(changed)
    }

    /// What would be applied, as far as no cluster is asked.
    pub(in crate::cli::commands) fn would_apply(&mut self, document: &Document) -> Outcome {
        self.line(Which::of(&document.object), None, "would be applied")
    }

    /// What came of an object.
    pub(in crate::cli::commands) fn change(&mut self, which: Which, change: Change) -> Outcome {
        self.line(which, Some(change), &change.to_string())
    }

    fn line(&mut self, which: Which, change: Option<Change>, words: &str) -> Outcome {
        if self.output.is_for_people() {
            let place = match &which.namespace {
                Some(namespace) => format!(" in {namespace}"),
                None => String::new(),
            };
            let dry = match self.dry_run {
                Some(DryRun::Client) => " (client dry run)",
                Some(DryRun::Server) => " (server dry run)",
                None => "",
            };
            self.ui.data(&format!("{which}{place} {words}{dry}"))?;
        }
        self.lines.push(Line { which, change });
        Ok(())
    }

    /// The whole of it.
    pub(in crate::cli::commands) fn end(&self, ready: Option<bool>) -> Outcome {
        if self.output.is_for_people() {
            return Ok(());
        }
        let summary = Summary {
            objects: &self.lines,
            dry_run: self.dry_run.is_some(),
            ready,
        };
        let names = || {
            let names = self.lines.iter().map(|line| line.which.to_string());
            names.collect::<Vec<_>>().join("\n")
        };
        show(self.ui, self.output, &summary, names, String::new)
    }
}
