//! Plays a schedule on the real broker and hands the books to the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::{Channel, Connection, ConnectionProperties};
use ms2m::api::HandoffBinding;
use ms2m::broker::{AmqpBroker, BrokerUrl, Options};
use ms2m::migration::handoff::decide::{DISMANTLE, INSERT};
use ms2m::migration::handoff::topology::{Request, requests};
use ms2m::migration::handoff::{Effect, Names};
use ms2m::migration::ports::{Broker, Deletion};
use tokio_util::sync::CancellationToken;

use crate::consumers::Consumer;
use crate::layout::{Layout, Shape};
use crate::ledger::{Ledger, Place, Side};
use crate::publishers::Publishers;
use crate::schedule::{Disturbance, Step};
use crate::support::{DEADLINE, World};

/// Publishers of a case.
const PUBLISHERS: usize = 3;

/// How long R and H must have been seen quiet before they go. The engine's floor.
const QUIET: Duration = ms2m::migration::handoff::watch::QUIET_FLOOR;

/// Where the gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Out,
    In(Side),
}

/// One case: an application, a gate, and the books.
pub(crate) struct Rig {
    url: String,
    broker: AmqpBroker,
    layout: Layout,
    names: Names,
    /// The bindings that Q had when the gate was put in.
    ways: Vec<HandoffBinding>,
    gate: Gate,
    ledger: Arc<Ledger>,
    consumers: BTreeMap<Place, Consumer>,
    /// The application's own.
    _connection: Connection,
    channel: Channel,
}

impl Rig {
    /// Plays the whole schedule, brings everything to an end, and says what is wrong.
    pub(crate) async fn play(shape: Shape, case: &str, steps: &[Step]) -> Result<(), String> {
        let mut rig = Self::set_up(Layout::of(shape, case)).await?;
        let routes = &rig.layout.routes;
        let publishers = Publishers::start(&rig.url, PUBLISHERS, routes, &rig.ledger);
        let failed = publishers.failed();
        let played = rig.steps(steps, &failed).await;
        publishers.stop().await?;
        played?;
        if rig.gate == Gate::In(Side::Closed) {
            rig.move_gate(false, Disturbance::None).await?;
        }
        if rig.gate == Gate::In(Side::Open) {
            rig.take_out(Disturbance::None).await?;
        }
        rig.drain(&[Place::Q]).await?;
        let left_as_found = rig.left_as_found().await;
        let deleted = rig.layout.delete(&rig.channel).await;
        rig.ledger.verdict()?;
        left_as_found?;
        deleted.map_err(|error| error.to_string())
    }

    async fn set_up(layout: Layout) -> Result<Self, String> {
        let places = &World::get().places;
        let url = places.broker_url.clone();
        let broker = AmqpBroker::new(&Options {
            url: BrokerUrl::parse(&url).map_err(|error| error.to_string())?,
            management: places.management_url.parse().ok(),
        });
        let properties = ConnectionProperties::default();
        let connected = Connection::connect(&url, properties).await;
        let connection = connected.map_err(|error| error.to_string())?;
        let channel = connection.create_channel().await;
        let channel = channel.map_err(|error| error.to_string())?;
        let declared = layout.declare(&channel).await;
        declared.map_err(|error| error.to_string())?;
        Ok(Self {
            names: Names::of(&layout.queue),
            url,
            broker,
            layout,
            ways: Vec::new(),
            gate: Gate::Out,
            ledger: Arc::new(Ledger::new()),
            consumers: BTreeMap::new(),
            _connection: connection,
            channel,
        })
    }

    async fn steps(&mut self, steps: &[Step], failed: &CancellationToken) -> Result<(), String> {
        for step in steps {
            tokio::select! {
                () = failed.cancelled() => return Err("a publisher has failed".to_owned()),
                done = self.step(*step) => done?,
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Gate { out, disturbance } => self.move_gate(out, disturbance).await,
            Step::Flow(more) => self.await_flow(more.into()).await,
            Step::Start(place) if place == Place::Q || self.gate != Gate::Out => {
                self.stop_consumer(place).await?;
                self.start_consumer(place);
                Ok(())
            }
            Step::Stop(place) => self.stop_consumer(place).await,
            Step::Start(_) => Ok(()),
        }
    }

    async fn move_gate(&mut self, out: bool, disturbance: Disturbance) -> Result<(), String> {
        match self.gate {
            Gate::Out => self.put_in(disturbance).await,
            Gate::In(Side::Open) if out => self.take_out(disturbance).await,
            Gate::In(Side::Open) => {
                self.turn(Effect::CloseGate, Side::Closed, disturbance)
                    .await
            }
            Gate::In(Side::Closed) => self.turn(Effect::OpenGate, Side::Open, disturbance).await,
        }
    }

    /// Every message goes to Q all the while, so the ledger is not told.
    async fn put_in(&mut self, disturbance: Disturbance) -> Result<(), String> {
        let bindings = self.broker.bindings(&self.names.queue).await;
        self.ways = bindings
            .map_err(|error| error.to_string())?
            .ok_or("the management API is silent")?;
        self.carry_out(&INSERT, disturbance).await?;
        self.gate = Gate::In(Side::Open);
        Ok(())
    }

    async fn turn(
        &mut self,
        effect: Effect,
        to: Side,
        disturbance: Disturbance,
    ) -> Result<(), String> {
        self.ledger.gate_is(None);
        self.carry_out(&[effect], disturbance).await?;
        self.ledger.gate_is(Some(to));
        self.gate = Gate::In(to);
        Ok(())
    }

    async fn take_out(&mut self, disturbance: Disturbance) -> Result<(), String> {
        self.drain(&[Place::R, Place::H]).await?;
        self.carry_out(&DISMANTLE, disturbance).await?;
        for queue in [&self.names.replay, &self.names.hold] {
            let deleted = self.broker.delete_queue(queue, true).await;
            match deleted.map_err(|error| error.to_string())? {
                Deletion::Gone => {}
                Deletion::InUse => return Err(format!("{queue} was quiet and is in use")),
            }
        }
        self.gate = Gate::Out;
        Ok(())
    }

    /// The engine's own requests for these effects, in its order.
    async fn carry_out(&self, effects: &[Effect], disturbance: Disturbance) -> Result<(), String> {
        let all: Vec<Request> = effects
            .iter()
            .flat_map(|effect| requests(*effect, &self.names, &self.ways))
            .collect();
        let disturbed: Vec<&Request> = match disturbance {
            Disturbance::None => all.iter().collect(),
            Disturbance::Twice => all.iter().flat_map(|request| [request; 2]).collect(),
            Disturbance::Crash(after) => {
                let done = usize::from(after) % (all.len() + 1);
                all[..done].iter().chain(&all).collect()
            }
        };
        for request in disturbed {
            request
                .carry_out(&self.broker)
                .await
                .map_err(|error| format!("could not {}: {error}", request.purpose()))?;
        }
        Ok(())
    }

    fn queue(&self, place: Place) -> &str {
        match place {
            Place::Q => &self.names.queue,
            Place::R => &self.names.replay,
            Place::H => &self.names.hold,
        }
    }

    fn start_consumer(&mut self, place: Place) {
        let consumer = Consumer::start(&self.url, place, self.queue(place), &self.ledger);
        self.consumers.insert(place, consumer);
    }

    async fn stop_consumer(&mut self, place: Place) -> Result<(), String> {
        match self.consumers.remove(&place) {
            Some(consumer) => consumer.stop().await,
            None => Ok(()),
        }
    }

    async fn await_flow(&self, more: usize) -> Result<(), String> {
        let enough = self.ledger.count_confirmed() + more;
        let until = Instant::now() + DEADLINE;
        while self.ledger.count_confirmed() < enough {
            if Instant::now() > until {
                return Err("the publishers are stuck".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Has everything taken from queues that no longer grow, and their consumers leave. What these
    /// had in hand comes back, so it is looked again.
    async fn drain(&mut self, places: &[Place]) -> Result<(), String> {
        let until = Instant::now() + DEADLINE;
        loop {
            for place in places {
                if !self.consumers.contains_key(place) {
                    self.start_consumer(*place);
                }
            }
            self.await_quiet(places, until).await?;
            for place in places {
                self.stop_consumer(*place).await?;
            }
            if self.are_empty(places).await? {
                return Ok(());
            }
        }
    }

    async fn await_quiet(&self, places: &[Place], until: Instant) -> Result<(), String> {
        let mut quiet_since: Option<Instant> = None;
        while quiet_since.is_none_or(|since| since.elapsed() < QUIET) {
            if Instant::now() > until {
                return Err(format!("{places:?} are not drained"));
            }
            let quiet = self.are_empty(places).await?;
            quiet_since = quiet.then(|| quiet_since.unwrap_or_else(Instant::now));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn are_empty(&self, places: &[Place]) -> Result<bool, String> {
        let names: Vec<&str> = places.iter().map(|place| self.queue(*place)).collect();
        let seen = self.broker.queues(&names).await;
        let seen = seen.map_err(|error| error.to_string())?;
        Ok(seen.iter().all(|queue| {
            queue.is_some_and(|queue| queue.ready == 0 && queue.unacknowledged.unwrap_or(0) == 0)
        }))
    }

    /// Whether Q has its own bindings again and nothing of the gate is left.
    async fn left_as_found(&self) -> Result<(), String> {
        let bindings = self.broker.bindings(&self.names.queue).await;
        let mut bindings = bindings
            .map_err(|error| error.to_string())?
            .ok_or("the management API is silent")?;
        let mut ways = self.ways.clone();
        let by_text = |binding: &HandoffBinding| format!("{binding:?}");
        bindings.sort_by_key(by_text);
        ways.sort_by_key(by_text);
        if !ways.is_empty() && bindings != ways {
            return Err(format!(
                "{bindings:?} are not the bindings that it had: {ways:?}"
            ));
        }
        for exchange in [&self.names.gate, &self.names.fanout] {
            match self.broker.exchange_exists(exchange).await {
                Ok(false) => {}
                other => return Err(format!("{exchange} is left: {other:?}")),
            }
        }
        Ok(())
    }
}
