//! What the effects on the gate ask of the broker, request by request.
//!
//! The engine carries them out with patience; the tests of the handoff carry out the very same
//! ones on a real broker, so that what they prove is what ships. What concerns the parties or the
//! cluster is not here, and neither is the deletion of R and H, which depends on what is in them.

use std::collections::BTreeMap;

use super::moves::Effect;
use super::names::Names;
use crate::api::HandoffBinding;
use crate::migration::ports::{Broker, Destination, PortResult};

/// One idempotent request to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Ensure a fanout exchange.
    EnsureFanout {
        /// Its name.
        name: String,
        /// The exchange that takes what it cannot route.
        alternate: Option<String>,
    },
    /// Ensure a replay queue.
    EnsureQueue(String),
    /// Ensure a binding.
    Bind(HandoffBinding, Destination),
    /// Ensure that a binding is gone.
    Unbind(HandoffBinding, Destination),
    /// Ensure that an exchange is gone.
    DeleteExchange(String),
}

impl Request {
    /// What it is for, as the end of 'could not …'.
    #[must_use]
    pub fn purpose(&self) -> String {
        match self {
            Self::EnsureFanout { name, .. } => format!("declare exchange {name}"),
            Self::EnsureQueue(name) => format!("declare queue {name}"),
            Self::Bind(binding, to) => format!("bind {to} to exchange {}", binding.exchange),
            Self::Unbind(binding, from) => {
                format!("unbind {from} from exchange {}", binding.exchange)
            }
            Self::DeleteExchange(name) => format!("delete exchange {name}"),
        }
    }

    /// Carries it out.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn carry_out(&self, broker: &dyn Broker) -> PortResult<()> {
        match self {
            Self::EnsureFanout { name, alternate } => {
                broker.ensure_fanout(name, alternate.as_deref()).await
            }
            Self::EnsureQueue(name) => broker.ensure_queue(name).await,
            Self::Bind(binding, to) => broker.bind(binding, to).await,
            Self::Unbind(binding, from) => broker.unbind(binding, from).await,
            Self::DeleteExchange(name) => broker.delete_exchange(name).await,
        }
    }
}

/// What `effect` asks of the broker, in this order, where the primary queue's own bindings are
/// `ways`. Nothing for an effect that does not concern exchanges, bindings or the making of R
/// and H.
#[must_use]
pub fn requests(effect: Effect, names: &Names, ways: &[HandoffBinding]) -> Vec<Request> {
    let to_queue = || Destination::Queue(names.queue.clone());
    let to_replay = || Destination::Queue(names.replay.clone());
    let to_gate = || Destination::Exchange(names.gate.clone());
    match effect {
        // The gate names the fanout as its alternate, so the fanout comes first.
        Effect::DeclareExchanges => vec![
            Request::EnsureFanout {
                name: names.fanout.clone(),
                alternate: None,
            },
            Request::EnsureFanout {
                name: names.gate.clone(),
                alternate: Some(names.fanout.clone()),
            },
        ],
        Effect::DeclareReplayQueues => replay_queues(names).map(Request::EnsureQueue).to_vec(),
        Effect::BindReplayQueues => replay_queues(names)
            .map(|queue| Request::Bind(own_binding(&names.fanout), Destination::Queue(queue)))
            .to_vec(),
        Effect::OpenGate => vec![Request::Bind(own_binding(&names.gate), to_queue())],
        Effect::CloseGate => vec![Request::Unbind(own_binding(&names.gate), to_queue())],
        Effect::LeadThroughGate => each(ways, |way| Request::Bind(way, to_gate())),
        Effect::CutDirectWay => each(ways, |way| Request::Unbind(way, to_queue())),
        Effect::RestoreDirectWay => each(ways, |way| Request::Bind(way, to_queue())),
        Effect::LeadPastGate => each(ways, |way| Request::Unbind(way, to_gate())),
        Effect::MirrorReplay => each(ways, |way| Request::Bind(way, to_replay())),
        Effect::UnmirrorReplay => each(ways, |way| Request::Unbind(way, to_replay())),
        // The last is there only when a roll-back has put messages back over it.
        Effect::DeleteExchanges => [&names.gate, &names.fanout, &names.put_back]
            .map(|name| Request::DeleteExchange(name.clone()))
            .to_vec(),
        Effect::DeleteReplayQueues
        | Effect::Unsay
        | Effect::PutBack
        | Effect::Checkpoint
        | Effect::SendCheckpoint
        | Effect::StartTarget
        | Effect::Tell(..)
        | Effect::RemoveSource
        | Effect::RemoveTarget => Vec::new(),
    }
}

fn replay_queues(names: &Names) -> [String; 2] {
    [names.replay.clone(), names.hold.clone()]
}

fn each(ways: &[HandoffBinding], request: impl Fn(HandoffBinding) -> Request) -> Vec<Request> {
    ways.iter().cloned().map(request).collect()
}

/// A binding between the gate's own parts: fanout, so without key and arguments.
#[must_use]
pub fn own_binding(exchange: &str) -> HandoffBinding {
    HandoffBinding {
        exchange: exchange.to_owned(),
        routing_key: String::new(),
        arguments: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::{DISMANTLE, INSERT};
    use super::*;

    /// What the insertion makes, dismantling takes away, and the other way round.
    #[test]
    fn dismantling_undoes_the_insertion() {
        let names = Names::of("orders");
        let ways = [own_binding("events"), own_binding("more-events")];
        let all = |effects: &[Effect]| -> Vec<Request> {
            effects
                .iter()
                .flat_map(|effect| requests(*effect, &names, &ways))
                .collect()
        };
        let (made, unmade) = (all(&INSERT), all(&DISMANTLE));
        for request in &made {
            let undone = match request.clone() {
                Request::EnsureFanout { name, .. } => Request::DeleteExchange(name),
                Request::Bind(way, to) => Request::Unbind(way, to),
                Request::Unbind(way, from) => Request::Bind(way, from),
                // Goes with R and H, or with the gate.
                Request::EnsureQueue(_) | Request::DeleteExchange(_) => continue,
            };
            let goes_with_its_exchange = matches!(&undone, Request::Unbind(way, _)
                if [&names.gate, &names.fanout].contains(&&way.exchange));
            assert!(
                goes_with_its_exchange || unmade.contains(&undone),
                "{request:?} is not undone"
            );
        }
    }
}
