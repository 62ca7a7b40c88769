//! The receiver's pod. It is in the node's network, since that node's runtime has to reach it on
//! loopback; everything else is taken from it. Pure.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    LocalObjectReference, ObjectFieldSelector, Pod, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ms2m_transfer::direct::push_port;
use ms2m_transfer::env;

use super::super::amounts::amounts;
use super::super::naming::{labels, role};
use super::super::placement::{pinned, tolerates_everything};
use super::secret::receiver_volume;
use crate::migration::ports::ReceiverOrder;

/// Where its half of the Secret is mounted.
const SECRETS: &str = "/etc/ms2m/direct";

/// Where it keeps what it was given.
const DATA: &str = "/data";

/// The most that it may keep. The binary holds itself to it: the kubelet does not see its files.
const SIZE_LIMIT: &str = "33Gi";

/// Whoever it runs as: nobody in particular.
const USER: i64 = 65_532;

/// The pod of `order`.
pub(super) fn receiver_pod(order: &ReceiverOrder) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(order.name.clone()),
            labels: Some(labels(&order.migration, role::RECEIVER)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            // Should nobody remove it.
            active_deadline_seconds: Some(
                i64::try_from(order.deadline.as_secs()).unwrap_or(i64::MAX),
            ),
            affinity: Some(pinned(None, &order.node)),
            tolerations: Some(tolerates_everything()),
            automount_service_account_token: Some(false),
            containers: vec![container(order)],
            dns_policy: Some("Default".to_owned()),
            enable_service_links: Some(false),
            host_network: Some(true),
            image_pull_secrets: order
                .credentials_secret
                .as_ref()
                .map(|name| vec![LocalObjectReference { name: name.clone() }]),
            // One that has ended has lost what it had.
            restart_policy: Some("Never".to_owned()),
            security_context: Some(PodSecurityContext {
                fs_group: Some(USER),
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
            volumes: Some(vec![
                receiver_volume("direct", &order.name),
                Volume {
                    name: "data".to_owned(),
                    empty_dir: Some(EmptyDirVolumeSource {
                        size_limit: Some(Quantity(SIZE_LIMIT.to_owned())),
                        ..EmptyDirVolumeSource::default()
                    }),
                    ..Volume::default()
                },
            ]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn container(order: &ReceiverOrder) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "receiver".to_owned(),
        image: Some(order.image.clone()),
        args: Some(vec!["receive".to_owned()]),
        env: Some(environment(order)),
        // So that the scheduler keeps two of them apart.
        ports: Some(vec![
            port("registry", order.port),
            port("receiver", push_port(order.port)),
        ]),
        resources: Some(ResourceRequirements {
            requests: amounts("100m", "32Mi"),
            limits: amounts("2", "128Mi"),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            mount("direct", SECRETS, true),
            mount("data", DATA, false),
        ]),
        ..Container::default()
    }
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        host_port: Some(port.into()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn environment(order: &ReceiverOrder) -> Vec<EnvVar> {
    let said = [
        (env::RECEIVE_REPOSITORY, order.repository.clone()),
        (env::RECEIVE_PORT, order.port.to_string()),
        (env::RECEIVE_DIRECTORY, DATA.to_owned()),
        (env::DIRECT_SECRETS, SECRETS.to_owned()),
    ];
    let mut rows: Vec<EnvVar> = said
        .into_iter()
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        })
        .collect();
    rows.push(EnvVar {
        name: env::RECEIVE_ADDRESS.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            // In the node's network: the node's.
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: "status.podIP".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    });
    rows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_receiver_has_the_node_s_network_and_nothing_else() {
        let order = ReceiverOrder {
            name: "web-0-m1-receiver".into(),
            migration: "web-0-m1".into(),
            node: "node-b".into(),
            image: "registry:5000/ms2m-transfer:dev".into(),
            repository: "ms2m/web-0-m1".into(),
            port: 5351,
            credentials_secret: Some("checkpoints".into()),
            deadline: Duration::from_secs(3600),
        };
        insta::assert_yaml_snapshot!(receiver_pod(&order));
    }
}
