//! How long things may take, and what is aimed at.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;

use super::error::Error;
use crate::api::{StatefulMigrationSpec, Timeouts};

/// How long things may take, and what is aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The gate is opened for the commit once what waits in the replay queue takes the target no
    /// longer than this.
    pub max_pause: Duration,
    /// How long the ready messages of a queue must stay at 0 before it counts as quiet, where the
    /// broker does not tell how many are unacknowledged. Longer than the application takes for
    /// one message.
    pub settle: Duration,
    /// How long the source may take to empty the primary queue before the checkpoint.
    pub drain: Duration,
    /// How long the application may take to obey a control message.
    pub obey: Duration,
    /// How long the checkpoint may take.
    pub checkpoint: Duration,
    /// How long the transfer may take.
    pub transfer: Duration,
    /// How long the target may take until it runs.
    pub restore: Duration,
    /// How long source and target may run side by side before the gate is opened in any case.
    pub replay_cutoff: Duration,
    /// Grace period of the source's deletion: its process lives on in the target, so its shutdown
    /// hooks are not meant to run to their end.
    pub source_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pause: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            drain: Duration::from_secs(60),
            obey: Duration::from_secs(30),
            checkpoint: Duration::from_secs(600),
            transfer: Duration::from_secs(3600),
            restore: Duration::from_secs(300),
            replay_cutoff: Duration::from_secs(120),
            source_grace: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The limits that a spec asks for.
    ///
    /// # Errors
    /// [`super::error::ErrorKind::Refused`]: one of its timeouts is no duration.
    pub fn of(spec: &StatefulMigrationSpec) -> Result<Self, Error> {
        let given = spec.timeouts.clone().unwrap_or_default();
        let usual = Self::default();
        let cutoff = spec.replay_cutoff_seconds.map(u64::try_from);
        let cutoff = cutoff
            .transpose()
            .map_err(|_| Error::refused("spec.replayCutoffSeconds is negative").hint(CORRECT))?;
        Ok(Self {
            max_pause: span("maxPause", given.max_pause, usual.max_pause)?,
            settle: span("settle", given.settle, usual.settle)?,
            drain: span("drain", given.drain, usual.drain)?,
            obey: span("obey", given.obey, usual.obey)?,
            source_grace: span("sourceGrace", given.source_grace, usual.source_grace)?,
            replay_cutoff: cutoff.map_or(usual.replay_cutoff, Duration::from_secs),
            ..usual
        })
    }

    /// As a spec has them: those that are not the usual ones; `None` when all are.
    #[must_use]
    pub fn timeouts(&self) -> Option<Timeouts> {
        let usual = Self::default();
        let unusual = |own: Duration, usual: Duration| (own != usual).then(|| text(own));
        let timeouts = Timeouts {
            max_pause: unusual(self.max_pause, usual.max_pause),
            settle: unusual(self.settle, usual.settle),
            drain: unusual(self.drain, usual.drain),
            obey: unusual(self.obey, usual.obey),
            source_grace: unusual(self.source_grace, usual.source_grace),
        };
        (timeouts != Timeouts::default()).then_some(timeouts)
    }
}

const CORRECT: &str = "correct the resource: delete it and make it again";

fn span(field: &str, given: Option<String>, usual: Duration) -> Result<Duration, Error> {
    let Some(given) = given else {
        return Ok(usual);
    };
    let read: Option<SignedDuration> = given.parse().ok();
    read.and_then(|read| Duration::try_from(read).ok())
        .ok_or_else(|| {
            Error::refused(format!("spec.timeouts.{field} is no duration: {given}"))
                .hint("write it as 500ms, 1.5s or 1m30s")
                .hint(CORRECT)
        })
}

/// A duration in whole milliseconds, as a resource has it.
fn text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds.is_multiple_of(1_000) {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{milliseconds}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spec_says_of_time_is_read_as_it_was_written() {
        let limits = Limits {
            max_pause: Duration::from_millis(1_500),
            settle: Duration::from_secs(90),
            replay_cutoff: Duration::from_secs(7),
            ..Limits::default()
        };
        let mut spec = StatefulMigrationSpec::sample("w");
        assert_eq!(Limits::of(&spec), Ok(Limits::default()));
        assert_eq!(Limits::default().timeouts(), None);
        spec.timeouts = limits.timeouts();
        spec.replay_cutoff_seconds = Some(7);
        assert_eq!(Limits::of(&spec), Ok(limits));
        let mut timeouts = Timeouts::default();
        for (wrong, right) in [("soon", false), ("-1s", false), ("1m30s", true)] {
            timeouts.obey = Some(wrong.to_owned());
            spec.timeouts = Some(timeouts.clone());
            assert_eq!(Limits::of(&spec).is_ok(), right, "{wrong}");
        }
    }
}
