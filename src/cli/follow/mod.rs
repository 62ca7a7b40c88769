//! Follows one migration that somebody else carries out, to its end: what its record tells becomes
//! the engine's events, so that it looks as one that is carried out here. Changes nothing.

pub(super) mod end;
mod follower;
mod tale;
#[cfg(test)]
mod tale_tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::follower::Follower;
use super::args::GlobalArgs;
use super::exit;
use super::failure::{Failure, Outcome, refused};
use super::interrupt::{self, UnderWay};
use super::report::{self, Progress};
use super::settings::value::show_duration;
use super::ui::Ui;
use super::wire::Reached;
use crate::api::{DRIVEN_BY_CLI, DRIVEN_BY_LABEL, StatefulMigrationStatus, conditions};
use crate::cli::output::Output;
use crate::cluster::CONTROLLER_LABEL;
use crate::cluster::migrations::{Driver, Entry, Seen};
use crate::migration::error::{Error, ErrorKind, PortError};
use crate::migration::ports::Journal;
use crate::migration::record::Record;
use crate::migration::summary::Summary;

/// After so long without a sign of anybody it is said that nobody seems to be there.
pub(super) const SILENT: Duration = Duration::from_secs(10);

/// Everything at hand to follow a migration.
pub(super) struct Follow<'a> {
    pub(super) ui: &'a Ui,
    pub(super) global: &'a GlobalArgs,
    pub(super) reached: &'a Reached,
    pub(super) output: Output,
    pub(super) aim: Aim,
    /// How long to wait at most.
    pub(super) timeout: Option<Duration>,
}

/// What the end is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// It is to come to its end.
    End,
    /// It was asked to be rolled back.
    Abort,
}

/// What came of it.
enum Came {
    /// It has ended, or is stuck with nobody to go on with it.
    Ended(Box<Entry>),
    /// The user has stopped waiting.
    Stopped,
    /// It was waited for long enough.
    TimedOut,
    /// It was deleted.
    Gone,
    /// It may not be seen.
    Lost(PortError),
}

impl Follow<'_> {
    /// Says that `entry` was made just now, and follows it.
    ///
    /// # Errors
    /// As [`Follow::to_end`].
    pub(super) async fn begin(&self, entry: Entry) -> Outcome {
        let words = format!(
            "migration {} is made for the controller; you may safely stop waiting",
            entry.record.name
        );
        self.told(&self.listen(entry, Some(&words)).await?)
    }

    /// Follows `entry`, shows what happens, and tells what it came to.
    ///
    /// # Errors
    /// As the migration has ended; [`Failure::Told`] when the user has stopped waiting.
    pub(super) async fn to_end(&self, entry: Entry) -> Outcome {
        self.told(&self.listen(entry, None).await?)
    }

    fn told(&self, ended: &Entry) -> Outcome {
        match came_to(ended) {
            Some(result) => self.tell(&result?),
            None => Ok(()),
        }
    }

    /// Follows `entry`, shows what happens, and gives it as it is at its end.
    ///
    /// # Errors
    /// [`Failure::Told`] when the user has stopped waiting; it was deleted, or may not be seen.
    pub(super) async fn until_end(&self, entry: Entry) -> Result<Entry, Failure> {
        self.listen(entry, None).await
    }

    /// The same, with the first words said once a signal means what they say of it.
    async fn listen(&self, entry: Entry, words: Option<&str>) -> Result<Entry, Failure> {
        let logs = self.global.log_level.is_some() || self.global.verbose > 0;
        let view = report::view(self.ui, self.global.progress, logs);
        let view = match self.aim {
            Aim::End => report::streamed(self.ui, self.output, view),
            Aim::Abort => view,
        };
        let progress = Progress::start(view)?;
        let stop = CancellationToken::new();
        let waiting = Waiting(Arc::clone(&progress));
        let listening = interrupt::listen_for(stop.clone(), Arc::new(waiting), self.ui.clone())?;
        if let Some(words) = words {
            self.ui.words(words);
        }
        let record = entry.record.clone();
        let came = self.look(entry, &progress, &stop).await;
        drop(listening);
        progress.end();
        match came {
            Came::Ended(entry) => Ok(*entry),
            Came::Stopped => {
                self.ui.words(&self.stopped(&record));
                Err(Failure::Told(exit::INTERRUPTED))
            }
            Came::TimedOut => Err(self.timed_out(&record).into()),
            Came::Gone => Err(color_eyre::eyre::eyre!(
                "migration {} was deleted while it was followed: how it ended is not known",
                record.name
            )
            .into()),
            Came::Lost(error) => {
                let what = format!("failed to follow migration {}", record.name);
                Err(refused(what, &error).into())
            }
        }
    }

    async fn look(&self, entry: Entry, progress: &Progress, stop: &CancellationToken) -> Came {
        let mut changes = self.reached.cluster.migrations(false).follow(&entry);
        let mut follower = Follower::new(progress, entry);
        let limit = Limit::new(self.timeout);
        loop {
            if came_to(&follower.entry).is_some() {
                return Came::Ended(Box::new(follower.entry));
            }
            let seen = tokio::select! {
                () = stop.cancelled() => return Came::Stopped,
                () = limit.passed() => return Came::TimedOut,
                () = sleep_until(follower.silent_at), if !follower.told_silent => {
                    follower.told_silent = true;
                    if let Some(words) = self.nobody(&follower.entry).await {
                        progress.note(words);
                    }
                    continue;
                }
                seen = changes.next() => seen,
            };
            match seen {
                Some(Seen::Entry(entry)) => follower.see(*entry),
                Some(Seen::Trouble(words)) => follower.trouble(&words),
                Some(Seen::Lost(error)) => return Came::Lost(error),
                Some(Seen::Gone) | None => return Came::Gone,
            }
        }
    }

    /// What there is to say where nobody seems to work on it.
    async fn nobody(&self, entry: &Entry) -> Option<String> {
        let record = &entry.record;
        let taken_up = entry.driver == Driver::Cli || is_taken_up(record);
        // What it waits for was told.
        if taken_up && entry.driver == Driver::Controller && !record.is_begun() {
            return None;
        }
        if taken_up {
            let holder = self.reached.journal.holder(&record.spec.source_pod).await;
            // Whoever may not look at Leases does without.
            if !matches!(holder, Ok(None)) {
                return None;
            }
        }
        Some(silence(record, entry.driver, self.aim, taken_up))
    }

    fn stopped(&self, record: &Record) -> String {
        let name = &record.name;
        let flags = interrupt::flags(self.global, &record.namespace);
        let words = format!(
            "stopped waiting, which is safe: migration {name} goes on without this command\n  \
             to look again: ms2m watch {name} {flags}"
        );
        match self.aim {
            Aim::End => format!("{words}\n  to roll it back: ms2m abort {name} {flags}"),
            Aim::Abort => words,
        }
    }

    fn timed_out(&self, record: &Record) -> Error {
        let name = &record.name;
        let flags = interrupt::flags(self.global, &record.namespace);
        let what = match self.aim {
            Aim::End => format!("migration {name} has not ended"),
            Aim::Abort => format!("migration {name} is not rolled back"),
        };
        timed_out(&what, self.timeout).hint(format!("to look again: ms2m watch {name} {flags}"))
    }

    fn tell(&self, summary: &Summary) -> Outcome {
        report::result(self.ui, self.output, summary)
    }
}

/// The failure of a wait that has come to its limit: `what` is not so yet.
pub(super) fn timed_out(what: &str, limit: Option<Duration>) -> Error {
    let limit = show_duration(&limit.unwrap_or_default());
    Error::new(ErrorKind::TimedOut, format!("{what} within {limit}"))
}

/// The end of a wait, if it has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(Option<Instant>);

impl Limit {
    /// From now on.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        // One that is beyond all time is none.
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Returns once it has passed.
    pub(super) async fn passed(self) {
        match self.0 {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

/// That nobody works on it, and what to do about that.
fn silence(record: &Record, driver: Driver, aim: Aim, taken_up: bool) -> String {
    let (name, seconds) = (&record.name, SILENT.as_secs());
    let controllers = format!("kubectl get pods -A -l {CONTROLLER_LABEL}");
    match (driver, aim) {
        (Driver::Cli, _) => format!(
            "no process works on migration {name}: it was left; to go on with it: {}",
            record.resume_command()
        ),
        (Driver::Controller, Aim::Abort) => format!(
            "no controller has rolled migration {name} back or said anything in {seconds} s; this goes on waiting. If \
             there is none ({controllers}), do it from here: kubectl label sm {name} -n {} \
             {DRIVEN_BY_LABEL}={DRIVEN_BY_CLI}, then: {}",
            record.namespace,
            record.abort_command()
        ),
        (Driver::Controller, Aim::End) if taken_up => format!(
            "no process works on migration {name} at the moment; the controller goes on with it once it can"
        ),
        (Driver::Controller, Aim::End) => format!(
            "nobody seems to carry migration {name} out: no controller has taken it up in {seconds} s; this goes on \
             waiting (is there one? {controllers}; to install it: ms2m install)"
        ),
    }
}

/// Whether a controller has looked at it.
pub(super) fn is_taken_up(record: &Record) -> bool {
    record.status != StatefulMigrationStatus::default()
}

/// Ctrl-C while one waits.
struct Waiting(Arc<Progress>);

impl UnderWay for Waiting {
    fn interrupted(&self, _: bool) {
        // Told once the screen is as it should stay.
    }

    fn stopped(&self) -> String {
        self.0.end();
        "stopped waiting".to_owned()
    }
}

/// What it came to, once nobody will go on with it by himself.
fn came_to(entry: &Entry) -> Option<Result<Summary, Error>> {
    let record = &entry.record;
    if record.status.condition_holds(conditions::STUCK) && entry.driver == Driver::Cli {
        return Some(Err(end::stuck(record)));
    }
    end::of(record)
}
