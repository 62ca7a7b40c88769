//! The probes of one running container: readiness and startup tell the status, liveness and
//! startup may end the container.

use std::net::IpAddr;
use std::ops::ControlFlow;

use k8s_openapi::api::core::v1::{Container as Spec, Probe};

use super::context::PodContext;
use super::probe::{Verdict, watch};
use crate::node::events::Severity;

/// Runs the probes. Returns the kind of the one that says that the container has to end.
pub(super) async fn watch_probes(context: &PodContext, spec: &Spec, ip: IpAddr) -> &'static str {
    if let Some(probe) = &spec.startup_probe {
        if !startup(context, spec, probe, ip).await {
            return "startup";
        }
        context.update(&spec.name, |state| {
            state.started = true;
            state.ready = spec.readiness_probe.is_none();
        });
    }
    tokio::select! {
        () = readiness(context, spec, ip) => "readiness",
        () = liveness(context, spec, ip) => "liveness",
    }
}

/// Whether the container has started, once that is known.
async fn startup(context: &PodContext, spec: &Spec, probe: &Probe, ip: IpAddr) -> bool {
    watch(spec, probe, ip, |verdict| match verdict {
        Verdict::Success => ControlFlow::Break(true),
        Verdict::Failure(_) => ControlFlow::Break(false),
        Verdict::Unhealthy(why) => unhealthy(context, spec, "Startup", &why),
    })
    .await
}

/// Never returns: a container that is not ready goes on.
async fn readiness(context: &PodContext, spec: &Spec, ip: IpAddr) {
    let Some(probe) = &spec.readiness_probe else {
        return std::future::pending().await;
    };
    let set = |ready| {
        context.update(&spec.name, |state| state.ready = ready);
        ControlFlow::Continue(())
    };
    watch(spec, probe, ip, |verdict| match verdict {
        Verdict::Success => set(true),
        Verdict::Failure(_) => set(false),
        Verdict::Unhealthy(why) => unhealthy(context, spec, "Readiness", &why),
    })
    .await
}

/// Returns when the probe has failed for good.
async fn liveness(context: &PodContext, spec: &Spec, ip: IpAddr) {
    let Some(probe) = &spec.liveness_probe else {
        return std::future::pending().await;
    };
    watch(spec, probe, ip, |verdict| match verdict {
        Verdict::Success => ControlFlow::Continue(()),
        Verdict::Failure(_) => ControlFlow::Break(()),
        Verdict::Unhealthy(why) => unhealthy(context, spec, "Liveness", &why),
    })
    .await
}

fn unhealthy<T>(context: &PodContext, spec: &Spec, kind: &str, why: &str) -> ControlFlow<T> {
    context.event(
        Some(&spec.name),
        Severity::Warning,
        "Unhealthy",
        format!("{kind} probe failed: {why}"),
    );
    ControlFlow::Continue(())
}
