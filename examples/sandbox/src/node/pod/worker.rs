//! One pod on its node, from the moment it is bound to the node until its object is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claims;
use super::context::{PodContext, Sandbox, Stop, sleep};
use super::env::Addresses;
use super::images::{Wanted, ensure};
use super::mounts::{PodFiles, hostname};
use super::report::Reporter;
use super::state::{ContainerState, Now};
use super::supervise::Supervisor;
use super::volumes::{Mounted, Volumes};
use crate::node::events::Severity;

/// Runs one pod.
pub(crate) struct PodWorker {
    pub(crate) context: PodContext,
    /// The pod's object as it changes.
    pub(crate) object: watch::Receiver<Arc<Pod>>,
    /// The object is gone, whether or not anybody asked the kubelet.
    pub(crate) gone: CancellationToken,
}

impl PodWorker {
    /// Runs the pod to its end, and takes its object away when that was asked for.
    pub(crate) async fn run(self) {
        let mut reporter = Reporter::new(&self.context);
        if already_over(&self.context.pod) {
            self.wait_for_deletion().await;
            return reporter.delete(&self.gone).await;
        }
        let (stop_sender, stop) = watch::channel(None);
        self.take_up();
        let work = async {
            let finished = CancellationToken::new();
            let life = async {
                self.live(&stop).await;
                // A pod that is over uses nothing, whether or not its object stays.
                claims::release(&self.context);
                finished.cancel();
            };
            tokio::join!(life, self.watch_for_end(&stop_sender, &finished));
        };
        tokio::select! {
            () = work => {}
            () = reporter.follow(self.gone.clone()) => {}
        }
        self.clean_up();
        // What happens to the object now is the last thing that anybody hears of the pod.
        reporter.report(&self.gone).await;
        reporter.delete(&self.gone).await;
    }

    /// A pod that ended before this kubelet was there is not run again.
    async fn wait_for_deletion(&self) {
        let mut object = self.object.clone();
        let asked = object.wait_for(|pod| deletion_grace(pod).is_some());
        tokio::select! {
            _ = asked => {}
            () = self.gone.cancelled() => {}
        }
    }

    /// Shows the pod as the kubelet's: its containers wait.
    fn take_up(&self) {
        let spec = self.context.spec();
        let initialising = spec.init_containers.iter().flatten().next().is_some();
        let reason = if initialising {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let names = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers);
        let containers = names
            .map(|container| (container.name.clone(), ContainerState::new(reason)))
            .collect();
        self.context.state.send_modify(|state| {
            state.started = Some(Timestamp::now());
            state.containers = containers;
        });
    }

    /// Runs the pod's containers to their ends.
    async fn live(&self, stop: &Stop) {
        let spec = self.context.spec();
        let Some(sandbox) = self.prepare(&spec, stop).await else {
            return self.never_started();
        };
        let policy = spec.restart_policy.as_deref().unwrap_or("Always");
        let supervisor = |container, restart_policy| Supervisor {
            context: &self.context,
            sandbox: &sandbox,
            spec: container,
            restart_policy,
            stop: stop.clone(),
        };
        let init: Vec<_> = spec.init_containers.iter().flatten().collect();
        let (sidecars, init): (Vec<&Container>, Vec<&Container>) = init
            .into_iter()
            .partition(|container| container.restart_policy.as_deref() == Some("Always"));
        // Sidecars run beside everything that comes after them. That none of the ordinary init
        // containers depends on their order is as near as the sandbox comes.
        let (main_over, main_over_seen) = watch::channel(None);
        let beside = join_all(sidecars.into_iter().map(|container| async {
            let sidecar = Supervisor {
                stop: main_over_seen.clone(),
                ..supervisor(container, "Always")
            };
            sidecar.run().await;
        }));
        let main = async {
            let init_policy = if policy == "Always" {
                "OnFailure"
            } else {
                policy
            };
            for container in init {
                supervisor(container, init_policy).run().await;
                if !self.succeeded(&container.name) {
                    break;
                }
            }
            let initialised = super::status::initialized(&spec, &self.context.state.borrow());
            if initialised && stop.borrow().is_none() {
                let all = spec
                    .containers
                    .iter()
                    .map(|container| supervisor(container, policy));
                join_all(all.map(|supervisor| async move { supervisor.run().await })).await;
            }
            let grace = *stop.borrow();
            main_over.send_replace(Some(grace.unwrap_or_else(Instant::now)));
        };
        tokio::join!(beside, main);
        self.never_started();
    }

    /// Address, image volumes, claims and the other volumes. Nothing if the pod is to stop first.
    async fn prepare(&self, spec: &PodSpec, stop: &Stop) -> Option<Sandbox> {
        let context = &self.context;
        let kubelet = &context.kubelet;
        let first = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .next()?;
        for volume in spec.volumes.iter().flatten() {
            let Some(source) = &volume.image else {
                continue;
            };
            let wanted = Wanted {
                name: source.reference.as_deref().unwrap_or_default(),
                policy: source.pull_policy.as_deref(),
                container: &first.name,
            };
            ensure(context, &wanted, stop).await?;
            context.update(&first.name, |state| {
                state.now = Now::waiting("ContainerCreating", None)
            });
        }
        let claims = Box::pin(claims::mount(context, stop)).await?;
        loop {
            match self.make_sandbox(spec, &claims).await {
                Ok(sandbox) => {
                    context
                        .state
                        .send_modify(|state| state.sandbox_ready = true);
                    return Some(sandbox);
                }
                Err((reason, message)) => {
                    context.event(None, Severity::Warning, reason, message);
                    if !sleep(stop, kubelet.backoff.min(Duration::from_secs(1))).await {
                        return None;
                    }
                }
            }
        }
    }

    async fn make_sandbox(
        &self,
        spec: &PodSpec,
        claims: &BTreeMap<String, Mounted>,
    ) -> Result<Sandbox, (&'static str, String)> {
        let context = &self.context;
        let kubelet = &context.kubelet;
        let ip = self.address(spec)?;
        let addresses = Addresses {
            host: kubelet.address.to_string(),
            pod: ip.to_string(),
        };
        let directory = kubelet.pod_dir(&context.pod);
        let volumes = Volumes {
            client: &kubelet.client,
            images: &kubelet.runtime.images,
            node_root: &kubelet.dir,
            pod_dir: &directory,
            pod: &context.pod,
            addresses: &addresses,
            claims,
        };
        let volumes = volumes
            .make()
            .await
            .map_err(|message| ("FailedMount", message))?;
        let hostname = hostname(&context.pod);
        let files = PodFiles::write(&directory, &context.pod, &hostname, &ip.to_string())
            .map_err(|error| ("FailedCreatePodSandBox", error.to_string()))?;
        Ok(Sandbox {
            ip,
            hostname,
            addresses,
            files,
            volumes,
        })
    }

    fn address(&self, spec: &PodSpec) -> Result<IpAddr, (&'static str, String)> {
        if let Some(ip) = self.context.state.borrow().ip {
            return Ok(ip);
        }
        let kubelet = &self.context.kubelet;
        let ip = if spec.host_network == Some(true) {
            kubelet.address
        } else {
            let none = || {
                (
                    "FailedCreatePodSandBox",
                    "no addresses left on this node".to_owned(),
                )
            };
            kubelet.addresses.take().ok_or_else(none)?
        };
        self.context.state.send_modify(|state| state.ip = Some(ip));
        Ok(ip)
    }

    fn succeeded(&self, container: &str) -> bool {
        let state = self.context.state.borrow();
        let state = state.containers.get(container);
        state
            .and_then(ContainerState::terminated)
            .is_some_and(|end| end.code == 0)
    }

    /// Containers that never came to run keep waiting in the status of a pod that has ended.
    fn never_started(&self) {
        self.context.state.send_modify(|state| {
            for container in state.containers.values_mut() {
                container.ready = false;
            }
        });
    }

    /// Waits for what ends a pod, and tells its containers by when.
    async fn watch_for_end(
        &self,
        stop: &watch::Sender<Option<Instant>>,
        finished: &CancellationToken,
    ) {
        let mut object = self.object.clone();
        loop {
            let pod = Arc::clone(&object.borrow_and_update());
            if let Some(grace) = deletion_grace(&pod) {
                let until = Instant::now() + grace;
                stop.send_modify(|stop| *stop = Some(stop.map_or(until, |old| old.min(until))));
            }
            let asked = deletion_grace(&pod).is_some();
            let deadline = active_deadline(&pod, &self.context);
            tokio::select! {
                () = finished.cancelled(), if asked => return,
                () = self.gone.cancelled() => {
                    stop.send_replace(Some(Instant::now()));
                    return finished.cancelled().await;
                }
                () = tokio::time::sleep_until(deadline), if !finished.is_cancelled() && !asked => {
                    self.deadline_exceeded();
                    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
                    stop.send_replace(Some(Instant::now() + seconds(grace.unwrap_or(30))));
                }
                changed = object.changed() => {
                    if changed.is_err() {
                        // The kubelet itself is going down.
                        stop.send_replace(Some(Instant::now()));
                        return finished.cancelled().await;
                    }
                }
            }
        }
    }

    fn deadline_exceeded(&self) {
        let message = "Pod was active on the node longer than the specified deadline";
        self.context.event(
            None,
            Severity::Normal,
            "DeadlineExceeded",
            message.to_owned(),
        );
        self.context.state.send_modify(|state| {
            state.failed = Some(("DeadlineExceeded".to_owned(), message.to_owned()));
        });
    }

    /// Gives back what the pod has on the node.
    fn clean_up(&self) {
        let kubelet = &self.context.kubelet;
        let state = self.context.state.borrow().clone();
        for container in state
            .containers
            .values()
            .filter_map(|state| state.container.as_ref())
        {
            container.remove();
        }
        if let Some(ip) = state.ip.filter(|ip| *ip != kubelet.address) {
            kubelet.addresses.give_back(ip);
        }
        let directory = kubelet.pod_dir(&self.context.pod);
        if let Err(error) = std::fs::remove_dir_all(directory) {
            tracing::debug!(pod = self.context.full_name(), %error, "files of a pod stay");
        }
    }
}

fn already_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The grace of a pod that is to be deleted.
fn deletion_grace(pod: &Pod) -> Option<Duration> {
    pod.metadata.deletion_timestamp.as_ref()?;
    Some(seconds(
        pod.metadata.deletion_grace_period_seconds.unwrap_or(30),
    ))
}

fn active_deadline(pod: &Pod, context: &PodContext) -> Instant {
    let far = Instant::now() + Duration::from_secs(365 * 24 * 3600);
    let state = context.state.borrow();
    let limit = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.active_deadline_seconds);
    let (Some(limit), Some(started), None) = (limit, state.started, &state.failed) else {
        return far;
    };
    let passed = Timestamp::now().duration_since(started);
    let passed = Duration::try_from(passed).unwrap_or_default();
    Instant::now() + seconds(limit).saturating_sub(passed)
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0))
}

/// The uid by which kubelets know pods.
pub(crate) fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}
