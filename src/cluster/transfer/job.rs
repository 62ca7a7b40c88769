//! The Job that packs the archive as an image and pushes it. Pure.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, HostPathVolumeSource, KeyToPath, LocalObjectReference,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SELinuxOptions,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ms2m_transfer::env;

use super::super::amounts::amounts;
use super::super::naming::{TRANSFER_LABEL, labels, role, shortened};
use super::super::placement::{pinned, tolerates_everything};
use super::super::receiver::sender_volume;
use crate::api::Compression;
use crate::migration::error::PortError;
use crate::migration::ports::{ArchiveToSend, PortResult, TransferOrder};

/// Name of the container.
pub(super) const CONTAINER: &str = "transfer";

/// The kubelet's directory of archives, unless its `--root-dir` is another one. It makes it when it
/// starts.
const KUBELET_ARCHIVES: &str = "/var/lib/kubelet/checkpoints";

/// Where the archive's directory is mounted.
const ARCHIVES: &str = "/checkpoints";

/// Where the registry's credentials are mounted.
const CREDENTIALS: &str = "/etc/ms2m/docker";

/// Where its half of the receiver's Secret is mounted.
const DIRECT: &str = "/etc/ms2m/direct";

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG_JSON: &str = ".dockerconfigjson";

/// How long the Job stays after its end, should nobody remove it.
const TTL_SECONDS: i32 = 600;

/// The Job of `order` for a pod of `namespace`.
///
/// # Errors
/// [`PortError::Invalid`] when the archive is not an absolute path with a directory.
pub(in super::super) fn transfer_job(namespace: &str, order: &TransferOrder) -> PortResult<Job> {
    let mut labels = labels(&order.migration, role::TRANSFER);
    let mut pod_labels = labels.clone();
    pod_labels.insert(TRANSFER_LABEL.to_owned(), label_value(&order.name));
    labels.insert(TRANSFER_LABEL.to_owned(), label_value(&order.name));
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(order.name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(seconds(order)),
            // A second attempt would race the first for the archive; the binary itself tries
            // uploads again.
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(namespace, order)?),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// The value of [`TRANSFER_LABEL`] for the Job of that name.
pub(in super::super) fn label_value(job: &str) -> String {
    shortened(job, 63)
}

fn seconds(order: &TransferOrder) -> i64 {
    i64::try_from(order.deadline.as_secs())
        .unwrap_or(i64::MAX)
        .max(1)
}

fn pod_spec(namespace: &str, order: &TransferOrder) -> PortResult<PodSpec> {
    let (directory, archive) = archive(namespace, order)?;
    let mut volumes = vec![archives(directory)];
    let mut mounts = vec![VolumeMount {
        name: "checkpoints".to_owned(),
        mount_path: ARCHIVES.to_owned(),
        // Written to only in order to delete the archive.
        read_only: order.keep_archive.then_some(true),
        ..VolumeMount::default()
    }];
    if let Some(secret) = credentials_of(order) {
        volumes.push(credentials(secret));
        mounts.push(VolumeMount {
            name: "credentials".to_owned(),
            mount_path: CREDENTIALS.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    if let Some(direct) = &order.direct {
        volumes.push(sender_volume("direct", &direct.secret));
        mounts.push(VolumeMount {
            name: "direct".to_owned(),
            mount_path: DIRECT.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    Ok(PodSpec {
        // On the node of the archive, whatever else is wrong with that node: it may well be
        // cordoned, since pods are moved away from nodes that are.
        affinity: Some(pinned(None, &order.node)),
        tolerations: Some(tolerates_everything()),
        automount_service_account_token: Some(false),
        containers: vec![container(
            order,
            environment(namespace, order, archive),
            mounts,
        )],
        enable_service_links: Some(false),
        image_pull_secrets: order
            .credentials_secret
            .as_ref()
            .map(|name| vec![LocalObjectReference { name: name.clone() }]),
        restart_policy: Some("Never".to_owned()),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(5),
        volumes: Some(volumes),
        ..PodSpec::default()
    })
}

/// The directory of the archive on the node, and how the binary is told of the archive.
fn archive<'a>(
    namespace: &str,
    order: &'a TransferOrder,
) -> PortResult<(&'a str, (&'static str, String))> {
    match &order.archive {
        ArchiveToSend::At(path) => {
            let (directory, file) = split(path)?;
            Ok((directory, (env::ARCHIVE, format!("{ARCHIVES}/{file}"))))
        }
        ArchiveToSend::Next => {
            let (pod, container) = (&order.pod, &order.container);
            let prefix = format!("{ARCHIVES}/checkpoint-{pod}_{namespace}-{container}-");
            Ok((KUBELET_ARCHIVES, (env::ARCHIVE_PREFIX, prefix)))
        }
    }
}

/// Directory and file name of the archive.
fn split(archive: &str) -> PortResult<(&str, &str)> {
    match archive.rsplit_once('/') {
        Some((directory, file))
            if directory.len() > 1 && directory.starts_with('/') && !file.is_empty() =>
        {
            Ok((directory, file))
        }
        _ => Err(PortError::Invalid(format!(
            "{archive:?} is not the path of a checkpoint archive"
        ))),
    }
}

fn archives(directory: &str) -> Volume {
    Volume {
        name: "checkpoints".to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: directory.to_owned(),
            type_: Some("Directory".to_owned()),
        }),
        ..Volume::default()
    }
}

/// The Secret that the Job mounts. One that only deletes talks to no registry, and must not wait for a
/// Secret that is missing: the transfer may have failed over that very Secret.
fn credentials_of(order: &TransferOrder) -> Option<&String> {
    order.credentials_secret.as_ref().filter(|_| !order.discard)
}

fn credentials(secret: &str) -> Volume {
    Volume {
        name: "credentials".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o400),
            items: Some(vec![KeyToPath {
                key: DOCKER_CONFIG_JSON.to_owned(),
                path: "config.json".to_owned(),
                ..KeyToPath::default()
            }]),
            optional: Some(false),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn container(order: &TransferOrder, env: Vec<EnvVar>, mounts: Vec<VolumeMount>) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(order.transfer_image.clone()),
        env: Some(env),
        resources: Some(ResourceRequirements {
            requests: amounts("100m", "64Mi"),
            // The memory stays flat whatever the size of the archive; the CPU limit leaves the
            // node's other pods alone while one core compresses.
            limits: amounts("2", "128Mi"),
            claims: None,
        }),
        security_context: Some(security()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// Archives belong to root and nobody else may read them.
fn security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: Some(vec!["DAC_OVERRIDE".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        run_as_user: Some(0),
        run_as_non_root: Some(false),
        // On nodes with SELinux an ordinary container may not read the kubelet's files.
        se_linux_options: Some(SELinuxOptions {
            type_: Some("spc_t".to_owned()),
            ..SELinuxOptions::default()
        }),
        ..SecurityContext::default()
    }
}

fn environment(
    namespace: &str,
    order: &TransferOrder,
    archive: (&'static str, String),
) -> Vec<EnvVar> {
    let compression = match order.compression {
        Compression::Zstd => "zstd",
        Compression::Gzip => "gzip",
        Compression::None => "none",
        Compression::Auto => "auto",
    };
    let mut rows = vec![
        archive,
        (env::IMAGE, order.image.clone()),
        (env::NAMESPACE, namespace.to_owned()),
        (env::POD, order.pod.clone()),
        (env::CONTAINER, order.container.clone()),
        (env::SOURCE_NODE, order.node.clone()),
        (env::COMPRESSION, compression.to_owned()),
        (env::PLAIN_HTTP, order.plain_http.to_string()),
    ];
    // One of the two: the binary takes them for a contradiction, whatever their values.
    rows.push(if order.discard {
        (env::DISCARD, "true".to_owned())
    } else {
        (env::KEEP_ARCHIVE, order.keep_archive.to_string())
    });
    if credentials_of(order).is_some() {
        rows.push((env::DOCKER_CONFIG, CREDENTIALS.to_owned()));
    }
    if let Some(direct) = &order.direct {
        rows.push((env::RECEIVER, direct.receiver.to_string()));
        rows.push((env::DIRECT_SECRETS, DIRECT.to_owned()));
    }
    rows.into_iter()
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::migration::ports::DirectOrder;

    fn order() -> TransferOrder {
        TransferOrder {
            name: "web-0-m1-transfer".into(),
            migration: "web-0-m1".into(),
            node: "node-a".into(),
            archive: ArchiveToSend::At(
                "/var/lib/kubelet/checkpoints/checkpoint-web-0_shop-main-2026-01-01T00:00:00Z.tar"
                    .into(),
            ),
            image: "registry:5000/cp:web-0-m1".into(),
            transfer_image: "registry:5000/ms2m-transfer:dev".into(),
            pod: "web-0".into(),
            container: "main".into(),
            compression: Compression::Gzip,
            plain_http: true,
            direct: None,
            credentials_secret: None,
            keep_archive: false,
            discard: false,
            deadline: Duration::from_secs(3600),
        }
    }

    #[test]
    fn the_job_is_pinned_bounded_and_almost_powerless() {
        insta::assert_yaml_snapshot!(transfer_job("shop", &order()).expect("a Job"));
    }

    #[test]
    fn credentials_are_files_and_a_kept_archive_cannot_be_deleted() {
        let order = TransferOrder {
            credentials_secret: Some("checkpoints".into()),
            keep_archive: true,
            discard: false,
            ..order()
        };
        let job = transfer_job("shop", &order).expect("a Job");
        let spec = job.spec.and_then(|it| it.template.spec).expect("a spec");
        let container = &spec.containers[0];
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        assert_eq!(mounts[0].read_only, Some(true));
        assert_eq!(mounts[1].mount_path, CREDENTIALS);
        let env = container.env.as_deref().unwrap_or_default();
        assert!(
            env.iter()
                .any(|it| it.name == "DOCKER_CONFIG" && it.value.as_deref() == Some(CREDENTIALS))
        );
        assert!(spec.image_pull_secrets.is_some());
    }

    #[test]
    fn one_that_is_early_waits_for_the_next_archive() {
        let order = TransferOrder {
            archive: ArchiveToSend::Next,
            ..order()
        };
        let job = transfer_job("shop", &order).expect("a Job");
        let spec = job.spec.and_then(|it| it.template.spec).expect("a spec");
        let env = spec.containers[0].env.as_deref().unwrap_or_default();
        assert_eq!(env[0].name, "MS2M_ARCHIVE_PREFIX");
        let prefix = "/checkpoints/checkpoint-web-0_shop-main-";
        assert_eq!(env[0].value.as_deref(), Some(prefix));
        let host_path = |it: &Volume| it.host_path.as_ref().map(|it| it.path.clone());
        let mounted = spec.volumes.iter().flatten().find_map(host_path);
        assert_eq!(mounted.as_deref(), Some("/var/lib/kubelet/checkpoints"));
    }

    #[test]
    fn only_a_real_path_makes_a_job() {
        for archive in ["", "a.tar", "/a.tar", "/a/", "a/b.tar"] {
            let order = TransferOrder {
                archive: ArchiveToSend::At(archive.into()),
                ..order()
            };
            assert!(transfer_job("shop", &order).is_err(), "{archive}");
        }
    }

    #[test]
    fn a_receiver_is_reached_with_the_sender_s_half_of_its_secret() {
        let direct = DirectOrder {
            receiver: "[fd00::7]:5352".parse().expect("an address"),
            secret: "web-0-m1-receiver".into(),
        };
        let order = TransferOrder {
            direct: Some(direct),
            ..order()
        };
        let job = transfer_job("shop", &order).expect("a Job");
        let spec = job.spec.and_then(|it| it.template.spec).expect("a spec");
        let text = serde_json::to_string(&spec).expect("JSON");
        assert!(
            text.contains(r#""name":"MS2M_RECEIVER","value":"[fd00::7]:5352""#),
            "{text}"
        );
        assert!(
            text.contains("client.key") && !text.contains("server.key"),
            "{text}"
        );
    }
}
