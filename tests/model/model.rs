//! The state, the actions and the properties, as a model that stateright explores.

use ms2m::api::{Handoff, HandoffStage as Stage};
use ms2m::migration::handoff::{Message, Party, Rules, abort, decide};
use stateright::{Model, Property};

use crate::migration::{Decisions, End, Ms2m};
use crate::world::{PLACES, Place, Process, World, is_exact};

/// How an application treats its orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Application {
    Obedient,
    /// It does not read them.
    Deaf,
    /// It reads them and does nothing.
    Stubborn,
}

/// What may happen in a run of the checker.
#[derive(Clone)]
pub(crate) struct Setup {
    /// How many messages are published.
    pub(crate) messages: u8,
    pub(crate) rules: Rules,
    pub(crate) source: Application,
    /// Messages arrive some time after they were routed.
    pub(crate) late: bool,
    /// How many connections may be lost.
    pub(crate) losses: u8,
    pub(crate) source_crashes: bool,
    pub(crate) target_crashes: bool,
    /// The target reads the source's orders.
    pub(crate) stale_target: bool,
    pub(crate) decisions: Decisions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            messages: 2,
            rules: Rules::default(),
            source: Application::Obedient,
            late: false,
            losses: 0,
            source_crashes: false,
            target_crashes: false,
            stale_target: false,
            decisions: Decisions {
                forward: decide,
                back: abort::decide_back,
                delete_only_if_idle: true,
            },
        }
    }
}

/// One of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Source,
    Target,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Publish,
    Land(Place),
    Take(Who),
    Apply(Who),
    Connect(Who),
    /// It forgets what it was told, and goes to the primary queue.
    ConnectByHabit(Who),
    Lose(Who),
    Obey(Who),
    Crash(Who),
    /// ms2m looks and decides.
    Look {
        overdue: bool,
    },
    /// It does what it has decided.
    Act,
    /// It does, and does not learn that it was done.
    ActUnheard,
    /// It is killed, and another process takes over.
    Kill,
    /// Somebody asks it to stop.
    Abort,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) ms2m: Ms2m,
}

impl State {
    /// Whether the migration has ended and everything has come to rest.
    pub(crate) fn has_ended(&self) -> bool {
        self.ms2m.journal.end.is_some()
    }

    /// The process whose state counts at this moment, if what it has been through leaves it one
    /// that can be right.
    fn survivor(&self) -> Option<&Process> {
        let journal = &self.ms2m.journal;
        if journal.stage.is_committed() && !journal.aborting {
            let target = self.world.target.as_ref();
            target.filter(|_| !self.world.checkpoint_tainted)
        } else if self.world.source_died {
            None
        } else {
            self.world.source.as_ref()
        }
    }

    fn serves_exactly(&self) -> bool {
        let exact = self.survivor().is_none_or(|it| is_exact(&it.applied));
        exact || self.world.excused
    }

    /// At the end: what the survivor has applied and what waits for it is everything.
    fn ends_exactly(&self) -> bool {
        let Some(survivor) = self.survivor().filter(|_| self.has_ended()) else {
            return true;
        };
        // Copies that are still on their way to R or H are nobody's.
        let flights = self.world.flights.iter();
        let on_the_way = flights
            .filter(|flight| flight.to.contains(&Place::Q))
            .map(|flight| &flight.message);
        let all: Vec<u8> = survivor
            .applied
            .iter()
            .chain(&survivor.hand)
            .chain(self.world.queue(Place::Q))
            .chain(on_the_way)
            .copied()
            .collect();
        let whole = is_exact(&all) && all.len() == usize::from(self.world.published);
        self.world.excused || whole
    }

    /// At the end: messages that were applied in another order than they were published in are told
    /// of. The handoff `Mirror` promises nothing, and says so when it is chosen.
    fn ends_told(&self, rules: Rules) -> bool {
        let exact = self.survivor().is_none_or(|it| is_exact(&it.applied));
        let told = self.ms2m.journal.doubted || rules.handoff == Handoff::Mirror;
        !self.has_ended() || exact || told
    }

    fn ends_cleanly(&self) -> bool {
        let routes = self.world.routes;
        let clean = routes.direct
            && !(routes.through || routes.open || routes.exchanges || routes.mirrored)
            && !self.world.declared;
        !self.has_ended() || clean
    }

    /// Nobody who could serve is left: only an application that crashed at the wrong moment does
    /// that.
    pub(crate) fn is_beyond_help(&self) -> bool {
        let journal = &self.ms2m.journal;
        let lost = self.world.target_died && journal.stage.is_committed();
        lost && self.world.source.is_none() && !journal.may_restore_again()
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            world: World::new(),
            ms2m: Ms2m::new(self.rules),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.world.published < self.messages && state.world.flights.len() < 2 {
            actions.push(Action::Publish);
        }
        actions.extend(PLACES.map(Action::Land));
        for who in [Who::Source, Who::Target] {
            actions.extend([
                Action::Take(who),
                Action::Apply(who),
                Action::Connect(who),
                Action::Obey(who),
            ]);
            if state.world.losses < self.losses {
                actions.push(Action::Lose(who));
            }
            if self.losses > 0 {
                actions.push(Action::ConnectByHabit(who));
            }
        }
        if self.source_crashes && !state.world.source_died {
            actions.push(Action::Crash(Who::Source));
        }
        if self.target_crashes {
            actions.push(Action::Crash(Who::Target));
        }
        if !state.has_ended() {
            actions.extend([false, true].map(|overdue| Action::Look { overdue }));
            actions.extend([Action::Act, Action::ActUnheard, Action::Kill, Action::Abort]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, action)?;
        if !self.late {
            for place in PLACES {
                while state.world.land(place).is_some() {}
            }
        }
        state.ms2m.note(&state.world);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("whoever serves is exact", |_, state: &State| {
                state.serves_exactly()
            }),
            Property::always("nothing is missing at the end", |_, state: &State| {
                state.ends_exactly()
            }),
            Property::always("a broken order is told", |setup: &Self, state: &State| {
                state.ends_told(setup.rules)
            }),
            Property::always("nothing is left at the end", |_, state: &State| {
                state.ends_cleanly()
            }),
            Property::always("no message is routed to nowhere", |_, state: &State| {
                !state.world.dropped
            }),
            Property::always(
                "the source goes after the target was seen",
                |_, state: &State| !state.ms2m.removed_too_early,
            ),
            Property::sometimes("it completes", |setup: &Self, state: &State| {
                !setup.can_complete() || state.ms2m.journal.end == Some(End::Completed)
            }),
            Property::sometimes("it fails cleanly", |_, state: &State| {
                state.ms2m.journal.end == Some(End::Failed)
            }),
        ]
    }
}

impl Setup {
    /// Whether this application can be moved at all.
    fn can_complete(&self) -> bool {
        let gate = self.rules.handoff == Handoff::Gate;
        let stale =
            self.stale_target && self.rules.stale_identity == ms2m::api::StaleIdentity::RollBack;
        !(gate && self.source != Application::Obedient || stale)
    }

    fn step(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Publish => state.world.publish(),
            Action::Land(place) => state.world.land(place)?,
            Action::Take(who) => {
                let habit = takes_by_habit(state, who);
                take(state, who)?;
                state.world.excused |= habit;
            }
            Action::Apply(who) => apply(state, who)?,
            Action::Connect(who) => connect(state, who, false)?,
            Action::ConnectByHabit(who) => connect(state, who, true)?,
            Action::Lose(who) => lose(state, who)?,
            Action::Obey(who) => self.obey(state, who)?,
            Action::Crash(who) => crash(state, who)?,
            Action::Look { overdue } => {
                if state.ms2m.pending.is_some() {
                    return None;
                }
                let State { world, ms2m } = state;
                // No message is on its way for as long as the shortest wait may take.
                let overdue = overdue && world.flights.is_empty();
                ms2m.look(world, self.rules, self.decisions, overdue);
            }
            Action::Act | Action::ActUnheard => {
                let State { world, ms2m } = state;
                ms2m.act(world, self.decisions, action == Action::ActUnheard)?;
            }
            Action::Kill => state.ms2m.crash(),
            Action::Abort => {
                let journal = state.ms2m.journal;
                // With a source that was not touched there is a way back from the commit point.
                let untouched = journal.sequential
                    && journal.stage == Stage::Committing
                    && state.world.source.is_some();
                let committed = journal.stage.is_committed() && !untouched;
                if journal.aborting || committed || state.ms2m.pending.is_some() {
                    return None;
                }
                state.ms2m.abort();
            }
        }
        Some(())
    }

    fn obey(&self, state: &mut State, who: Who) -> Option<()> {
        let manners = match who {
            Who::Source => self.source,
            Who::Target => Application::Obedient,
        };
        let (party, reads_sources) = match who {
            Who::Source => (&mut state.world.source, true),
            Who::Target => (
                &mut state.world.target,
                self.stale_target || self.rules.sequential,
            ),
        };
        let mut process = party.take()?;
        let orders = if reads_sources {
            &mut state.world.source_orders
        } else {
            &mut state.world.target_orders
        };
        let order = match manners {
            Application::Deaf => None,
            _ if orders.is_empty() || process.on.is_none() => None,
            _ => Some(orders.remove(0)),
        };
        let to = match order {
            Some((party, Message::StartReplay)) if manners == Application::Obedient => {
                Some(replay_queue(party))
            }
            Some((_, Message::EndReplay)) if manners == Application::Obedient => Some(Place::Q),
            _ => None,
        };
        if let Some(to) = to {
            state.world.give_back(&mut process);
            process.on = Some(to);
            process.told = to;
            process.forgetful = false;
            // It declares a replay queue that is not there.
            state.world.declared |= to != Place::Q;
        }
        put(&mut state.world, who, process);
        order.map(drop)
    }
}

/// The queue that a `START_REPLAY` names, for whomever it was meant.
fn replay_queue(party: Party) -> Place {
    match party {
        Party::Source => Place::H,
        Party::Target => Place::R,
    }
}

fn get(world: &mut World, who: Who) -> &mut Option<Process> {
    match who {
        Who::Source => &mut world.source,
        Who::Target => &mut world.target,
    }
}

fn put(world: &mut World, who: Who, process: Process) {
    *get(world, who) = Some(process);
}

fn take(state: &mut State, who: Who) -> Option<()> {
    let process = get(&mut state.world, who).as_mut()?;
    let (place, None) = (process.on?, process.hand) else {
        return None;
    };
    let queue = state.world.queue_mut(place);
    if queue.is_empty() {
        return None;
    }
    let message = queue.remove(0);
    get(&mut state.world, who).as_mut()?.hand = Some(message);
    Some(())
}

/// Whoever has forgotten his orders takes from the primary queue what comes after what he has left
/// in his replay queue: that he does to himself, and only in the moments between the opening of
/// the gate and the end of that queue. With the handoff `Mirror` the target takes from the
/// source's queue until it is told.
fn takes_by_habit(state: &State, who: Who) -> bool {
    let journal = &state.ms2m.journal;
    let (process, drains) = match who {
        Who::Source => (&state.world.source, journal.aborting),
        Who::Target => (&state.world.target, journal.stage >= Stage::SourceRemoved),
    };
    let Some(process) = process.as_ref().filter(|it| it.on == Some(Place::Q)) else {
        return false;
    };
    let mirrored = who == Who::Target && state.world.routes.mirrored;
    mirrored || (process.forgetful && drains && state.world.routes.open)
}

fn apply(state: &mut State, who: Who) -> Option<()> {
    let process = get(&mut state.world, who).as_mut()?;
    let message = process.hand.take()?;
    process.applied.push(message);
    Some(())
}

fn connect(state: &mut State, who: Who, by_habit: bool) -> Option<()> {
    let declared = state.world.declared;
    let process = get(&mut state.world, who).as_mut()?;
    if process.on.is_some() {
        return None;
    }
    // A queue that is gone cannot be consumed; then it is the primary one again.
    if by_habit || !declared {
        process.forgetful = process.told != Place::Q;
        process.told = Place::Q;
    }
    process.on = Some(process.told);
    Some(())
}

fn lose(state: &mut State, who: Who) -> Option<()> {
    let mut process = get(&mut state.world, who).take()?;
    state.world.give_back(&mut process);
    let connected = process.on.take();
    state.world.losses += 1;
    put(&mut state.world, who, process);
    connected.map(drop)
}

fn crash(state: &mut State, who: Who) -> Option<()> {
    let mut process = get(&mut state.world, who).take()?;
    state.world.give_back(&mut process);
    match who {
        // Its container starts again, with nothing.
        Who::Source => {
            state.world.source_died = true;
            state.world.source = Some(Process::new(Vec::new(), None));
        }
        Who::Target => state.world.target_died = true,
    }
    Some(())
}
