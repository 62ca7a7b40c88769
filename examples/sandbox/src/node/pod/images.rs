//! Sees to it that an image is on the node: by the pull policy, with the pod's credentials, and
//! again and again where that fails.

use std::sync::Arc;
use std::time::Instant;

use super::backoff::Backoff;
use super::context::{PodContext, Stop, sleep};
use super::credentials::credentials;
use super::state::Now;
use crate::node::events::Severity;
use crate::node::faults::Point;
use crate::node::images::{Image, PullError};

/// An image that a container needs, for itself or for a volume.
pub(crate) struct Wanted<'a> {
    /// The image as the pod names it.
    pub(crate) name: &'a str,
    /// `Always`, `IfNotPresent`, `Never`, or nothing for the default.
    pub(crate) policy: Option<&'a str>,
    /// The container that waits for it.
    pub(crate) container: &'a str,
}

/// Waits until the image is on the node; nothing if the pod is to stop first.
pub(crate) async fn ensure(
    context: &PodContext,
    wanted: &Wanted<'_>,
    stop: &Stop,
) -> Option<Arc<Image>> {
    let mut backoff = Backoff::new(context.kubelet.backoff);
    loop {
        let error = match attempt(context, wanted).await {
            Ok(image) => return Some(image),
            Err(error) => error,
        };
        wait(context, wanted, error.reason, error.message.clone());
        if error.reason != "ErrImagePull" {
            if !sleep(stop, context.kubelet.backoff).await {
                return None;
            }
            continue;
        }
        // A kubelet shows the error until it next looks at the pod, and then the pause.
        let pause = backoff.next();
        if !sleep(stop, pause / 4).await {
            return None;
        }
        let message = format!(
            "Back-off pulling image {:?}: {}",
            wanted.name, error.message
        );
        event(
            context,
            wanted,
            Severity::Normal,
            "BackOff",
            format!("Back-off pulling image {:?}", wanted.name),
        );
        wait(context, wanted, "ImagePullBackOff", message);
        if !sleep(stop, pause - pause / 4).await {
            return None;
        }
    }
}

struct Failed {
    reason: &'static str,
    message: String,
}

async fn attempt(context: &PodContext, wanted: &Wanted<'_>) -> Result<Arc<Image>, Failed> {
    let images = &context.kubelet.runtime.images;
    let name = wanted.name;
    let present = images.find(name);
    let policy = wanted.policy.unwrap_or_else(|| default_policy(name));
    match (policy, present) {
        ("Never" | "IfNotPresent", Some(image)) => {
            let message = format!("Container image {name:?} already present on machine");
            event(context, wanted, Severity::Normal, "Pulled", message);
            return Ok(image);
        }
        ("Never", None) => {
            let message =
                format!("Container image {name:?} is not present with pull policy of Never");
            event(
                context,
                wanted,
                Severity::Warning,
                "ErrImageNeverPull",
                message.clone(),
            );
            return Err(Failed {
                reason: "ErrImageNeverPull",
                message,
            });
        }
        _ => {}
    }
    event(
        context,
        wanted,
        Severity::Normal,
        "Pulling",
        format!("Pulling image {name:?}"),
    );
    let began = Instant::now();
    match pull(context, name).await {
        Ok(image) => {
            let time = began.elapsed().as_secs_f64();
            let message = format!(
                "Successfully pulled image {name:?} in {time:.3}s ({time:.3}s including waiting). Image size: {} bytes.",
                image.size
            );
            event(context, wanted, Severity::Normal, "Pulled", message);
            Ok(image)
        }
        Err(error) => {
            let message = error.to_string();
            let failed = format!("Failed to pull image {name:?}: {message}");
            event(context, wanted, Severity::Warning, "Failed", failed);
            event(
                context,
                wanted,
                Severity::Warning,
                "Failed",
                "Error: ErrImagePull".to_owned(),
            );
            let invalid = matches!(error, PullError::Name { .. });
            Err(Failed {
                reason: if invalid {
                    "InvalidImageName"
                } else {
                    "ErrImagePull"
                },
                message,
            })
        }
    }
}

async fn pull(context: &PodContext, name: &str) -> Result<Arc<Image>, PullError> {
    let kubelet = &context.kubelet;
    let ordered = kubelet
        .faults
        .strike(&kubelet.name, &context.full_name(), Point::Pull)
        .await;
    if let Some(error) = ordered {
        return Err(PullError::Ordered(error));
    }
    let auth = credentials(&kubelet.client, &context.pod, name).await;
    kubelet.runtime.images.pull(name, &auth).await
}

/// An image without a tag or with the tag `latest` is always pulled.
fn default_policy(name: &str) -> &'static str {
    let latest = name
        .parse::<oci_client::Reference>()
        .is_ok_and(|reference| {
            reference.digest().is_none() && reference.tag().is_none_or(|tag| tag == "latest")
        });
    if latest { "Always" } else { "IfNotPresent" }
}

fn wait(context: &PodContext, wanted: &Wanted<'_>, reason: &str, message: String) {
    context.update(wanted.container, |state| {
        state.now = Now::waiting(reason, Some(message));
    });
}

fn event(
    context: &PodContext,
    wanted: &Wanted<'_>,
    severity: Severity,
    reason: &'static str,
    message: String,
) {
    context.event(Some(wanted.container), severity, reason, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latest_is_always_pulled() {
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        for (name, policy) in [
            ("a/b", "Always"),
            ("a/b:latest", "Always"),
            ("127.0.0.1:5000/b:dev", "IfNotPresent"),
            (digest.as_str(), "IfNotPresent"),
        ] {
            assert_eq!(default_policy(name), policy, "{name}");
        }
    }
}
