//! A cluster without a pod: what every migration in it takes.

use futures_util::StreamExt as _;
use futures_util::stream;

use super::probing::Probing;
use super::{CheckArgs, facts, unnamed};
use crate::check::{self, Check, Group, Memory, Wanted};
use crate::cli::settings::Layers;
use crate::cli::settings::migration::{Ends, Typed};
use crate::cli::settings::table;
use crate::cli::wire::{self, Reached};
use crate::cluster::{ServiceName, Trial};
use crate::migration::error::Error;
use crate::migration::plan;
use crate::migration::ports::{Broker as _, Cluster as _, NodeView, TransferOrder};

/// How many kubelets are asked at once.
const AT_ONCE: usize = 8;

/// All groups but that of the API server itself, which answers.
pub(super) async fn groups(
    reached: &Reached,
    args: &CheckArgs,
    layers: &mut Layers<'_>,
    typed: Typed,
    probing: Option<&Probing>,
) -> Result<Vec<Group>, Error> {
    let ends = Ends::resolve(&args.settings, typed, layers)?;
    let tunnel = match &ends.broker {
        Some(url) => reached.ways.tunnels.service_of(url.host()).await,
        None => None,
    };
    let tunnel = tunnel.as_ref();
    let (permissions, nodes, namespace, registry, broker) = tokio::join!(
        permissions(reached, &ends, tunnel),
        nodes(reached, &ends, probing),
        namespace(reached, &ends),
        registry(&ends),
        broker(reached, &ends, tunnel)
    );
    let mut groups = vec![permissions];
    groups.extend(nodes);
    groups.push(namespace);
    groups.push(registry?);
    groups.push(broker);
    Ok(groups)
}

async fn permissions(reached: &Reached, ends: &Ends, tunnel: Option<&ServiceName>) -> Group {
    let permissions = super::permissions(reached, tunnel);
    let (found, user) = tokio::join!(permissions, reached.cluster.caller());
    let wanted = Wanted {
        direct: ends.transfer.direct.unwrap_or_default(),
        ..Wanted::default()
    };
    check::permissions(&found, user.ok().as_deref(), wanted)
}

async fn nodes(reached: &Reached, ends: &Ends, probing: Option<&Probing>) -> Vec<Group> {
    let nodes = match reached.cluster.nodes().await {
        Ok(nodes) => nodes,
        Err(error) => {
            let unseen = Check::skipped("nodes that pods can be moved between", error.to_string());
            return vec![Group::new("Nodes", vec![unseen])];
        }
    };
    let mut groups = vec![Group::new("Nodes", vec![check::partners(&nodes)])];
    let probed = async {
        match probing {
            Some(probing) => probes(reached, ends, probing, &nodes).await,
            None => Vec::new(),
        }
    };
    let facts = nodes.iter().map(|node| facts(reached, node.clone()));
    let facts = stream::iter(facts).buffered(AT_ONCE).collect::<Vec<_>>();
    let (facts, probed) = tokio::join!(facts, probed);
    groups.extend(facts.iter().map(check::node));
    groups.extend(probed);
    groups
}

/// What the files of all nodes say that pods can be put on.
async fn probes(
    reached: &Reached,
    ends: &Ends,
    probing: &Probing,
    nodes: &[NodeView],
) -> Vec<Group> {
    let beside = || ends.repository.as_deref().map(plan::transfer_image_beside);
    let Some(image) = ends.transfer.image.clone().or_else(beside) else {
        let image = &table::TRANSFER_IMAGE;
        let why = format!(
            "nothing says which image looks ({}, {}, or {})",
            image.flag(),
            image.env(),
            table::REPOSITORY.flag()
        );
        let unseen = Check::skipped("a pod can look at the nodes' files", why);
        return vec![Group::new("Probe", vec![unseen])];
    };
    let fit = nodes
        .iter()
        .filter(|node| node.ready && !node.unschedulable);
    let fit: Vec<&NodeView> = fit.collect();
    let secret = ends.transfer.credentials_secret.as_deref();
    let probed = probing.nodes(reached, &fit, &image, secret).await;
    let both = fit.iter().zip(&probed);
    both.map(|(node, probed)| check::probe(node, probed, Memory::None))
        .collect()
}

/// Whether the namespace takes the pods that a migration makes there besides the target.
async fn namespace(reached: &Reached, ends: &Ends) -> Group {
    let order = TransferOrder {
        credentials_secret: ends.transfer.credentials_secret.clone(),
        ..super::of_pod::transfer_order("", "")
    };
    let answer = reached.cluster.try_pod(Trial::Transfer(&order)).await;
    let admitted = check::admission(&reached.namespace, "the transfer's pod", &answer);
    Group::new("Namespace", vec![admitted])
}

async fn registry(ends: &Ends) -> Result<Group, Error> {
    let Some(repository) = &ends.repository else {
        return Ok(unnamed("Registry", &table::REPOSITORY));
    };
    let pushed = wire::registry(&ends.transfer)?.try_push(repository).await;
    Ok(check::registry(repository, &pushed))
}

async fn broker(reached: &Reached, ends: &Ends, tunnel: Option<&ServiceName>) -> Group {
    let Some(url) = &ends.broker else {
        return unnamed("Broker", &table::BROKER_URL);
    };
    let broker = reached.broker(url, ends.management.as_ref());
    let described = broker.describe().await;
    let described = described.map_err(|error| crate::migration::engine::no_broker(&error));
    let tunnel = tunnel.map(ToString::to_string);
    Group::new(
        "Broker",
        check::at_hand(described.as_ref(), tunnel.as_deref()),
    )
}
