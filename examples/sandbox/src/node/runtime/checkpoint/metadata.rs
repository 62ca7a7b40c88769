//! What an archive says about its container.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::names;
use crate::node::runtime::Personality;
use crate::node::runtime::config::{InitConfig, Mount, User};
use crate::node::runtime::container::Container;

/// The OCI runtime that runs the sandbox's containers, as far as an archive is concerned.
pub(in crate::node::runtime) const OCI_RUNTIME: &str = "runc";

/// `config.dump`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::node::runtime) struct ConfigDump {
    pub(in crate::node::runtime) id: String,
    pub(in crate::node::runtime) name: String,
    #[serde(default)]
    pub(in crate::node::runtime) rootfs_image: String,
    /// CRI-O: the image id. containerd: the repository and digest.
    #[serde(default)]
    pub(in crate::node::runtime) rootfs_image_ref: String,
    #[serde(default)]
    pub(in crate::node::runtime) rootfs_image_name: String,
    #[serde(default)]
    pub(in crate::node::runtime) runtime: String,
    pub(in crate::node::runtime) created_time: Timestamp,
    pub(in crate::node::runtime) checkpointed_time: Timestamp,
    pub(in crate::node::runtime) restored_time: Timestamp,
    pub(in crate::node::runtime) restored: bool,
}

/// The part of an OCI runtime specification that is of use here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::node::runtime) struct SpecDump {
    pub(in crate::node::runtime) hostname: String,
    pub(in crate::node::runtime) process: SpecProcess,
    pub(in crate::node::runtime) mounts: Vec<SpecMount>,
    pub(in crate::node::runtime) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::node::runtime) struct SpecProcess {
    pub(in crate::node::runtime) args: Vec<String>,
    pub(in crate::node::runtime) env: Vec<String>,
    pub(in crate::node::runtime) cwd: String,
    pub(in crate::node::runtime) user: SpecUser,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::node::runtime) struct SpecUser {
    pub(in crate::node::runtime) uid: u32,
    pub(in crate::node::runtime) gid: u32,
    pub(in crate::node::runtime) additional_gids: Vec<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::node::runtime) struct SpecMount {
    pub(in crate::node::runtime) destination: String,
    #[serde(rename = "type")]
    pub(in crate::node::runtime) kind: String,
}

impl From<SpecUser> for User {
    fn from(user: SpecUser) -> Self {
        Self {
            uid: user.uid,
            gid: user.gid,
            additional_gids: user.additional_gids,
        }
    }
}

/// The files of an archive that are written from what is known, by name.
pub(super) fn collect(container: &Container) -> Vec<(&'static str, Value)> {
    let mut files = vec![
        (names::CONFIG_DUMP, json!(config_dump(container))),
        (names::SPEC_DUMP, spec_dump(container)),
    ];
    match container.personality {
        Personality::Crio => {
            files.push((names::BIND_MOUNTS, bind_mounts(&container.init.mounts)));
        }
        Personality::Containerd => files.push((names::STATUS_DUMP, status_dump(container))),
    }
    files
}

fn config_dump(container: &Container) -> ConfigDump {
    let image = &container.image;
    ConfigDump {
        id: container.id.clone(),
        name: container.config.name.clone(),
        rootfs_image: container.image_name.clone(),
        rootfs_image_ref: match container.personality {
            Personality::Crio => image.id.trim_start_matches("sha256:").to_owned(),
            Personality::Containerd => image.repo_digest.clone(),
        },
        rootfs_image_name: container.image_name.clone(),
        runtime: OCI_RUNTIME.to_owned(),
        created_time: container.created,
        checkpointed_time: Timestamp::now(),
        restored_time: if container.restored {
            container.created
        } else {
            Timestamp::UNIX_EPOCH
        },
        restored: container.restored,
    }
}

fn spec_dump(container: &Container) -> Value {
    let InitConfig {
        hostname,
        mounts,
        user,
        args,
        env,
        cwd,
        ..
    } = &container.init;
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let own = [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/shm", "tmpfs"),
    ]
    .into_iter()
    .map(|(destination, kind)| json!({ "destination": destination, "type": kind, "source": kind }));
    let binds = mounts.iter().map(|mount| {
        let access = if mount.read_only { "ro" } else { "rw" };
        json!({
            "destination": mount.destination,
            "type": "bind",
            "source": mount.source,
            "options": ["rbind", "rprivate", access],
        })
    });
    json!({
        "ociVersion": "1.2.1",
        "process": {
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids },
            "args": args,
            "env": env,
            "cwd": cwd,
        },
        "root": { "path": container.init.rootfs },
        "hostname": hostname,
        "mounts": own.chain(binds).collect::<Vec<_>>(),
        "annotations": annotations(container),
    })
}

fn annotations(container: &Container) -> BTreeMap<&'static str, String> {
    let config = &container.config;
    let pod = &config.pod;
    let attempt = config.attempt;
    match container.personality {
        Personality::Crio => {
            let labels = json!({
                "io.kubernetes.container.name": config.name,
                "io.kubernetes.pod.name": pod.name,
                "io.kubernetes.pod.namespace": pod.namespace,
                "io.kubernetes.pod.uid": pod.uid,
            });
            let own = json!({ "io.kubernetes.container.restartCount": attempt.to_string() });
            let metadata = json!({ "name": config.name, "attempt": attempt });
            BTreeMap::from([
                ("io.container.manager", "cri-o".to_owned()),
                (names::CRIO_ANNOTATIONS, own.to_string()),
                ("io.kubernetes.cri-o.ContainerID", container.id.clone()),
                ("io.kubernetes.cri-o.ContainerType", "container".to_owned()),
                ("io.kubernetes.cri-o.Image", container.image.id.clone()),
                (
                    "io.kubernetes.cri-o.ImageName",
                    container.image_name.clone(),
                ),
                ("io.kubernetes.cri-o.Labels", labels.to_string()),
                ("io.kubernetes.cri-o.Metadata", metadata.to_string()),
            ])
        }
        Personality::Containerd => BTreeMap::from([
            ("io.kubernetes.cri.container-name", config.name.clone()),
            ("io.kubernetes.cri.container-type", "container".to_owned()),
            ("io.kubernetes.cri.image-name", container.image_name.clone()),
            ("io.kubernetes.cri.sandbox-name", pod.name.clone()),
            ("io.kubernetes.cri.sandbox-namespace", pod.namespace.clone()),
            ("io.kubernetes.cri.sandbox-uid", pod.uid.clone()),
        ]),
    }
}

fn bind_mounts(mounts: &[Mount]) -> Value {
    mounts
        .iter()
        .map(|mount| {
            let kind = if mount.source.is_dir() {
                "directory"
            } else {
                "file"
            };
            json!({
                "source": mount.source,
                "destination": mount.destination,
                "file_type": kind,
                "permissions": 0o755,
            })
        })
        .collect()
}

/// In nanoseconds, as containerd has it.
fn status_dump(container: &Container) -> Value {
    json!({
        "CreatedAt": i64::try_from(container.created.as_nanosecond()).unwrap_or(0),
        "StartedAt": i64::try_from(container.created.as_nanosecond()).unwrap_or(0),
        "FinishedAt": 0,
        "ExitCode": 0,
        "Reason": "",
        "Message": "",
        "Removing": false,
    })
}
