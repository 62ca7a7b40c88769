//! The pod that looks at its node. It runs as nobody, with no capability, and sees three directories
//! of the node, read-only: what every user of the node may read there, and nothing else. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, HostPathVolumeSource, LocalObjectReference, Pod, PodSecurityContext,
    PodSpec, ResourceRequirements, SELinuxOptions, SeccompProfile, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ms2m_transfer::node::ARCHIVES;

use super::super::amounts::amounts;
use super::super::naming::shortened;
use super::super::placement::{pinned, tolerates_everything};
use super::ProbeOrder;
use crate::api::ROLE_LABEL;

/// The value of [`ROLE_LABEL`] that all of these pods have.
pub const PROBE_ROLE: &str = "probe";

/// Where the node's directories are mounted, each under its own path.
const ROOT: &str = "/host";

/// What is mounted. Directories that every node has: a mount of one that is missing would make it.
/// `/etc` has the options of CRIU and the switches of the runtimes, `/usr` has CRIU.
const SEEN: [(&str, &str); 3] = [("etc", "/etc"), ("usr", "/usr"), ("archives", ARCHIVES)];

/// Whoever it runs as: nobody in particular.
const USER: i64 = 65_532;

/// The kubelet ends it after so many seconds, should nobody remove it.
const DEADLINE_SECONDS: i64 = 120;

/// A name may have 63 characters where it is a host's name too, as a pod's is.
const NAME: usize = 63;

/// The pod of `order`, under a name that no other has.
pub(super) fn probe_pod(order: &ProbeOrder) -> Pod {
    let name = format!("ms2m-probe-{:08x}-{}", rand::random::<u32>(), order.node);
    named(order, &shortened(&name, NAME))
}

fn named(order: &ProbeOrder, name: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(
                ROLE_LABEL.to_owned(),
                PROBE_ROLE.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            affinity: Some(pinned(None, &order.node)),
            automount_service_account_token: Some(false),
            containers: vec![container(order)],
            enable_service_links: Some(false),
            image_pull_secrets: order
                .credentials_secret
                .as_ref()
                .map(|name| vec![LocalObjectReference { name: name.clone() }]),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(PodSecurityContext {
                run_as_group: Some(USER),
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            termination_grace_period_seconds: Some(1),
            tolerations: Some(tolerates_everything()),
            volumes: Some(SEEN.map(|(name, path)| volume(name, path)).to_vec()),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn volume(name: &str, path: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: path.to_owned(),
            type_: Some("Directory".to_owned()),
        }),
        ..Volume::default()
    }
}

fn container(order: &ProbeOrder) -> Container {
    let mount = |(name, path): (&str, &str)| VolumeMount {
        name: name.to_owned(),
        mount_path: format!("{ROOT}{path}"),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: PROBE_ROLE.to_owned(),
        image: Some(order.image.clone()),
        args: Some(["probe", "--root", ROOT].map(str::to_owned).to_vec()),
        resources: Some(ResourceRequirements {
            requests: amounts("10m", "32Mi"),
            limits: amounts("500m", "64Mi"),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            read_only_root_filesystem: Some(true),
            // On nodes with SELinux an ordinary container may not read the node's files.
            se_linux_options: Some(SELinuxOptions {
                type_: Some("spc_t".to_owned()),
                ..SELinuxOptions::default()
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(SEEN.map(mount).to_vec()),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(node: &str) -> ProbeOrder {
        ProbeOrder {
            node: node.to_owned(),
            image: "registry:5000/ms2m-transfer:dev".to_owned(),
            credentials_secret: Some("checkpoints".to_owned()),
        }
    }

    #[test]
    fn the_pod_is_pinned_bounded_and_powerless() {
        insta::assert_yaml_snapshot!(named(&order("node-a"), "ms2m-probe-1-node-a"));
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let long = "node.".repeat(40);
        let name = || probe_pod(&order(&long)).metadata.name.unwrap_or_default();
        let (one, other) = (name(), name());
        assert_ne!(one, other);
        assert!(one.len() <= NAME, "{one}");
    }
}
