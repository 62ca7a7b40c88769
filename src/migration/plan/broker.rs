//! What is at the broker → whether the handoff can take place, and over which bindings. Pure.

use super::AtBroker;
use crate::api::{Handoff, HandoffBinding, StaleIdentity, StatefulMigrationSpec};
use crate::explain;
use crate::migration::error::Error;
use crate::migration::handoff::names::control_queue;
use crate::migration::ports::ConsumerView;

pub(super) fn queue(spec: &StatefulMigrationSpec, world: &AtBroker) -> Result<(), Error> {
    let name = &spec.message_queue_config.queue_name;
    let Some(queue) = &world.queue else {
        return Err(Error::refused(format!("there is no queue {name} on the broker"))
            .hint("give the queue that the pod consumes with --queue, and its virtual host in --broker-url"));
    };
    if let Some(part) = world.leftovers.first() {
        return Err(Error::refused(format!(
            "queue {name} is already being migrated: {part} is there"
        ))
        .code(&explain::QUEUE_IN_MIGRATION)
        .hint("wait for the other migration, or see what it does: ms2m status"));
    }
    if queue.consumers == 0 {
        return Err(Error::refused(format!(
            "queue {name} has no consumer, so the pod does not work on it"
        ))
        .code(&explain::QUEUE_IDLE)
        .hint("check that --queue is the queue that the pod consumes"));
    }
    Ok(())
}

/// A policy matches queues by their names, and the replay queues' begin with the primary one's. What
/// a queue is given as arguments is its own affair.
pub(super) fn limits(
    spec: &StatefulMigrationSpec,
    world: &AtBroker,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let limits: Vec<&str> = world
        .limits
        .iter()
        .flatten()
        .map(String::as_str)
        .filter(|limit| limit.contains("(policy "))
        .collect();
    if limits.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the broker may drop messages that wait in queue {}: {}",
        spec.message_queue_config.queue_name,
        limits.join(", ")
    );
    let why =
        "its replay queues have names that begin alike, and messages wait there for much longer";
    if spec.force == Some(true) {
        warnings.push(format!("{what}: {why}"));
        return Ok(());
    }
    Err(Error::refused(what)
        .because(why)
        .hint("lift the limit for the time of the migration, or let the policy's pattern end with $ and say --force"))
}

/// Whether the pod is the only one that takes messages.
pub(super) fn alone(
    spec: &StatefulMigrationSpec,
    world: &AtBroker,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let several = world.queue.map_or(0, |queue| queue.consumers);
    if several <= 1 {
        return Ok(());
    }
    let name = &spec.message_queue_config.queue_name;
    let doubt = Error::refused(format!("queue {name} has {several} consumers"))
        .because(
            "the handoff needs the pod to be the only one, or the others take messages that its state then lacks",
        )
        .hint("give each pod a queue of its own; if all of them are the pod's own, --force goes on");
    unless_forced(spec, doubt, warnings)
}

/// Whether its consumer acknowledges, where the broker tells.
pub(super) fn acknowledges(
    spec: &StatefulMigrationSpec,
    world: &AtBroker,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let name = &spec.message_queue_config.queue_name;
    let several = world.queue.map_or(0, |queue| queue.consumers);
    let automatic = |consumer: &ConsumerView| !consumer.acknowledges;
    if world.consumers.iter().flatten().any(automatic) {
        let doubt = Error::refused(format!(
            "the consumer of queue {name} uses automatic acknowledgement"
        ))
        .because(
            "nobody can tell what it has been sent and not applied yet: such messages are lost with its connection",
        )
        .hint(
            "let the application acknowledge a message after it has applied it; --force goes on without a promise",
        );
        unless_forced(spec, doubt, warnings)?;
    }
    if let Some(seen) = &world.consumers
        && (seen.len() as u64) < several
    {
        // Up to 5 s late for one that has just connected (measured on RabbitMQ 3.10 and 4.3).
        warnings.push(format!(
            "the broker does not show yet whether the consumer of queue {name} acknowledges: with automatic \
             acknowledgement messages would be lost"
        ));
    }
    Ok(())
}

/// What makes the result uncertain is refused, unless somebody insists.
fn unless_forced(
    spec: &StatefulMigrationSpec,
    doubt: Error,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if spec.force != Some(true) {
        return Err(doubt);
    }
    warnings.push(doubt.to_string());
    Ok(())
}

/// Whether the application can take part in the handoff that was chosen, and what that promises.
pub(super) fn handoff(
    spec: &StatefulMigrationSpec,
    pod: &str,
    world: &AtBroker,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    match spec.handoff.unwrap_or_default() {
        Handoff::Gate if !world.has_control_queue => Err(Error::refused(format!(
            "the application in pod {pod} has no control queue {}",
            control_queue(pod)
        ))
        .because("it does not listen to START_REPLAY and END_REPLAY, so it cannot take part in the handoff")
        .hint("see 'The consumer contract' in the README")
        .hint("an application that does not can be moved with --handoff mirror; see what that cannot promise first")),
        Handoff::Gate => Ok(()),
        Handoff::Mirror if spec.stale_identity == Some(StaleIdentity::StopSource) => {
            Err(Error::refused("--stale-identity stop-source goes with --handoff gate alone")
                .code(&explain::OPTIONS_CLASH)
                .because("the source can be stopped first only when messages wait in a replay queue of its own"))
        }
        Handoff::Mirror => {
            warnings.push(
                "handoff Mirror is exact only at its end: what the source applies while the checkpoint is prepared is \
                 applied again by the target, what waits in the queue at the checkpoint never reaches it, and the target \
                 may take messages from the source until it obeys"
                    .to_owned(),
            );
            Ok(())
        }
    }
}

/// Control queues are named after pods alone, so two applications on one virtual host can meet
/// there.
pub(super) fn control_queues(source: &str, target: &str, world: &AtBroker) -> Result<(), Error> {
    let (of_source, of_target) = world.control_consumers;
    let shared = if of_source > 1 {
        source
    } else if of_target > 0 && source != target {
        target
    } else {
        return Ok(());
    };
    Err(Error::refused(format!(
        "another process listens on control queue {}",
        control_queue(shared)
    ))
    .because("it would obey what is meant for the pod, as a pod of the same name in another namespace does")
    .hint("let the two applications use different virtual hosts, or give the pods different names"))
}

pub(super) fn exchange(spec: &StatefulMigrationSpec, world: &AtBroker) -> Result<(), Error> {
    let config = &spec.message_queue_config;
    if is_default_exchange(&config.exchange_name) {
        return Err(Error::refused("the producers publish to the default exchange")
            .code(&explain::DEFAULT_EXCHANGE)
            .because("its bindings cannot be changed, so no gate can stand before the queue")
            .hint("let the producers publish to an exchange of their own that is bound to the queue, and name it with --exchange"));
    }
    if !world.exchange_exists {
        return Err(Error::refused(format!(
            "there is no exchange {} on the broker",
            config.exchange_name
        ))
        .hint("give the exchange that the producers publish to with --exchange"));
    }
    Ok(())
}

pub(super) fn bindings(
    spec: &StatefulMigrationSpec,
    world: &AtBroker,
    warnings: &mut Vec<String>,
) -> Result<Vec<HandoffBinding>, Error> {
    let config = &spec.message_queue_config;
    let Some(found) = &world.bindings else {
        if world.queue.is_some() {
            warnings.push(format!(
                "the broker's management API was not used ({}): bindings are taken as given, and unacknowledged \
                 messages are waited for by time (--settle)",
                world.broker.management.as_deref().unwrap_or("it does not answer")
            ));
        }
        return Ok(vec![HandoffBinding {
            exchange: config.exchange_name.clone(),
            routing_key: config.routing_key.clone(),
            arguments: std::collections::BTreeMap::new(),
        }]);
    };
    if world.queue.is_some()
        && !found
            .iter()
            .any(|binding| binding.exchange == config.exchange_name)
    {
        let error = Error::refused(format!(
            "queue {} is not bound to exchange {}",
            config.queue_name, config.exchange_name
        ));
        return Err(match found.first() {
            Some(binding) => error.hint(format!("it is bound to {}: is that the one (--exchange)?", binding.exchange)),
            None => error.code(&explain::DEFAULT_EXCHANGE).hint(
                "it is bound to no exchange, so its producers publish to the default exchange; let them publish to \
                 an exchange of their own that is bound to the queue",
            ),
        });
    }
    let key_is_bound = found.iter().any(|binding| {
        binding.exchange == config.exchange_name && binding.routing_key == config.routing_key
    });
    if world.queue.is_some() && !config.routing_key.is_empty() && !key_is_bound {
        warnings.push(format!(
            "queue {} is bound to {} by another key than {}: the bindings that are there are used",
            config.queue_name, config.exchange_name, config.routing_key
        ));
    }
    Ok(found.clone())
}

/// The default exchange has no name; tools show it under these.
fn is_default_exchange(name: &str) -> bool {
    matches!(name, "" | "amq.default" | "(AMQP default)")
}
