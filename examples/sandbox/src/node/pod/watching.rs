//! The probes of one running container: readiness and startup tell the status, liveness and
//! startup may end the container.

use std::cell::Cell;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container as Spec, Probe};

use super::context::PodContext;
use super::probe::{Verdict, watch};
use crate::node::events::Severity;

/// Which probe ended the container, if one did.
#[derive(Default)]
pub(super) struct Alarm(Cell<Option<&'static str>>);

impl Alarm {
    pub(super) fn kind(&self) -> Option<&'static str> {
        self.0.get()
    }
}

/// Runs the probes. Returns when one says that the container has to end.
pub(super) async fn watch_probes(context: &PodContext, spec: &Spec, ip: IpAddr, alarm: &Alarm) {
    if let Some(probe) = &spec.startup_probe {
        let started = startup(context, spec, probe, ip).await;
        if !started {
            alarm.0.set(Some("startup"));
            return;
        }
        context.update(&spec.name, |state| {
            state.started = true;
            state.ready = spec.readiness_probe.is_none();
        });
    }
    tokio::select! {
        () = readiness(context, spec, ip) => {}
        () = liveness(context, spec, ip) => alarm.0.set(Some("liveness")),
    }
}

async fn startup(context: &PodContext, spec: &Spec, probe: &Probe, ip: IpAddr) -> bool {
    let (sender, mut verdicts) = tokio::sync::mpsc::channel(1);
    let tries = watch(spec, probe, ip, async |verdict| {
        match verdict {
            Verdict::Unhealthy(why) => unhealthy(context, spec, "Startup", why),
            // Full only when an earlier verdict has not been read, which decides.
            verdict => drop(sender.try_send(verdict)),
        }
    });
    tokio::select! {
        () = tries => false,
        verdict = verdicts.recv() => verdict == Some(Verdict::Success),
    }
}

async fn readiness(context: &PodContext, spec: &Spec, ip: IpAddr) {
    let Some(probe) = &spec.readiness_probe else {
        return std::future::pending().await;
    };
    watch(spec, probe, ip, async |verdict| match verdict {
        Verdict::Success => context.update(&spec.name, |state| state.ready = true),
        Verdict::Failure(_) => context.update(&spec.name, |state| state.ready = false),
        Verdict::Unhealthy(why) => unhealthy(context, spec, "Readiness", why),
    })
    .await;
}

/// Returns when the probe has failed for good.
async fn liveness(context: &PodContext, spec: &Spec, ip: IpAddr) {
    let Some(probe) = &spec.liveness_probe else {
        return std::future::pending().await;
    };
    let failed = tokio::sync::Notify::new();
    let tries = watch(spec, probe, ip, async |verdict| match verdict {
        Verdict::Success => {}
        Verdict::Failure(_) => failed.notify_one(),
        Verdict::Unhealthy(why) => unhealthy(context, spec, "Liveness", why),
    });
    tokio::select! {
        () = tries => {}
        () = failed.notified() => {}
    }
}

fn unhealthy(context: &PodContext, spec: &Spec, kind: &str, why: String) {
    context.event(
        Some(&spec.name),
        Severity::Warning,
        "Unhealthy",
        format!("{kind} probe failed: {why}"),
    );
}
