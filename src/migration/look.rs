//! Reads what a plan is made from: the cluster and the broker, each by itself. Changes nothing, and
//! decides nothing.

use super::engine::unreadable;
use super::error::{Error, PortError};
use super::handoff::Names;
use super::handoff::names::control_queue;
use super::plan::{self, AtBroker, InCluster, Request};
use super::ports::{Broker, Cluster, QueueView};
use crate::api::Strategy;
use crate::explain;

/// The pod and the nodes; nothing yet of what surrounds the pod.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`]: the cluster does not tell.
pub(super) async fn cluster(cluster: &dyn Cluster, request: &Request) -> Result<InCluster, Error> {
    let pod_name = &request.spec.source_pod;
    let (pod, pod_names, nodes) =
        tokio::try_join!(cluster.pod(pod_name), cluster.pod_names(), cluster.nodes())
            .map_err(|error| of_cluster(&error))?;
    Ok(InCluster {
        pod,
        pod_names,
        nodes,
        ..InCluster::default()
    })
}

/// What surrounds the pod, if it is there.
///
/// # Errors
/// As [`cluster`].
pub(super) async fn around(
    cluster: &dyn Cluster,
    request: &Request,
    seen: &mut InCluster,
) -> Result<(), Error> {
    if let Some(pod) = &seen.pod {
        let crowd = request.spec.target_node.is_none();
        let surroundings = cluster.surroundings(pod, crowd).await;
        seen.around = surroundings.map_err(|error| of_cluster(&error))?;
    }
    Ok(())
}

/// Exchange and queues.
///
/// # Errors
/// [`super::error::ErrorKind::Refused`]: the broker does not tell.
pub(super) async fn broker(broker: &dyn Broker, request: &Request) -> Result<AtBroker, Error> {
    let pod_name = &request.spec.source_pod;
    let queue = &request.spec.message_queue_config.queue_name;
    let exchange = &request.spec.message_queue_config.exchange_name;
    let of_broker = |error: PortError| of_broker(&error);
    let broker_view = broker.describe().await.map_err(of_broker)?;
    let names = Names::of(queue);
    let exchange_exists =
        !exchange.is_empty() && broker.exchange_exists(exchange).await.map_err(of_broker)?;
    let control_of_source = control_queue(pod_name);
    let control_of_target = control_queue(&plan::target_pod_name(pod_name, Strategy::ShadowPod));
    let queues = broker
        .queues(&[
            queue,
            &names.replay,
            &names.hold,
            &control_of_source,
            &control_of_target,
        ])
        .await
        .map_err(of_broker)?;
    let at = |index: usize| queues.get(index).copied().flatten();
    let consumers = |index: usize| at(index).map_or(0, |queue| queue.consumers);
    let (bindings, who_consumes, limits) = match at(0) {
        Some(_) => (
            broker.bindings(queue).await.map_err(of_broker)?,
            broker.consumers(queue).await.map_err(of_broker)?,
            broker.limits(queue).await.map_err(of_broker)?,
        ),
        None => (None, None, None),
    };
    Ok(AtBroker {
        leftovers: leftovers(broker, &names, [at(1), at(2)])
            .await
            .map_err(of_broker)?,
        broker: broker_view,
        exchange_exists,
        queue: at(0),
        limits,
        bindings,
        consumers: who_consumes,
        has_control_queue: at(3).is_some(),
        control_consumers: (consumers(3), consumers(4)),
    })
}

/// Parts of a gate that are there: of `queues`, the replay queue and the source's own.
async fn leftovers(
    broker: &dyn Broker,
    names: &Names,
    queues: [Option<QueueView>; 2],
) -> Result<Vec<String>, PortError> {
    let mut found: Vec<String> = [&names.replay, &names.hold]
        .into_iter()
        .zip(queues)
        .filter(|(_, queue)| queue.is_some())
        .map(|(name, _)| format!("queue {name}"))
        .collect();
    for name in [&names.gate, &names.fanout] {
        if broker.exchange_exists(name).await? {
            found.push(format!("exchange {name}"));
        }
    }
    Ok(found)
}

pub(super) fn of_cluster(error: &PortError) -> Error {
    unreadable("the cluster", error)
}

pub(super) fn of_broker(error: &PortError) -> Error {
    unreadable("the broker", error)
        .or_code(&explain::BROKER_UNREACHABLE)
        .hint("check --broker-url, and that the broker can be reached from here")
}
