//! The base image as a volume of the target pod: the kubelet then sees to it that the image is on the
//! node when the container is restored, pull secrets included, should the node have collected it as
//! garbage since it was pulled. Pure.
//!
//! It is no substitute for the pod that pulls early (see `image_pull`): this one would pull while
//! the application waits.

use k8s_openapi::api::core::v1::{ImageVolumeSource, Node, Pod, Volume, VolumeMount};

/// Name of the volume.
const VOLUME: &str = "ms2m-base-image";

/// Where it is mounted. Of containers that are restored CRI-O leaves it out, and containerd mounts it;
/// that one's next checkpoint then asks for it at this path.
const PATH: &str = "/.ms2m/base-image";

/// The first minor version of Kubernetes 1 that has image volumes without being asked.
const SINCE: u32 = 35;

/// Whether the node's kubelet knows image volumes. A kubelet may be older than its API server, and
/// never newer, so its version is the one that counts.
pub(in super::super) fn has_image_volumes(node: &Node) -> bool {
    let info = node.status.as_ref().and_then(|it| it.node_info.as_ref());
    info.and_then(|info| version(&info.kubelet_version))
        .is_some_and(|version| version >= (1, SINCE))
}

/// Major and minor, as of `v1.36.2`, `v1.35.1-eks-3025e55` or `1.36+`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    let mut number = || {
        let part = parts.next()?;
        let end = part
            .find(|digit: char| !digit.is_ascii_digit())
            .unwrap_or(part.len());
        part[..end].parse().ok()
    };
    Some((number()?, number()?))
}

/// The same pod with the image as a volume of its container. One that is there already, since its
/// source was a target itself, is used.
pub(in super::super) fn with_base_image(mut pod: Pod, container: &str, image: &str) -> Pod {
    let Some(spec) = pod.spec.as_mut() else {
        return pod;
    };
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| volume.name != VOLUME);
    volumes.push(Volume {
        name: VOLUME.to_owned(),
        image: Some(ImageVolumeSource {
            // A digest never changes.
            pull_policy: Some("IfNotPresent".to_owned()),
            reference: Some(image.to_owned()),
        }),
        ..Volume::default()
    });
    for it in &mut spec.containers {
        if it.name != container {
            continue;
        }
        let mounts = it.volume_mounts.get_or_insert_default();
        mounts.retain(|mount| mount.name != VOLUME);
        mounts.push(VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: PATH.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    pod
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_read_as_they_come() {
        for (text, known) in [
            ("v1.36.2", Some((1, 36))),
            ("v1.35.0-eks-3025e55", Some((1, 35))),
            ("v1.34.3+k3s1", Some((1, 34))),
            ("1.36+", Some((1, 36))),
            ("v2.0.0", Some((2, 0))),
            ("", None),
            ("devel", None),
        ] {
            assert_eq!(version(text), known, "{text}");
        }
    }

    #[test]
    fn an_older_kubelet_gets_none() {
        let node = |version: &str| -> Node {
            serde_json::from_value(json!({"status": {"nodeInfo": {
                "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "kubeletVersion": version, "machineID": "",
                "operatingSystem": "", "osImage": "", "systemUUID": ""
            }}}))
            .expect("a node")
        };
        assert!(!has_image_volumes(&node("v1.34.9")));
        assert!(has_image_volumes(&node("v1.35.0")));
        assert!(has_image_volumes(&node("v2.0.0")));
        assert!(!has_image_volumes(&node("")));
        assert!(!has_image_volumes(&Node::default()));
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-0-shadow"},
            "spec": {
                "containers": [
                    {"name": "main", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                    {"name": "side", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
                ],
                "volumes": [{"name": "data", "emptyDir": {}}]
            }
        }))
        .expect("a pod")
    }

    #[test]
    fn the_restored_container_alone_has_the_image_mounted() {
        insta::assert_yaml_snapshot!(with_base_image(pod(), "main", "shop/web@sha256:aa"));
    }

    #[test]
    fn a_target_of_a_target_has_it_once() {
        let first = with_base_image(pod(), "main", "old/web@sha256:aa");
        let second = with_base_image(first, "main", "shop/web@sha256:aa");
        let afresh = with_base_image(pod(), "main", "shop/web@sha256:aa");
        assert_eq!(second, afresh);
    }
}
