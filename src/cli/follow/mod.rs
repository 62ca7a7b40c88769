//! Follows one migration that somebody else carries out, to its end: what its record tells becomes
//! the engine's events, so that it looks as one that is carried out here. Changes nothing.

pub(super) mod end;
mod tale;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::tale::Tale;
use super::args::GlobalArgs;
use super::commands::migrate::ResultOutput;
use super::exit;
use super::failure::{Failure, Outcome, refused};
use super::interrupt::{self, UnderWay};
use super::report::{self, Progress};
use super::ui::Ui;
use super::view::summary;
use super::wire::Reached;
use crate::api::{DRIVEN_BY_CLI, DRIVEN_BY_LABEL, StatefulMigrationStatus, conditions};
use crate::cluster::CONTROLLER_LABEL;
use crate::cluster::migrations::{Driver, Entry, Seen};
use crate::migration::error::{Error, PortError};
use crate::migration::event::{Event, EventKind, Reporter};
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
    pub(super) output: ResultOutput,
    pub(super) aim: Aim,
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
        self.ui.words(&format!(
            "migration {} is made for the controller; you may safely stop waiting",
            entry.record.name
        ));
        self.to_end(entry).await
    }

    /// Follows `entry`, shows what happens, and tells what it came to.
    ///
    /// # Errors
    /// As the migration has ended; [`Failure::Told`] when the user has stopped waiting.
    pub(super) async fn to_end(&self, entry: Entry) -> Outcome {
        let ended = self.until_end(entry).await?;
        match came_to(&ended) {
            Some(result) => self.tell(&result?),
            None => Ok(()),
        }
    }

    /// Follows `entry`, shows what happens, and gives it as it is at its end.
    ///
    /// # Errors
    /// [`Failure::Told`] when the user has stopped waiting; it was deleted, or may not be seen.
    pub(super) async fn until_end(&self, entry: Entry) -> Result<Entry, Failure> {
        let logs = self.global.log_level.is_some() || self.global.verbose > 0;
        let progress = Progress::start(report::view(self.ui, self.global.progress, logs))?;
        let stop = CancellationToken::new();
        let waiting = Waiting(Arc::clone(&progress));
        let listening = interrupt::listen_for(stop.clone(), Arc::new(waiting), self.ui.clone())?;
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
        loop {
            if came_to(&follower.entry).is_some() {
                return Came::Ended(Box::new(follower.entry));
            }
            let seen = tokio::select! {
                () = stop.cancelled() => return Came::Stopped,
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

    fn tell(&self, summary: &Summary) -> Outcome {
        match self.output {
            ResultOutput::Table => {
                let text = summary::text(summary, self.ui.out_paint(), self.ui.columns());
                Ok(self.ui.data(&text)?)
            }
            ResultOutput::Json => Ok(self.ui.json(summary)?),
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

/// One migration as it was seen last, and what was told of it.
struct Follower<'a> {
    progress: &'a Progress,
    entry: Entry,
    tale: Tale,
    silent_at: Instant,
    told_silent: bool,
    told_trouble: bool,
    told_deleting: bool,
}

impl<'a> Follower<'a> {
    fn new(progress: &'a Progress, entry: Entry) -> Self {
        let mut follower = Self {
            progress,
            entry: entry.clone(),
            tale: Tale::default(),
            silent_at: Instant::now() + SILENT,
            told_silent: false,
            told_trouble: false,
            told_deleting: false,
        };
        follower.see(entry);
        follower
    }

    fn see(&mut self, entry: Entry) {
        if entry.record.status != self.entry.record.status {
            self.silent_at = Instant::now() + SILENT;
            // Somebody may fall silent again.
            self.told_silent &= !is_taken_up(&entry.record);
        }
        self.told_trouble = false;
        self.entry = entry;
        if self.entry.deleting && !self.told_deleting && came_to(&self.entry).is_none() {
            self.told_deleting = true;
            self.progress.note(
                "it is being deleted: it is rolled back first, or finished past its commit point",
            );
        }
        for kind in self.tale.next(&self.entry.record) {
            self.report(kind);
        }
    }

    fn report(&self, kind: EventKind) {
        let status = &self.entry.record.status;
        let begun = matches!(kind, EventKind::Started { .. });
        let time = if begun {
            status.start_time.clone()
        } else {
            status.completion_time.clone()
        };
        self.progress.report(Event {
            time: time.map_or_else(Timestamp::now, |time| time.0),
            migration: self.entry.record.name.clone(),
            kind,
        });
    }

    fn trouble(&mut self, words: &str) {
        if !self.told_trouble {
            self.told_trouble = true;
            self.progress.note(format!("{words}; trying again"));
        }
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
