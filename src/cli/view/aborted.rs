//! A migration that was rolled back on request.

use crate::migration::recover::Aborted;

/// What came of it, for people. What was undone was told while it was.
#[must_use]
pub fn text(aborted: &Aborted) -> String {
    let Aborted {
        migration,
        source_pod,
        ..
    } = aborted;
    format!("migration {migration} is rolled back: pod {source_pod} serves as before")
}
