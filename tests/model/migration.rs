//! ms2m in the model: the journal, one process that drives the migration, and what each effect
//! does to the world. The decisions are the engine's own.

use ms2m::api::{HandoffStage as Stage, UndoStep};
use ms2m::migration::handoff::abort::may_have_reopened;
use ms2m::migration::handoff::{
    Effect, Fill, Line, Message, Move, Party, Rules, Seen, TargetPod, Told, out_of_turn,
};

use crate::world::{Place, Process, World};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Completed,
    Failed,
}

/// What survives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) stage: Stage,
    pub(crate) aborting: bool,
    pub(crate) undo: UndoStep,
    pub(crate) target_made: bool,
    pub(crate) stale_target: bool,
    pub(crate) sequential: bool,
    /// The order of messages may have been broken, and that is told at the end.
    pub(crate) doubted: bool,
    pub(crate) end: Option<End>,
}

impl Journal {
    /// Sequential: the source is gone, and nothing was taken from R.
    pub(crate) fn may_restore_again(&self) -> bool {
        self.sequential && self.stage == Stage::SourceRemoved
    }
}

/// What is about to be done: the world may change before it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pending {
    Effect(Effect),
    Save(Journal),
}

/// A process of ms2m, and the journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ms2m {
    pub(crate) journal: Journal,
    pub(crate) pending: Option<Pending>,
    done: usize,
    source_told: Option<Message>,
    target_told: Option<Message>,
    /// The target has been on the primary queue.
    target_seen: bool,
    /// The checkpoint is where it can be restored from.
    sent: bool,
    /// The source was removed without the one or, where that comes first, the other.
    pub(crate) removed_too_early: bool,
}

/// The functions that decide: the engine's, or a mistaken variant.
#[derive(Clone, Copy)]
pub(crate) struct Decisions {
    pub(crate) forward: fn(Rules, Stage, usize, &Seen) -> Move,
    pub(crate) back: fn(Rules, Stage, UndoStep, usize, &Seen) -> Result<Move, UndoStep>,
    /// Whether a queue that is still in use is left alone, as the broker does when asked.
    pub(crate) delete_only_if_idle: bool,
}

impl Ms2m {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            journal: Journal {
                stage: Stage::Untouched,
                aborting: false,
                undo: UndoStep::RemoveTarget,
                target_made: false,
                stale_target: false,
                sequential: rules.sequential,
                doubted: false,
                end: None,
            },
            pending: None,
            done: 0,
            source_told: None,
            target_told: None,
            target_seen: false,
            sent: false,
            removed_too_early: false,
        }
    }

    /// The process dies, and another takes over.
    pub(crate) fn crash(&mut self) {
        self.pending = None;
        self.done = 0;
        self.source_told = None;
        self.target_told = None;
    }

    /// Somebody asks to stop, or a wait was given up.
    pub(crate) fn abort(&mut self) {
        self.done = 0;
        self.source_told = None;
        self.target_told = None;
        self.pending = Some(Pending::Save(Journal {
            aborting: true,
            ..self.journal
        }));
    }

    /// Looks at the world and decides. `overdue`: the wait has taken as long as it may.
    pub(crate) fn look(
        &mut self,
        world: &World,
        rules: Rules,
        decisions: Decisions,
        overdue: bool,
    ) {
        let seen = self.seen(world, overdue);
        let journal = self.journal;
        if journal.aborting {
            match (decisions.back)(rules, journal.stage, journal.undo, self.done, &seen) {
                Ok(chosen) => self.take_up(chosen, world, &seen),
                Err(undo) => self.pending = Some(Pending::Save(Journal { undo, ..journal })),
            }
        } else {
            let chosen = (decisions.forward)(rules, journal.stage, self.done, &seen);
            self.take_up(chosen, world, &seen);
        }
    }

    fn take_up(&mut self, chosen: Move, world: &World, seen: &Seen) {
        let journal = self.journal;
        match chosen {
            Move::Do(effect) => {
                let undo = journal.aborting.then_some(journal.undo);
                let open = may_have_reopened(journal.stage, undo) && world.routes.open;
                self.journal.doubted |= open && out_of_turn(effect, seen).is_some();
                self.pending = Some(Pending::Effect(effect));
            }
            Move::Advance(stage) => {
                let stale = stage == Stage::Committing && seen.target_stale;
                if stale {
                    self.target_told = None;
                }
                self.pending = Some(Pending::Save(Journal {
                    stage,
                    stale_target: journal.stale_target || stale,
                    ..journal
                }));
            }
            Move::Wait(_) => {}
            Move::GiveUp(_) if journal.aborting => self.crash(),
            // Nothing was taken from R yet: the checkpoint is restored elsewhere.
            Move::GiveUp(_) if journal.may_restore_again() => {
                self.pending = Some(Pending::Save(Journal {
                    target_made: false,
                    ..journal
                }));
            }
            Move::GiveUp(_) if journal.stage.is_committed() && !self.can_return(world) => {
                self.crash();
            }
            Move::GiveUp(_) => self.abort(),
            Move::Done => {
                let end = if journal.aborting {
                    End::Failed
                } else {
                    End::Completed
                };
                self.pending = Some(Pending::Save(Journal {
                    end: Some(end),
                    ..journal
                }));
            }
        }
    }

    /// The target is lost at the commit point itself, and the source untouched.
    fn can_return(&self, world: &World) -> bool {
        let untouched = self.journal.stage == Stage::Committing && world.source.is_some();
        untouched && world.target.is_none() && !self.journal.sequential
    }

    fn seen(&self, world: &World, overdue: bool) -> Seen {
        let line = |place: Place| Line {
            fill: if !world.queue(place).is_empty() {
                Fill::Waiting
            } else if world.has_unacknowledged(place) || world.is_bound_for(place) {
                Fill::Settling
            } else {
                Fill::Quiet
            },
            consumed: world.consumers(place) > 0,
            crowded: world.consumers(place) > 1,
        };
        let told = |last: Option<Message>, orders: &[(Party, Message)]| match last {
            _ if !orders.is_empty() => Told::Waiting,
            None => Told::Nothing,
            // Whether it was taken lately makes a difference only in how long one waits.
            Some(message) => Told::Old(message),
        };
        let target_orders = if self.journal.stale_target || self.journal.sequential {
            &world.source_orders
        } else {
            &world.target_orders
        };
        let target_connected = world.target.as_ref().is_some_and(|it| it.on.is_some());
        Seen {
            primary: line(Place::Q),
            replay: line(Place::R),
            hold: line(Place::H),
            source_told: told(self.source_told, &world.source_orders),
            target_told: told(self.target_told, target_orders),
            target: match (&world.target, self.journal.target_made) {
                (Some(_), _) => TargetPod::Present,
                (None, true) => TargetPod::Lost,
                (None, false) => TargetPod::NotMade,
            },
            source_lost: world.source.is_none(),
            source_silent: world.source.as_ref().is_none_or(|it| it.on.is_none())
                && !world.source_orders.is_empty(),
            target_stale: !self.journal.stale_target
                && target_connected
                && !world.target_orders.is_empty()
                && world.consumers(Place::R) == 0,
            short_enough: true,
            good_moment: true,
            good_moment_back: true,
            overdue,
        }
    }

    /// Carries out what is pending. With `lost` the answer is lost: it will be done again.
    pub(crate) fn act(
        &mut self,
        world: &mut World,
        decisions: Decisions,
        lost: bool,
    ) -> Option<()> {
        match self.pending? {
            Pending::Save(journal) => {
                self.journal = journal;
                self.done = 0;
                self.pending = None;
            }
            Pending::Effect(effect) => {
                // An order that arrives twice is as good as one that arrives often.
                let said_once = world.source_orders.len() + world.target_orders.len() > 0;
                if lost && said_once && matches!(effect, Effect::Tell(..)) {
                    return None;
                }
                let carried_out = self.perform(effect, world, decisions)?;
                if carried_out && !lost {
                    self.pending = None;
                    self.done += usize::from(effect.is_counted());
                }
            }
        }
        Some(())
    }

    /// `Some(false)`: a part was done, the rest is still pending. `None`: it cannot be done now.
    fn perform(&mut self, effect: Effect, world: &mut World, decisions: Decisions) -> Option<bool> {
        let routes = &mut world.routes;
        match effect {
            Effect::DeclareExchanges => routes.exchanges = true,
            Effect::DeclareReplayQueues => world.declared = true,
            Effect::BindReplayQueues => routes.bound = true,
            Effect::OpenGate => routes.open = true,
            Effect::CloseGate => routes.open = false,
            Effect::LeadThroughGate => routes.through = true,
            Effect::LeadPastGate => routes.through = false,
            Effect::CutDirectWay => routes.direct = false,
            Effect::RestoreDirectWay => routes.direct = true,
            Effect::MirrorReplay => mirror(world),
            Effect::UnmirrorReplay => routes.mirrored = false,
            Effect::DeleteExchanges => {
                routes.exchanges = false;
                routes.open = false;
                routes.bound = false;
                routes.through = false;
            }
            Effect::Checkpoint => return self.checkpoint(world),
            Effect::SendCheckpoint => self.sent = true,
            Effect::StartTarget => return Some(self.start_target(world)),
            Effect::Tell(party, message) => self.tell(party, message, world),
            Effect::RemoveSource => return Some(self.remove_source(world)),
            Effect::RemoveTarget => {
                if let Some(target) = world.target.take() {
                    world.end_process(target);
                }
            }
            Effect::Unsay => world.source_orders.clear(),
            Effect::PutBack => return put_back(world),
            Effect::DeleteReplayQueues => return self.delete_replay_queues(world, decisions),
        }
        Some(true)
    }

    fn checkpoint(&mut self, world: &mut World) -> Option<bool> {
        match &world.source {
            Some(source) => {
                world.checkpoint = Some(source.applied.clone());
                world.checkpoint_tainted = world.source_died;
                if world.routes.mirrored && !is_clean_cut(world) {
                    world.excused = true;
                }
                Some(true)
            }
            None => {
                self.abort();
                Some(false)
            }
        }
    }

    /// Remembered first, then made; never twice once something was taken from R.
    fn start_target(&mut self, world: &mut World) -> bool {
        if !self.journal.target_made {
            self.journal.target_made = true;
            if self.journal.may_restore_again() {
                world.target_died = false;
                if let Some(earlier) = world.target.take() {
                    world.end_process(earlier);
                }
            }
            return false;
        }
        let state = world.checkpoint.clone().unwrap_or_default();
        if world.target.is_none() && !world.target_died {
            world.target = Some(Process::new(state, None));
        }
        true
    }

    fn tell(&mut self, party: Party, message: Message, world: &mut World) {
        match party {
            Party::Target if !(self.journal.stale_target || self.journal.sequential) => {
                world.target_orders.push((party, message));
            }
            Party::Source | Party::Target => world.source_orders.push((party, message)),
        }
        match party {
            Party::Source => self.source_told = Some(message),
            Party::Target => self.target_told = Some(message),
        }
    }

    fn remove_source(&mut self, world: &mut World) -> bool {
        if self.can_return(world) {
            // The engine looks at the target right before it removes the source.
            self.abort();
            return false;
        }
        if let Some(source) = world.source.take() {
            world.end_process(source);
            let proven = if self.journal.sequential {
                self.sent
            } else {
                self.target_seen
            };
            self.removed_too_early |= !proven;
        }
        true
    }

    fn delete_replay_queues(&mut self, world: &mut World, decisions: Decisions) -> Option<bool> {
        let kept = if self.journal.aborting {
            Place::H
        } else {
            Place::R
        };
        let busy = world.consumers(kept) > 0 || !world.queue(kept).is_empty();
        if busy && world.declared && decisions.delete_only_if_idle {
            return None;
        }
        world.declared = false;
        world.routes.bound = false;
        world.routes.mirrored = false;
        for place in [Place::R, Place::H] {
            world.queue_mut(place).clear();
        }
        let cancelled = |process: &mut Process| {
            if matches!(process.on, Some(Place::R | Place::H)) {
                process.on = None;
                process.hand = None;
                process.told = Place::Q;
            }
        };
        world.source.iter_mut().for_each(cancelled);
        world.target.iter_mut().for_each(cancelled);
        if self.journal.sequential {
            // Both go by one name, and whoever stays listens there.
        } else if self.journal.aborting || self.journal.stale_target {
            world.target_orders.clear();
        } else {
            world.source_orders.clear();
        }
        Some(true)
    }

    /// What is to be seen of the target.
    pub(crate) fn note(&mut self, world: &World) {
        let on_primary = |it: &Process| it.on == Some(Place::Q);
        self.target_seen |= world.target.as_ref().is_some_and(on_primary);
    }
}

/// Binding R beside Q promises nothing about what is in Q or in hand at that moment.
fn mirror(world: &mut World) {
    if !world.routes.mirrored && !is_clean_cut(world) {
        world.excused = true;
    }
    world.routes.mirrored = true;
}

/// The source's state holds exactly what is not in R.
fn is_clean_cut(world: &World) -> bool {
    let idle = world.queue(Place::Q).is_empty()
        && !world.has_unacknowledged(Place::Q)
        && !world.is_bound_for(Place::Q);
    let applied = world
        .source
        .as_ref()
        .and_then(|source| source.applied.last().copied())
        .unwrap_or(0);
    idle && world
        .queue(Place::R)
        .iter()
        .all(|message| *message > applied)
}

/// Rests on time: no message is on its way to H at the moment when the gate opens.
fn put_back(world: &mut World) -> Option<bool> {
    if world.is_bound_for(Place::H) {
        return None;
    }
    let held = std::mem::take(world.queue_mut(Place::H));
    world.queue_mut(Place::Q).extend(held);
    world.routes.open = true;
    Some(true)
}
