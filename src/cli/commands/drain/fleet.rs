//! Moves the pods of a survey: an engine for each, no more at once than allowed, and one way to
//! stop them all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::DrainArgs;
use super::crew::Crew;
use super::survey::{Means, Surveyed};
use super::turn::{self, Stage};
use crate::cli::args::GlobalArgs;
use crate::cli::interrupt::{self, Again};
use crate::cli::report::{self, Progress};
use crate::cli::ui::Ui;
use crate::cli::view::drain::{Ending, How, Move};
use crate::migration::engine::Engine;
use crate::migration::error::{Error, ErrorKind};
use crate::migration::plan::{Plan, Request};
use crate::migration::summary::Summary;

/// How long a refusal of a pod that could move when the plan was made is not believed: the pod
/// before it has just ended, and its owner may still be at work.
const UNSETTLED: Duration = Duration::from_secs(15);

/// Between two looks at such a pod.
const LOOK: Duration = Duration::from_secs(1);

/// Pods that are to move.
pub(super) struct Fleet<'a> {
    ui: &'a Ui,
    global: &'a GlobalArgs,
    args: &'a DrainArgs,
    surveyed: &'a Surveyed,
    stop: CancellationToken,
    crew: Arc<Crew>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(
        ui: &'a Ui,
        global: &'a GlobalArgs,
        args: &'a DrainArgs,
        surveyed: &'a Surveyed,
    ) -> Self {
        Self {
            ui,
            global,
            args,
            surveyed,
            stop: CancellationToken::new(),
            crew: Arc::new(Crew::new(ui)),
        }
    }

    /// Cancelled once somebody has asked to stop.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Moves them; an ending for each.
    ///
    /// # Errors
    /// Signals cannot be listened to.
    pub(super) async fn run(self) -> io::Result<Vec<Ending>> {
        let moves = &self.surveyed.survey().moves;
        let means = self.surveyed.means();
        let shares: Vec<_> = means.iter().map(|it| it.shares.clone()).collect();
        let mut stages = vec![Stage::Waits; moves.len()];
        let mut endings: Vec<Option<Ending>> = moves.iter().map(|_| None).collect();
        let listening =
            interrupt::listen_for(self.stop.clone(), self.crew.clone(), self.ui.clone())?;
        let mut under_way = FuturesUnordered::new();
        let mut failed = false;
        loop {
            while !self.stop.is_cancelled()
                && (!failed || self.args.keep_going)
                && let Some(turn) = turn::next(&stages, &shares, self.args.at_once.into())
            {
                stages[turn] = Stage::Moves;
                let one = Box::pin(self.one(&moves[turn], &means[turn]));
                under_way.push(async move { (turn, one.await) });
            }
            let Some((turn, ending)) = under_way.next().await else {
                break;
            };
            stages[turn] = Stage::Ended;
            failed |= matches!(ending, Ending::Failed(_));
            endings[turn] = Some(ending);
        }
        drop(under_way);
        drop(listening);
        let why = if self.stop.is_cancelled() {
            "interrupted"
        } else {
            "another one has failed"
        };
        let endings = endings.into_iter();
        Ok(endings
            .map(|ending| ending.unwrap_or(Ending::NotBegun(why)))
            .collect())
    }

    async fn one(&self, it: &Move, means: &Means) -> Ending {
        let view = report::labelled(self.ui, self.global.progress, &it.label);
        let progress = match Progress::start(view) {
            Ok(progress) => progress,
            Err(error) => return failed(Error::refused("failed to start a thread").because(error)),
        };
        let result = self.drive(it, means, &progress).await;
        // Its last line comes before the first one of the next.
        progress.end();
        self.crew.leave(&progress);
        match result {
            Ok(Some(summary)) => Ending::Moved(Box::new(summary)),
            Ok(None) => Ending::NotBegun("interrupted"),
            Err(error) => failed(error),
        }
    }

    /// Nothing when it was not begun.
    async fn drive(
        &self,
        it: &Move,
        means: &Means,
        progress: &Arc<Progress>,
    ) -> Result<Option<Summary>, Error> {
        // Whoever aborts one of the migrations means that one alone.
        let stop = self.stop.child_token();
        let engine = means
            .reached
            .engine(&means.settings, progress.clone(), stop)?;
        let join = |name: &str| {
            let again = Again::new(self.global, &it.namespace, name);
            self.crew.join(progress, again);
        };
        match (&it.how, &means.request) {
            (How::Begins(shown), Some(request)) => {
                let Some(plan) = self.plan_again(&engine, request, shown).await? else {
                    return Ok(None);
                };
                join(&plan.name);
                let summary = Box::pin(engine.migrate_as_planned(request, &plan)).await?;
                Ok(Some(summary))
            }
            (How::GoesOn(record), _) => {
                join(&record.name);
                Ok(Some(Box::pin(engine.resume(record)).await?))
            }
            (How::Begins(_), None) => Ok(None),
        }
    }

    /// The plan of the pod as it is by now; nothing when it is too late to begin.
    async fn plan_again(
        &self,
        engine: &Engine,
        request: &Request,
        shown: &Plan,
    ) -> Result<Option<Plan>, Error> {
        let until = Instant::now() + UNSETTLED;
        loop {
            let planned = engine.plan(request).await;
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            match planned {
                Ok(plan) if plan.source_uid == shown.source_uid => return Ok(Some(plan)),
                Ok(_) => {
                    return Err(Error::refused(format!(
                        "pod {} has changed since the plan was made",
                        shown.source_pod
                    ))
                    .hint("run it again to get a plan of the pod as it is now"));
                }
                Err(error) if error.kind != ErrorKind::Refused || Instant::now() > until => {
                    return Err(error);
                }
                Err(_) => tokio::select! {
                    () = sleep(LOOK) => {}
                    () = self.stop.cancelled() => return Ok(None),
                },
            }
        }
    }
}

fn failed(error: Error) -> Ending {
    Ending::Failed(Box::new(error))
}
