//! Resources that were made, or would be.

use super::bare;
use crate::cli::commands::created::Verdict;
use crate::cli::format;
use crate::cli::manifest::Manifest;

/// A line a resource, with its verdict.
#[must_use]
pub fn table(manifests: &[Manifest], verdicts: &[Verdict]) -> String {
    let mut table = bare();
    table.set_header(vec!["NAME", "POD", "TO", "VERDICT"]);
    for (manifest, verdict) in manifests.iter().zip(verdicts) {
        table.add_row(vec![
            or_nothing(&manifest.name()),
            or_nothing(manifest.spec("sourcePod")),
            or_nothing(manifest.spec("targetNode")),
            words(verdict),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => "valid".to_owned(),
        Verdict::Invalid(count) => format!("invalid: {}", format::counted(*count, "field")),
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Refused => "refused".to_owned(),
        Verdict::Created => "created".to_owned(),
    }
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
