//! The source pod as it is → whether it can be moved, and what does not travel. Pure.

use std::time::Duration;

use super::{InCluster, Request, closest};
use crate::api::{StatefulMigrationSpec, Strategy};
use crate::migration::error::Error;
use crate::migration::ports::{ContainerView, PodView, VolumeKind};

/// A checkpoint has been seen to stop a process for up to 0.6 s with 256 MiB of memory; one that
/// gets this long before its liveness probe kills it is not at risk.
const FREEZE: Duration = Duration::from_secs(10);

pub(super) fn source_pod<'a>(
    request: &Request,
    world: &'a InCluster,
) -> Result<&'a PodView, Error> {
    let name = &request.spec.source_pod;
    let namespace = &request.namespace;
    let Some(pod) = &world.pod else {
        let error = Error::refused(format!("there is no pod {name} in namespace {namespace}"));
        return Err(
            match closest(name, world.pod_names.iter().map(String::as_str)) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error.hint("name the namespace with --namespace if it is another one"),
            },
        );
    };
    if pod.mirror {
        return Err(Error::refused(format!(
            "pod {name} is a static pod, which only its node's kubelet can move"
        ))
        .hint("move its manifest to the other node instead"));
    }
    if pod.terminating {
        return Err(Error::refused(format!("pod {name} is being deleted")));
    }
    if pod.phase != "Running" {
        return Err(
            Error::refused(format!("pod {name} is not running: it is {}", pod.phase)).hint(
                format!("see why: kubectl describe pod {name} -n {namespace}"),
            ),
        );
    }
    Ok(pod)
}

pub(super) fn container<'a>(
    pod: &'a PodView,
    wanted: Option<&str>,
) -> Result<&'a ContainerView, Error> {
    let names = || {
        pod.containers
            .iter()
            .map(|container| container.name.as_str())
    };
    let found = match wanted {
        None => pod.containers.first(),
        Some(name) => pod
            .containers
            .iter()
            .find(|container| container.name == name),
    };
    let Some(container) = found else {
        let wanted = wanted.unwrap_or_default();
        let error = Error::refused(format!("pod {} has no container {wanted}", pod.name));
        return Err(error.hint(format!(
            "it has: {}",
            names().collect::<Vec<_>>().join(", ")
        )));
    };
    if !container.running {
        return Err(Error::refused(format!(
            "container {} of pod {} is not running",
            container.name, pod.name
        ))
        .hint(format!("see why: kubectl describe pod {}", pod.name)));
    }
    Ok(container)
}

pub(super) fn base_image(container: &ContainerView, warnings: &mut Vec<String>) -> String {
    let id = container.image_id.trim_start_matches("docker-pullable://");
    if id.contains('@') {
        return id.to_owned();
    }
    warnings.push(format!(
        "the runtime does not tell the digest of image {}: it is pulled by tag on the target node, and the \
         restore fails if the tag has moved",
        container.image
    ));
    container.image.clone()
}

/// What stays behind, or may go wrong: said, or refused where that was asked for.
pub(super) fn what_stays(
    spec: &StatefulMigrationSpec,
    pod: &PodView,
    container: &ContainerView,
    strategy: Strategy,
    world: &InCluster,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let mut said = Vec::new();
    for volume in &pod.volumes {
        match &volume.kind {
            VolumeKind::Local(kind) => said.push(format!(
                "the contents of volume {} ({kind}) do not travel: the process finds there what is on the target node",
                volume.name
            )),
            VolumeKind::Claim(claim) if strategy == Strategy::ShadowPod => said.push(format!(
                "claim {claim} is mounted by source and target at once: the restore fails if a file that the process \
                 has open has changed since the checkpoint"
            )),
            VolumeKind::Claim(_) => {}
        }
    }
    let others: Vec<_> = pod
        .containers
        .iter()
        .filter(|other| other.name != container.name)
        .map(|other| other.name.as_str())
        .collect();
    if !others.is_empty() {
        said.push(format!(
            "only container {} carries its state: {} start{} fresh",
            container.name,
            others.join(", "),
            if others.len() == 1 { "s" } else { "" }
        ));
    }
    if !pod.init_containers.is_empty() {
        said.push(format!(
            "init containers run again on the target node: {}",
            pod.init_containers.join(", ")
        ));
    }
    if let Some(patience) = container.liveness.filter(|patience| *patience < FREEZE) {
        said.push(format!(
            "the liveness probe of container {} gives up after {} s: a checkpoint that stops the process for as long \
             makes the kubelet kill it",
            container.name,
            patience.as_secs()
        ));
    }
    for what in &world.around.unseen {
        said.push(format!(
            "you are not allowed to look at {what}, so that was not checked"
        ));
    }
    if spec.strict == Some(true)
        && let Some(first) = said.first()
    {
        return Err(Error::refused(first.clone())
            .because("--strict refuses what is else only warned about")
            .hint("leave --strict out if that does not matter"));
    }
    warnings.append(&mut said);
    Ok(())
}
