//! The world that ms2m acts on, reduced to what the protocol depends on: one publisher's numbered
//! messages, the queues, the bindings, and two processes that consume.
//!
//! A message is routed at one moment and arrives at its queues later, so that one that was routed
//! before the gate closed may slip into the primary queue afterwards. Applying a message and
//! acknowledging it is one step, since what a process does to itself between the two happens
//! without ms2m as well.

use ms2m::migration::handoff::{Message, Party};

/// A queue, by its part in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The primary queue.
    Q,
    /// The target's replay queue.
    R,
    /// The source's replay queue.
    H,
}

/// All of them.
pub(crate) const PLACES: [Place; 3] = [Place::Q, Place::R, Place::H];

/// What leads where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Routes {
    /// The producers' exchange to Q.
    pub(crate) direct: bool,
    /// The producers' exchange to the gate.
    pub(crate) through: bool,
    /// The gate to Q.
    pub(crate) open: bool,
    /// The gate and its alternate exchange are declared.
    pub(crate) exchanges: bool,
    /// The alternate exchange to R and H.
    pub(crate) bound: bool,
    /// The producers' exchange to R.
    pub(crate) mirrored: bool,
}

/// A process that consumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Where it consumes; `None` while it has no connection.
    pub(crate) on: Option<Place>,
    /// Where it goes when it connects again.
    pub(crate) told: Place,
    /// What it was given and has not applied.
    pub(crate) hand: Option<u8>,
    /// It has forgotten what it was told, and is on the primary queue by habit.
    pub(crate) forgetful: bool,
    /// What it has applied: its state.
    pub(crate) applied: Vec<u8>,
}

impl Process {
    pub(crate) fn new(applied: Vec<u8>, on: Option<Place>) -> Self {
        Self {
            on,
            told: Place::Q,
            hand: None,
            forgetful: false,
            applied,
        }
    }
}

/// A message on its way to queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) message: u8,
    pub(crate) to: Vec<Place>,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) published: u8,
    pub(crate) flights: Vec<Flight>,
    /// Ready messages of Q, R and H.
    pub(crate) queues: [Vec<u8>; 3],
    /// R and H are declared.
    pub(crate) declared: bool,
    pub(crate) routes: Routes,
    /// `None` once its pod is gone.
    pub(crate) source: Option<Process>,
    pub(crate) target: Option<Process>,
    /// The target was made and its process has died.
    pub(crate) target_died: bool,
    /// The source's process has died and begun anew, or its pod has gone by itself.
    pub(crate) source_died: bool,
    /// Orders that wait in the two control queues, and for whom they were meant.
    pub(crate) source_orders: Vec<(Party, Message)>,
    pub(crate) target_orders: Vec<(Party, Message)>,
    /// The state in the last checkpoint.
    pub(crate) checkpoint: Option<Vec<u8>>,
    /// It is one of a source that had lost its state.
    pub(crate) checkpoint_tainted: bool,
    /// How many connections have been lost.
    pub(crate) losses: u8,
    /// A message was routed to nowhere.
    pub(crate) dropped: bool,
    /// What the application did excuses the result: a target that had forgotten what it was told
    /// took from the primary queue before it had finished its replay queue; or the handoff is one
    /// without promises at its beginning.
    pub(crate) excused: bool,
}

impl World {
    /// With a source at work.
    pub(crate) fn new() -> Self {
        Self {
            published: 0,
            flights: Vec::new(),
            queues: Default::default(),
            declared: false,
            routes: Routes {
                direct: true,
                through: false,
                open: false,
                exchanges: false,
                bound: false,
                mirrored: false,
            },
            source: Some(Process::new(Vec::new(), Some(Place::Q))),
            target: None,
            target_died: false,
            source_died: false,
            source_orders: Vec::new(),
            target_orders: Vec::new(),
            checkpoint: None,
            checkpoint_tainted: false,
            losses: 0,
            dropped: false,
            excused: false,
        }
    }

    pub(crate) fn queue(&self, place: Place) -> &Vec<u8> {
        &self.queues[place as usize]
    }

    pub(crate) fn queue_mut(&mut self, place: Place) -> &mut Vec<u8> {
        &mut self.queues[place as usize]
    }

    /// Routes the next message.
    pub(crate) fn publish(&mut self) {
        self.published += 1;
        let routes = self.routes;
        let closed = routes.through && routes.exchanges && !routes.open;
        let opened = routes.through && routes.exchanges && routes.open;
        let mut to = Vec::new();
        if routes.direct || opened {
            to.push(Place::Q);
        }
        if routes.mirrored || (closed && routes.bound) {
            to.push(Place::R);
        }
        if closed && routes.bound {
            to.push(Place::H);
        }
        if to.is_empty() {
            self.dropped = true;
        } else {
            let message = self.published;
            self.flights.push(Flight { message, to });
        }
    }

    /// The oldest message on its way to `place` arrives.
    pub(crate) fn land(&mut self, place: Place) -> Option<()> {
        let at = self
            .flights
            .iter()
            .position(|flight| flight.to.contains(&place))?;
        let flight = &mut self.flights[at];
        flight.to.retain(|to| *to != place);
        let message = flight.message;
        self.flights.retain(|flight| !flight.to.is_empty());
        if place == Place::Q || self.declared {
            self.queue_mut(place).push(message);
        }
        Some(())
    }

    pub(crate) fn is_bound_for(&self, place: Place) -> bool {
        self.flights.iter().any(|flight| flight.to.contains(&place))
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.source.iter().chain(self.target.iter())
    }

    pub(crate) fn consumers(&self, place: Place) -> usize {
        self.processes()
            .filter(|process| process.on == Some(place))
            .count()
    }

    pub(crate) fn has_unacknowledged(&self, place: Place) -> bool {
        self.processes()
            .any(|process| process.on == Some(place) && process.hand.is_some())
    }

    /// What a connection had unacknowledged goes back to its place in the queue.
    pub(crate) fn give_back(&mut self, process: &mut Process) {
        if let (Some(place), Some(message)) = (process.on, process.hand.take()) {
            self.queue_mut(place).insert(0, message);
        }
    }

    /// Everything of a process but its state is gone.
    pub(crate) fn end_process(&mut self, mut process: Process) {
        self.give_back(&mut process);
    }
}

/// Whether these are the messages 1, 2, 3 and so on, each once and in order.
pub(crate) fn is_exact<'a>(messages: impl IntoIterator<Item = &'a u8>) -> bool {
    messages
        .into_iter()
        .enumerate()
        .all(|(at, message)| usize::from(*message) == at + 1)
}
