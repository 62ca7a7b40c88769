//! The pod that makes a node pull an image: both runtimes look for the source container's image
//! on the target node at the restore, and CRI-O never pulls it. Pure.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodSpec, ResourceRequirements, SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::amounts::amounts;
use super::naming::{labels, role};
use super::placement::pinned;

/// A command that no image has. Only the pull matters; an image from scratch has no command that
/// could end at once.
const NO_COMMAND: &str = "/ms2m-image-pull";

/// The kubelet gives the pod up after so many seconds, should nobody remove it.
const DEADLINE_SECONDS: i64 = 900;

/// A pod that makes `node` pull `image` with the pull secrets of `source`.
///
/// It has the source's tolerations and no others: where this pod finds no place, neither would
/// the target pod, and it is better to know before the checkpoint.
pub(super) fn image_pull_pod(
    migration: &str,
    name: &str,
    node: &str,
    image: &str,
    source: &PodSpec,
) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(migration, role::IMAGE_PULL)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            affinity: Some(pinned(None, node)),
            automount_service_account_token: Some(false),
            containers: vec![container(image)],
            enable_service_links: Some(false),
            image_pull_secrets: source.image_pull_secrets.clone(),
            priority_class_name: source.priority_class_name.clone(),
            restart_policy: Some("Never".to_owned()),
            // Some runtimes keep images apart by runtime class.
            runtime_class_name: source.runtime_class_name.clone(),
            // A service account brings pull secrets too.
            service_account_name: source.service_account_name.clone(),
            termination_grace_period_seconds: Some(1),
            tolerations: source.tolerations.clone(),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn container(image: &str) -> Container {
    // An image that was loaded and never pulled has no digest that a registry knows.
    let policy = if image.contains('@') {
        // The name has to be on the node as well as the layers: CRI-O hangs on an image that has
        // lost its name. With the layers there, this costs one request.
        "Always"
    } else {
        "IfNotPresent"
    };
    Container {
        name: "image-pull".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some(policy.to_owned()),
        command: Some(vec![NO_COMMAND.to_owned()]),
        resources: Some(ResourceRequirements {
            requests: amounts("1m", "16Mi"),
            limits: amounts("100m", "16Mi"),
            claims: None,
        }),
        security_context: Some(unprivileged()),
        ..Container::default()
    }
}

/// What the Pod Security level `restricted` asks for.
fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: Some(65_532),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_only_pulls() {
        let source: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "main", "env": [{"name": "SECRET", "value": "x"}]}],
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "web",
            "nodeName": "node-a",
            "tolerations": [{"key": "gpu", "operator": "Exists"}]
        }))
        .expect("a spec");
        let pod = image_pull_pod("m1", "m1-pull", "node-b", "shop/web@sha256:aa", &source);
        insta::assert_yaml_snapshot!(pod);
    }

    #[test]
    fn an_image_without_a_digest_is_taken_as_it_is() {
        let container = container("shop/web:1");
        assert_eq!(container.image_pull_policy.as_deref(), Some("IfNotPresent"));
    }
}
