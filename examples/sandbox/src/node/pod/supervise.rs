//! One container of a pod over its whole life: image, creation, start, probes, end, and again by
//! the restart policy.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container as Spec;
use rustix::process::Signal;
use tokio::time::Instant;

use super::backoff::{Backoff, words};
use super::context::{PodContext, Sandbox, Stop, sleep, stopping};
use super::env::{environment, expand};
use super::images::{Wanted, ensure};
use super::mounts::mounts;
use super::state::{ImageShown, Now, Terminated};
use super::termination;
use super::watching::watch_probes;
use crate::node::events::Severity;
use crate::node::faults::Point;
use crate::node::images::Image;
use crate::node::runtime::{Container, ContainerConfig, Exit, PodIdentity, RuntimeError, Step};

/// Runs one container of a pod.
pub(crate) struct Supervisor<'a> {
    pub(crate) context: &'a PodContext,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) spec: &'a Spec,
    /// `Always`, `OnFailure` or `Never`.
    pub(crate) restart_policy: &'a str,
    pub(crate) stop: Stop,
}

/// Why a container is not running.
enum NotStarted {
    /// To be shown and tried again: reason, message.
    Waits(&'static str, String),
    /// It was started and has ended at once, as far as the runtime is concerned.
    Dead(String),
}

impl Supervisor<'_> {
    /// Runs the container until it has ended for good or the pod is to stop. The state tells
    /// how it went.
    pub(crate) async fn run(&self) {
        let mut backoff = Backoff::new(self.context.kubelet.backoff);
        let mut crashed = false;
        loop {
            let began = Instant::now();
            let Some(code) = self.run_once().await else {
                return;
            };
            if self.stop.borrow().is_some() || !self.starts_again(code) {
                return;
            }
            backoff.ran(began.elapsed());
            // The first restart comes at once.
            if std::mem::replace(&mut crashed, true) && !self.wait_for_restart(&mut backoff).await {
                return;
            }
            self.context
                .update(self.name(), |state| state.restarts += 1);
        }
    }

    fn name(&self) -> &str {
        &self.spec.name
    }

    fn starts_again(&self, code: i32) -> bool {
        match self.restart_policy {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        }
    }

    async fn wait_for_restart(&self, backoff: &mut Backoff) -> bool {
        let pause = backoff.next();
        let pod = self.context.full_name().replace('/', "_");
        let message = format!(
            "back-off {} restarting failed container={} pod={pod}",
            words(pause),
            self.name()
        );
        let event = format!(
            "Back-off restarting failed container {} in pod {pod}",
            self.name()
        );
        self.event(Severity::Warning, "BackOff", event);
        self.context.update(self.name(), |state| {
            if let Some(end) = state.terminated() {
                state.last = Some(end.clone());
            }
            state.now = Now::waiting("CrashLoopBackOff", Some(message));
        });
        sleep(&self.stop, pause).await
    }

    /// One start to one end. Nothing if the pod is to stop before there is a container.
    async fn run_once(&self) -> Option<i32> {
        let container = loop {
            match self.start().await? {
                Ok(container) => break container,
                Err(NotStarted::Dead(message)) => return Some(self.dead_start(message)),
                Err(NotStarted::Waits(reason, message)) => {
                    self.event(Severity::Warning, "Failed", format!("Error: {message}"));
                    self.context.update(self.name(), |state| {
                        state.now = Now::waiting(reason, Some(message));
                    });
                    if !sleep(&self.stop, self.context.kubelet.backoff).await {
                        return None;
                    }
                }
            }
        };
        let exit = self.watch(&container).await;
        Some(self.ended(&container, exit))
    }

    /// Creates and starts the container. Nothing if the pod is to stop first.
    async fn start(&self) -> Option<Result<Arc<Container>, NotStarted>> {
        let wanted = Wanted {
            name: self.spec.image.as_deref().unwrap_or_default(),
            policy: self.spec.image_pull_policy.as_deref(),
            container: self.name(),
        };
        let image = ensure(self.context, &wanted, &self.stop).await?;
        if self.stop.borrow().is_some() {
            return None;
        }
        let config = match self.config(image).await {
            Ok(config) => config,
            Err(message) => {
                return Some(Err(NotStarted::Waits(
                    "CreateContainerConfigError",
                    message,
                )));
            }
        };
        let started = tokio::select! {
            started = self.create_and_start(config) => started,
            // A container in the making is dropped, and its process killed.
            () = stopping(&self.stop) => return None,
        };
        if let Ok(container) = &started {
            if self.context.kubelet.runtime.hides(container) {
                self.lose().await;
            }
            self.show(container);
        }
        Some(started.map_err(|error| match error.step {
            Step::Create => NotStarted::Waits("CreateContainerError", error.message),
            Step::Start => NotStarted::Waits("RunContainerError", error.message),
            Step::DeadStart => NotStarted::Dead(error.message),
        }))
    }

    async fn create_and_start(
        &self,
        config: ContainerConfig,
    ) -> Result<Arc<Container>, RuntimeError> {
        let kubelet = &self.context.kubelet;
        let restores = kubelet.runtime.restores(&config.image);
        let pod = self.context.full_name();
        let strike = async |on| kubelet.faults.strike(&kubelet.name, &pod, on).await;
        let mut ordered = strike(Point::Start).await;
        if ordered.is_none() && restores {
            ordered = strike(Point::Restore).await;
        }
        if let Some(error) = ordered {
            return Err(kubelet.runtime.ordered(restores, error));
        }
        let container = kubelet.runtime.create(config).await?;
        self.event(
            Severity::Normal,
            "Created",
            format!("Created container: {}", self.name()),
        );
        if let Err(error) = container.start().await {
            container.remove();
            return Err(error);
        }
        Ok(Arc::new(container))
    }

    /// Shows a container that has just been started.
    fn show(&self, container: &Arc<Container>) {
        self.event(
            Severity::Normal,
            "Started",
            format!("Started container {}", self.name()),
        );
        let image = &container.image;
        let digests = self.context.kubelet.setup.borrow().image_digests;
        let id = if digests {
            &image.repo_digest
        } else {
            &image.id
        };
        self.context.update(self.name(), |state| {
            if let Some(end) = state.terminated() {
                state.last = Some(end.clone());
            }
            if let Some(old) = state.container.take() {
                state.previous_log = Some(old.log.path().to_owned());
                old.remove();
            }
            state.now = Now::Running {
                since: Timestamp::now(),
            };
            state.ready = self.spec.readiness_probe.is_none() && self.spec.startup_probe.is_none();
            state.started = self.spec.startup_probe.is_none();
            state.image = Some(ImageShown {
                name: container.image_name.clone(),
                id: id.clone(),
            });
            state.container = Some(Arc::clone(container));
        });
    }

    /// A container whose status the runtime cannot tell. The kubelet takes it for one that is
    /// still in the making, now and when the pod is to be deleted, while its process runs.
    async fn lose(&self) {
        let message = "error determining status: status.Image is not set";
        self.event(Severity::Warning, "FailedSync", message.to_owned());
        std::future::pending().await
    }

    async fn config(&self, image: Arc<Image>) -> Result<ContainerConfig, String> {
        let (context, sandbox) = (self.context, self.sandbox);
        let pod_spec = context.spec();
        let meta = &context.pod.metadata;
        let env = environment(
            &context.kubelet.client,
            &context.pod,
            self.spec,
            &sandbox.addresses,
        )
        .await?;
        let attempt = context
            .state
            .borrow()
            .containers
            .get(self.name())
            .map_or(0, |state| state.restarts);
        let expanded = |words: &Option<Vec<String>>| {
            words
                .iter()
                .flatten()
                .map(|word| expand(word, &env))
                .collect::<Vec<_>>()
        };
        let security = self.spec.security_context.clone().unwrap_or_default();
        let pod_security = pod_spec.security_context.clone().unwrap_or_default();
        let id = |container: Option<i64>, pod: Option<i64>| {
            container.or(pod).and_then(|id| u32::try_from(id).ok())
        };
        let mut groups: Vec<_> = pod_security.supplemental_groups.unwrap_or_default();
        groups.extend(pod_security.fs_group);
        let identity = PodIdentity {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        };
        Ok(ContainerConfig {
            name: self.name().to_owned(),
            attempt,
            image_name: self.spec.image.clone().unwrap_or_default(),
            image,
            command: expanded(&self.spec.command),
            args: expanded(&self.spec.args),
            working_dir: self.spec.working_dir.clone(),
            run_as_user: id(security.run_as_user, pod_security.run_as_user),
            run_as_group: id(security.run_as_group, pod_security.run_as_group),
            supplemental_groups: groups
                .iter()
                .filter_map(|id| u32::try_from(*id).ok())
                .collect(),
            mounts: mounts(
                &sandbox.files,
                &pod_spec,
                self.spec,
                &sandbox.volumes,
                &env,
                attempt,
            )?,
            env,
            hostname: sandbox.hostname.clone(),
            log_path: context.kubelet.log_path(&identity, self.name(), attempt),
            pod: identity,
        })
    }

    /// Waits for the container's end, and sees to it where it is due: when the pod is to stop,
    /// when a probe says so.
    async fn watch(&self, container: &Container) -> Exit {
        let mut exit = container.exit().expect("the container was started");
        let ended = async {
            let ended = exit.wait_for(Option::is_some).await;
            ended.ok().and_then(|exit| *exit).unwrap_or(Exit {
                code: 255,
                signal: None,
                at: Timestamp::now(),
            })
        };
        tokio::pin!(ended);
        let (end_at, message) = tokio::select! {
            exit = &mut ended => return exit,
            () = stopping(&self.stop) => (None, format!("Stopping container {}", self.name())),
            kind = watch_probes(self.context, self.spec, self.sandbox.ip) => (
                Some(Instant::now() + self.probe_grace()),
                format!("Container {} failed {kind} probe, will be restarted", self.name()),
            ),
        };
        self.event(Severity::Normal, "Killing", message);
        container.signal(Signal::TERM);
        tokio::select! {
            exit = &mut ended => return exit,
            () = self.deadline(end_at) => {}
        }
        container.signal(Signal::KILL);
        ended.await
    }

    /// The grace of a container that a probe ends.
    fn probe_grace(&self) -> Duration {
        let probe = self.spec.liveness_probe.as_ref();
        let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
        let grace = own.or(self.context.spec().termination_grace_period_seconds);
        Duration::from_secs(u64::try_from(grace.unwrap_or(30)).unwrap_or(0))
    }

    /// Waits until the grace is over: the pod's, which may still become shorter, or a probe's.
    async fn deadline(&self, end_at: Option<Instant>) {
        let mut stop = self.stop.clone();
        loop {
            let pod = *stop.borrow_and_update();
            let until = match (end_at, pod) {
                (Some(one), Some(other)) => one.min(other),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => Instant::now(),
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    fn ended(&self, container: &Container, exit: Exit) -> i32 {
        let message = termination::message(self.spec, container, exit.code);
        let reason = if exit.code == 0 { "Completed" } else { "Error" };
        self.context.update(self.name(), |state| {
            let started = match state.now {
                Now::Running { since } => Some(since),
                Now::Waiting { .. } | Now::Terminated(_) => None,
            };
            state.now = Now::Terminated(Terminated {
                code: exit.code,
                reason: reason.to_owned(),
                message,
                started,
                finished: exit.at,
                container_id: container.id.clone(),
            });
            state.ready = false;
            state.started = false;
        });
        exit.code
    }

    /// A container that the runtime could not start and keeps as one that has ended.
    fn dead_start(&self, message: String) -> i32 {
        self.event(Severity::Warning, "Failed", format!("Error: {message}"));
        self.context.update(self.name(), |state| {
            if let Some(end) = state.terminated() {
                state.last = Some(end.clone());
            }
            state.now = Now::Terminated(Terminated {
                code: 128,
                reason: "StartError".to_owned(),
                message: Some(message),
                started: Some(Timestamp::UNIX_EPOCH),
                finished: Timestamp::now(),
                container_id: String::new(),
            });
            state.ready = false;
        });
        128
    }

    fn event(&self, severity: Severity, reason: &'static str, message: String) {
        self.context
            .event(Some(self.name()), severity, reason, message);
    }
}
