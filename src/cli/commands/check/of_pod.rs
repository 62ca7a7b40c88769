//! One pod's migration: what a plan looks at, and what only a check does.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::probing::Probing;
use super::{CheckArgs, facts};
use crate::api::Compression;
use crate::check::{self, Check, Group, Memory, Wanted};
use crate::cli::discover::discover;
use crate::cli::settings::Layers;
use crate::cli::settings::migration::{Settings, Typed, Wanted as WantedOfPod};
use crate::cli::ui::Ui;
use crate::cli::wire::{self, Reached};
use crate::cluster::Trial;
use crate::migration::engine::Survey;
use crate::migration::error::Error;
use crate::migration::event::Silent;
use crate::migration::plan::{self, Finding, InCluster, Request, Seen, Subject};
use crate::migration::ports::{
    ArchiveToSend, Cluster as _, ContainerView, NodeView, PodView, PortResult, RestoreOrder,
    TransferOrder,
};

/// All groups but that of the API server itself, which answers.
pub(super) async fn groups(
    ui: &Ui,
    reached: &Reached,
    pod: &str,
    args: &CheckArgs,
    layers: &mut Layers<'_>,
    typed: Typed,
    probing: Option<&Probing>,
) -> Result<Vec<Group>, Error> {
    // Without the right to see it there is more to be said than that.
    if let Ok(Some(view)) = reached.cluster.pod(pod).await {
        layers.annotations = view.annotations;
    }
    if args.discover.discover {
        let pods = [pod];
        let looked = discover(ui, reached, &pods, &args.settings, &typed, layers);
        Box::pin(looked).await?;
    }
    let Some(settings) = Settings::resolve(&args.settings, typed, layers)? else {
        return Err(layers.incomplete());
    };
    let wanted = WantedOfPod {
        pod,
        to: args.to.as_deref(),
        name: None,
    };
    let request = settings.request(wanted, &reached.namespace);
    let tunnel = reached.ways.tunnels.service_of(settings.broker.host());
    let tunnel = tunnel.await;
    let engine = reached.engine(&settings, Arc::new(Silent), CancellationToken::new())?;
    let (survey, found, user, registry, refused) = tokio::join!(
        engine.survey(&request),
        super::permissions(reached, tunnel.as_ref()),
        reached.cluster.caller(),
        registry(&settings),
        refusals(reached, &settings, pod)
    );
    let registry = registry?;
    let findings = plan::findings(
        &request,
        Seen {
            cluster: survey.cluster.as_ref().ok(),
            broker: survey.broker.as_ref().ok(),
        },
    );
    let around = Around::of(&request, &survey);
    let owner = around.pod.and_then(|pod| pod.owner.as_ref());
    let wanted = Wanted {
        owner: owner.map(|owner| owner.kind.as_str()),
        of_pod: true,
        direct: plan::direct_port(&request.spec).is_some(),
    };
    let permissions = check::permissions(&found, user.ok().as_deref(), wanted);
    let probed = async {
        match probing {
            Some(probing) => probes(reached, probing, &request, &around).await,
            None => Vec::new(),
        }
    };
    let (nodes, probed, namespace) = tokio::join!(
        nodes(reached, &around, &findings),
        probed,
        namespace(reached, &request, &around)
    );
    let pod = check::unseen("the pod and the nodes can be seen", &survey.cluster)
        .into_iter()
        .chain([under_way(&survey.free)])
        .chain(check::findings(&findings, Subject::Pod));
    let refused = survey.broker.is_ok().then_some(&refused);
    let tunnel = tunnel.map(|it| it.to_string());
    let described = survey.broker.as_ref().map(|it| &it.broker);
    let broker = check::at_hand(described, tunnel.as_deref())
        .into_iter()
        .chain([check::refusals(&settings.broker, refused)])
        .chain(check::findings(&findings, Subject::Broker));
    let mut groups = vec![
        permissions,
        Group::new("Pod", pod.collect()),
        Group::new("Nodes", nodes),
    ];
    groups.extend(probed);
    groups.extend([
        Group::new("Namespace", namespace),
        registry,
        Group::new("Broker", broker.collect()),
    ]);
    Ok(groups)
}

/// What of the world is needed for more questions, as far as it was seen.
struct Around<'a> {
    pod: Option<&'a PodView>,
    container: Option<&'a ContainerView>,
    source: Option<&'a NodeView>,
    /// Its name, where one was chosen.
    target: Option<String>,
    target_node: Option<&'a NodeView>,
}

impl<'a> Around<'a> {
    fn of(request: &Request, survey: &'a Survey) -> Self {
        let cluster: Option<&InCluster> = survey.cluster.as_ref().ok();
        let pod = cluster.and_then(|cluster| cluster.pod.as_ref());
        let wanted = request.spec.container_name.as_deref();
        let node_of = |name: &str| cluster?.nodes.iter().find(|node| node.name == name);
        let target = plan::target_node(request, cluster);
        Self {
            pod,
            container: pod.and_then(|pod| {
                let mut all = pod.containers.iter();
                all.find(|it| wanted.is_none_or(|wanted| it.name == wanted))
            }),
            source: pod.and_then(|pod| node_of(pod.node.as_deref()?)),
            target_node: target.as_deref().and_then(node_of),
            target,
        }
    }
}

async fn nodes(reached: &Reached, around: &Around<'_>, findings: &[Finding]) -> Vec<Check> {
    let mut checks = check::findings(findings, Subject::Nodes);
    if let Some(source) = around.source.filter(|node| node.ready) {
        checks.extend(check::source(&facts(reached, source.clone()).await));
    }
    if let (Some(target), Some(container)) = (&around.target, around.container) {
        let image = &container.image_id;
        let there = reached.cluster.has_image(target, image).await;
        checks.push(check::base_image(&reached.namespace, target, image, &there));
    }
    if let (Some(target), Some(pod)) = (&around.target, around.pod)
        && pod.host_ports
    {
        let taken = reached.cluster.taken_ports(target, &pod.name).await;
        checks.push(check::ports(target, &taken));
    }
    checks
}

/// What the files of both nodes say, and whether they are alike.
async fn probes(
    reached: &Reached,
    probing: &Probing,
    request: &Request,
    around: &Around<'_>,
) -> Vec<Group> {
    let both = [around.source, around.target_node];
    let nodes: Vec<&NodeView> = both.into_iter().flatten().filter(|it| it.ready).collect();
    let image = plan::transfer_image(&request.spec);
    let transfer = request.spec.transfer.as_ref();
    let secret = transfer.and_then(|it| it.credentials_secret.as_deref());
    let (probed, memory) = tokio::join!(
        probing.nodes(reached, &nodes, &image, secret),
        memory(reached, around)
    );
    let seen: Vec<_> = nodes.into_iter().zip(&probed).collect();
    let mut groups: Vec<Group> = seen
        .iter()
        .map(|(node, probed)| {
            let is_source = around.source.is_some_and(|it| it.name == node.name);
            check::probe(node, probed, if is_source { memory } else { Memory::None })
        })
        .collect();
    if let [source, target] = seen[..] {
        let alike = check::same_low_level(source, target);
        groups.extend(alike.map(|check| Group::new("Probe of both nodes", vec![check])));
    }
    groups
}

/// What a checkpoint of the container would hold.
async fn memory(reached: &Reached, around: &Around<'_>) -> Memory {
    let (Some(node), Some(pod), Some(container)) = (around.source, around.pod, around.container)
    else {
        return Memory::Untold;
    };
    let told = reached
        .cluster
        .memory_of(&node.name, &pod.name, &container.name);
    match told.await {
        Ok(Some(bytes)) => Memory::Bytes(bytes),
        _ => Memory::Untold,
    }
}

async fn namespace(reached: &Reached, request: &Request, around: &Around<'_>) -> Vec<Check> {
    let (Some(pod), Some(container)) = (around.pod, around.container) else {
        return Vec::new();
    };
    let node = pod.node.as_deref().unwrap_or_default();
    let transfer = request.spec.transfer.clone().unwrap_or_default();
    let to_send = TransferOrder {
        credentials_secret: transfer.credentials_secret.clone(),
        transfer_image: plan::transfer_image(&request.spec),
        ..transfer_order(node, &pod.name)
    };
    let to_restore = RestoreOrder {
        migration: request.name.clone(),
        source_pod: pod.name.clone(),
        source_uid: pod.uid.clone(),
        target_pod: pod.name.clone(),
        node: around.target.clone().unwrap_or_default(),
        container: container.name.clone(),
        image: plan::image_of(&request.spec, &request.name, &pod.uid),
        base_image: None,
        credentials_secret: transfer.credentials_secret,
        kept_with: None,
        labelled: false,
    };
    let (sent, restored) = tokio::join!(
        reached.cluster.try_pod(Trial::Transfer(&to_send)),
        reached.cluster.try_pod(Trial::Target(&to_restore))
    );
    let namespace = &reached.namespace;
    vec![
        check::admission(namespace, "the transfer's pod", &sent),
        check::admission(namespace, "the target pod", &restored),
    ]
}

async fn registry(settings: &Settings) -> Result<Group, Error> {
    if settings.transfer.direct.unwrap_or_default() {
        return Ok(Group::new("Registry", Vec::new()));
    }
    let repository = &settings.repository;
    let pushed = wire::registry(&settings.transfer)?
        .try_push(repository)
        .await;
    Ok(check::registry(repository, &pushed))
}

async fn refusals(reached: &Reached, settings: &Settings, pod: &str) -> PortResult<Vec<String>> {
    reached
        .broker(&settings.broker, settings.management.as_ref())
        .refusals(pod, &settings.exchange, &settings.queue)
        .await
}

fn under_way(free: &Result<(), Error>) -> Check {
    const NAME: &str = "it is in no migration";
    match free {
        Ok(()) => Check::pass(NAME),
        Err(error) => Check::refused(NAME, error),
    }
}

/// A transfer that is only tried: its pod as a migration makes it.
pub(super) fn transfer_order(node: &str, pod: &str) -> TransferOrder {
    TransferOrder {
        name: "ms2m-check".to_owned(),
        migration: "ms2m-check".to_owned(),
        node: node.to_owned(),
        archive: ArchiveToSend::Next,
        image: "registry.example.com/checkpoints:ms2m-check".to_owned(),
        transfer_image: "registry.example.com/ms2m-transfer".to_owned(),
        pod: pod.to_owned(),
        container: String::new(),
        compression: Compression::None,
        plain_http: false,
        direct: None,
        credentials_secret: None,
        keep_archive: false,
        discard: false,
        deadline: Duration::from_secs(60),
    }
}
