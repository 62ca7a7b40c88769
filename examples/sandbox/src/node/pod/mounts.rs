//! What a container of a pod sees of its volumes and of the files that the kubelet makes for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::env::expand;
use super::volumes::Mounted;
use crate::node::runtime::Mount;

/// The files that a kubelet makes for every pod.
#[derive(Clone, Debug)]
pub(crate) struct PodFiles {
    directory: PathBuf,
}

impl PodFiles {
    /// Writes `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of the pod.
    pub(crate) fn write(directory: &Path, pod: &Pod, hostname: &str, ip: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("etc-hostname"), format!("{hostname}\n"))?;
        let aliases = pod
            .spec
            .iter()
            .flat_map(|spec| spec.host_aliases.iter().flatten());
        let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network);
        let loopback = if host_network == Some(true) {
            // The nodes share the machine's, so each one's own is at its address.
            format!("{ip}\tlocalhost\n")
        } else {
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
        };
        let mut hosts = "# Kubernetes-managed hosts file.\n".to_owned();
        hosts.push_str(&loopback);
        hosts.push_str(
            "fe00::0\tip6-localnet\n\
                         fe00::0\tip6-mcastprefix\n\
                         fe00::1\tip6-allnodes\n\
                         fe00::2\tip6-allrouters\n",
        );
        hosts.push_str(&format!("{ip}\t{hostname}\n"));
        for alias in aliases {
            let names = alias
                .hostnames
                .iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>();
            hosts.push_str(&format!("{}\t{}\n", alias.ip, names.join("\t")));
        }
        fs::write(directory.join("etc-hosts"), hosts)?;
        let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
        fs::write(directory.join("resolv.conf"), resolver)?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The termination log of one start of a container.
    pub(crate) fn termination_log(&self, container: &str, attempt: u32) -> PathBuf {
        self.directory
            .join("containers")
            .join(container)
            .join(format!("termination-{attempt}"))
    }
}

/// The host name of a pod: the first part of its name, or what it asks for.
pub(crate) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec
        .and_then(|spec| spec.hostname.clone())
        .filter(|name| !name.is_empty())
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    let mut name: String = name.chars().take(63).collect();
    while name.ends_with(['-', '.']) {
        name.pop();
    }
    name
}

/// The mounts of one start of a container. The error is for a container that waits with
/// `CreateContainerConfigError`.
pub(crate) fn mounts(
    files: &PodFiles,
    spec: &PodSpec,
    container: &Container,
    volumes: &BTreeMap<String, Mounted>,
    env: &[(String, String)],
    attempt: u32,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes
            .get(&mount.name)
            .ok_or_else(|| format!("volume {:?} is not there", mount.name))?;
        let below = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => expand(path, env),
            (None, None) => String::new(),
        };
        let source = sub_path(&volume.path, &below)?;
        mounts.push(Mount {
            source,
            destination: mount.mount_path.clone(),
            read_only: volume.read_only || mount.read_only == Some(true),
        });
    }
    let log = files.termination_log(&container.name, attempt);
    make_writable(&log).map_err(|error| error.to_string())?;
    let mut own = vec![
        ("/etc/hosts", files.directory.join("etc-hosts")),
        ("/etc/hostname", files.directory.join("etc-hostname")),
        ("/etc/resolv.conf", files.directory.join("resolv.conf")),
        (termination_path(container), log),
    ];
    // What the pod mounts itself is not mounted over.
    own.retain(|(destination, _)| mounts.iter().all(|mount| mount.destination != *destination));
    if spec.host_network == Some(true) {
        own.retain(|(destination, _)| *destination != "/etc/hostname");
    }
    mounts.extend(own.into_iter().map(|(destination, source)| Mount {
        source,
        destination: destination.to_owned(),
        read_only: false,
    }));
    Ok(mounts)
}

fn termination_path(container: &Container) -> &str {
    container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log")
}

fn sub_path(volume: &Path, below: &str) -> Result<PathBuf, String> {
    if Path::new(below)
        .components()
        .any(|part| !matches!(part, std::path::Component::Normal(_)))
    {
        return Err(format!(
            "subPath {below:?} must be relative and without '..'"
        ));
    }
    let path = volume.join(below);
    if !path.exists() {
        fs::create_dir_all(&path)
            .map_err(|error| format!("failed to create subPath directory {below:?}: {error}"))?;
    }
    Ok(path)
}

/// The file that a container writes its last words to, whoever it runs as.
fn make_writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, "")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_short_and_ends_well() {
        let named = |name: &str| {
            hostname(&Pod {
                metadata: kube::api::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..Default::default()
                },
                ..Pod::default()
            })
        };
        assert_eq!(named("worker-0"), "worker-0");
        let long = format!("{}-{}", "a".repeat(62), "b".repeat(10));
        assert_eq!(named(&long), "a".repeat(62));
    }

    #[test]
    fn a_sub_path_stays_in_its_volume() {
        let volume = tempfile::tempdir().expect("a directory can be made");
        sub_path(volume.path(), "../x").expect_err("leads out");
        sub_path(volume.path(), "/x").expect_err("is absolute");
        let path = sub_path(volume.path(), "a/b").expect("is made");
        assert!(path.is_dir());
    }
}
