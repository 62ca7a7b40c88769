//! The audit: is every confirmed message in the state of the worker that survived, exactly
//! once and in order?
//!
//! It trusts neither side. The worker's own counts are checked against its set of numbers,
//! and the hash that it chained over what it applied against one computed from the record.

mod source;
mod table;
mod verdict;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use source::{Source, SourceError};
pub use table::table;
pub use verdict::{Hash, Options, PublisherVerdict, Verdict, compare};

use crate::producer::Record;
use crate::worker::Report;

/// How often the state is looked at while waiting.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the worker must have applied nothing more before the verdict: a message that is
/// on its way a second time should get the chance to show.
const SETTLE: Duration = Duration::from_millis(500);

/// Waits until the worker has applied what was confirmed and nothing more comes, or until
/// `wait` is over, and compares.
///
/// # Errors
/// When no state could be had until then.
pub async fn audit(
    record: &Record,
    source: &Source,
    wait: Duration,
    options: Options,
) -> Result<(Verdict, Report), SourceError> {
    let deadline = Instant::now() + wait;
    // The count that was seen last with nothing lost, and since when.
    let mut complete: Option<(u64, Instant)> = None;
    loop {
        let now = Instant::now();
        match source.fetch().await {
            Ok(report) => {
                let verdict = compare(record, &report.state, options);
                if verdict.lost > 0 {
                    complete = None;
                } else if complete.is_none_or(|(count, _)| count != report.state.count) {
                    complete = Some((report.state.count, now));
                }
                let settled = complete.is_some_and(|(_, since)| now - since >= SETTLE);
                if settled || source.is_final() || now >= deadline {
                    return Ok((verdict, report));
                }
            }
            Err(error) if now >= deadline || source.is_final() => return Err(error),
            Err(error) => {
                complete = None;
                tracing::debug!(%error, "no state yet");
            }
        }
        sleep(INTERVAL).await;
    }
}
