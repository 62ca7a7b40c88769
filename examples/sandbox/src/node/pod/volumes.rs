//! The volumes of a pod, made as directories and files on its node.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, Secret, Volume,
    VolumeProjection,
};
use kube::{Api, Client};

use super::env::{Addresses, field, resource};
use crate::node::images::ImageStore;

/// What a volume needs to be made.
pub(crate) struct Volumes<'a> {
    pub(crate) client: &'a Client,
    pub(crate) images: &'a ImageStore,
    /// The node's own file system, in which host paths lie.
    pub(crate) node_root: &'a Path,
    /// The pod's directory on the node.
    pub(crate) pod_dir: &'a Path,
    pub(crate) pod: &'a Pod,
    pub(crate) addresses: &'a Addresses,
    /// The pod's claims, which are there already.
    pub(crate) claims: &'a BTreeMap<String, Mounted>,
}

/// A volume as it lies on the node.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    pub(crate) path: PathBuf,
    pub(crate) read_only: bool,
}

impl Volumes<'_> {
    /// Makes all volumes of the pod. The error is the message of a `FailedMount` event.
    ///
    /// Image volumes must have been pulled.
    pub(crate) async fn make(&self) -> Result<BTreeMap<String, Mounted>, String> {
        let mut made = BTreeMap::new();
        let spec = self.pod.spec.as_ref();
        for volume in spec
            .and_then(|spec| spec.volumes.as_ref())
            .into_iter()
            .flatten()
        {
            let mounted = self.make_one(volume).await.map_err(|error| {
                format!(
                    "MountVolume.SetUp failed for volume {:?} : {error}",
                    volume.name
                )
            })?;
            made.insert(volume.name.clone(), mounted);
        }
        Ok(made)
    }

    async fn make_one(&self, volume: &Volume) -> Result<Mounted, String> {
        if let Some(source) = &volume.host_path {
            let path = host_path(self.node_root, source)?;
            return Ok(Mounted {
                path,
                read_only: false,
            });
        }
        if let Some(claim) = self.claims.get(&volume.name) {
            return Ok(claim.clone());
        }
        if let Some(source) = &volume.image {
            let name = source.reference.clone().unwrap_or_default();
            let image = self
                .images
                .find(&name)
                .ok_or_else(|| format!("image {name:?} is not on the node"))?;
            return Ok(Mounted {
                path: image.rootfs.clone(),
                read_only: true,
            });
        }
        let (kind, files, mode) = if volume.empty_dir.is_some() {
            ("empty-dir", None, 0o777)
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let data = self.secret(&name, source.optional == Some(true)).await?;
            (
                "secret",
                Some(pick(data, source.items.as_deref())?),
                mode(source.default_mode),
            )
        } else if let Some(source) = &volume.config_map {
            let data = self
                .config_map(&source.name, source.optional == Some(true))
                .await?;
            (
                "configmap",
                Some(pick(data, source.items.as_deref())?),
                mode(source.default_mode),
            )
        } else if let Some(source) = &volume.downward_api {
            let files = self.downward(source.items.as_deref().unwrap_or_default())?;
            ("downward-api", Some(files), mode(source.default_mode))
        } else if let Some(source) = &volume.projected {
            let mut files = BTreeMap::new();
            for source in source.sources.iter().flatten() {
                files.extend(self.projection(source).await?);
            }
            ("projected", Some(files), mode(source.default_mode))
        } else {
            return Err("this kind of volume is not there in the sandbox".to_owned());
        };
        let path = self
            .pod_dir
            .join("volumes")
            .join(format!("kubernetes.io~{kind}"))
            .join(&volume.name);
        self.write(&path, files.as_ref(), mode)
            .map_err(|error| error.to_string())?;
        Ok(Mounted {
            path,
            read_only: files.is_some(),
        })
    }

    fn write(
        &self,
        path: &Path,
        files: Option<&BTreeMap<String, Vec<u8>>>,
        mode: u32,
    ) -> io::Result<()> {
        fs::create_dir_all(path)?;
        for (name, content) in files.into_iter().flatten() {
            let file = path.join(name.trim_start_matches('/'));
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&file, content)?;
            self.own(&file, mode)?;
        }
        let directory_mode = if files.is_some() { 0o755 } else { mode };
        self.own(path, directory_mode)
    }

    /// Sets the mode, and where the pod has a group for its volumes, the group.
    fn own(&self, path: &Path, mode: u32) -> io::Result<()> {
        let spec = self.pod.spec.as_ref();
        let group = spec
            .and_then(|spec| spec.security_context.as_ref()?.fs_group)
            .and_then(|group| u32::try_from(group).ok());
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        // Only root may give files away. Without root there is but one user anyway.
        if let Some(group) = group.filter(|_| rustix::process::geteuid().is_root()) {
            chown(path, None, Some(group))?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode | (mode & 0o700) >> 3))?;
        }
        Ok(())
    }

    async fn projection(
        &self,
        source: &VolumeProjection,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut files = BTreeMap::new();
        if let Some(source) = &source.service_account_token {
            files.insert(source.path.clone(), self.token().into_bytes());
        }
        if let Some(source) = &source.secret {
            let data = self
                .secret(&source.name, source.optional == Some(true))
                .await?;
            files.extend(pick(data, source.items.as_deref())?);
        }
        if let Some(source) = &source.config_map {
            let data = self
                .config_map(&source.name, source.optional == Some(true))
                .await?;
            files.extend(pick(data, source.items.as_deref())?);
        }
        if let Some(source) = &source.downward_api {
            files.extend(self.downward(source.items.as_deref().unwrap_or_default())?);
        }
        Ok(files)
    }

    /// The token by which the sandbox's API server knows the pod's service account.
    fn token(&self) -> String {
        let spec = self.pod.spec.as_ref();
        let account = spec
            .and_then(|spec| spec.service_account_name.as_deref())
            .filter(|name| !name.is_empty())
            .unwrap_or("default");
        format!("sa/{}/{account}", self.namespace())
    }

    fn downward(
        &self,
        items: &[DownwardAPIVolumeFile],
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let containers = self.pod.spec.iter().flat_map(|spec| &spec.containers);
        let value = |item: &DownwardAPIVolumeFile| {
            if let Some(selector) = &item.field_ref {
                return field(self.pod, selector, self.addresses);
            }
            let selector = item.resource_field_ref.as_ref()?;
            let container = containers
                .clone()
                .find(|container| Some(&container.name) == selector.container_name.as_ref())?;
            resource(container, selector)
        };
        items
            .iter()
            .map(|item| {
                let value =
                    value(item).ok_or_else(|| format!("no such field for {}", item.path))?;
                Ok((item.path.clone(), value.into_bytes()))
            })
            .collect()
    }

    async fn secret(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace());
        match api.get_opt(name).await.map_err(|error| error.to_string())? {
            Some(secret) => {
                let data = secret.data.unwrap_or_default().into_iter();
                Ok(data.map(|(key, value)| (key, value.0)).collect())
            }
            None if optional => Ok(BTreeMap::new()),
            None => Err(format!("secret {name:?} not found")),
        }
    }

    async fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace());
        match api.get_opt(name).await.map_err(|error| error.to_string())? {
            Some(map) => {
                let text = map.data.unwrap_or_default().into_iter();
                let binary = map.binary_data.unwrap_or_default().into_iter();
                Ok(text
                    .map(|(key, value)| (key, value.into_bytes()))
                    .chain(binary.map(|(key, value)| (key, value.0)))
                    .collect())
            }
            None if optional => Ok(BTreeMap::new()),
            None => Err(format!("configmap {name:?} not found")),
        }
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }
}

fn mode(mode: Option<i32>) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok())
        .unwrap_or(0o644)
}

/// The entries of a source that its items name, under the items' paths; all without items.
fn pick(
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let Some(items) = items else {
        return Ok(data);
    };
    items
        .iter()
        .map(|item| {
            let content = data
                .remove(&item.key)
                .ok_or_else(|| format!("references non-existent key: {}", item.key))?;
            Ok((item.path.clone(), content))
        })
        .collect()
}

/// A path of the node, checked and made as the type of the volume says.
pub(super) fn host_path(root: &Path, source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = root.join(source.path.trim_start_matches('/'));
    if Path::new(&source.path)
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        return Err(format!("hostPath {:?} must not contain '..'", source.path));
    }
    let failed = |error: io::Error| error.to_string();
    let kind = source.type_.as_deref().unwrap_or_default();
    match kind {
        // Without a type nothing is checked, and the runtime makes what is missing.
        "" | "DirectoryOrCreate" if !path.exists() => {
            fs::create_dir_all(&path).map_err(failed)?;
        }
        "FileOrCreate" if !path.exists() => {
            fs::write(&path, "").map_err(failed)?;
        }
        "Directory" if !path.is_dir() => {
            return Err(format!(
                "hostPath type check failed: {} is not a directory",
                source.path
            ));
        }
        "File" if !path.is_file() => {
            return Err(format!(
                "hostPath type check failed: {} is not a file",
                source.path
            ));
        }
        _ => {}
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_lie_in_the_node() {
        let root = tempfile::tempdir().expect("a directory can be made");
        let source = |path: &str, kind: &str| HostPathVolumeSource {
            path: path.to_owned(),
            type_: Some(kind.to_owned()),
        };
        let missing = host_path(root.path(), &source("/var/x", "Directory"));
        assert!(
            missing
                .expect_err("is not there")
                .contains("is not a directory")
        );
        let made = host_path(root.path(), &source("/var/x", "DirectoryOrCreate"));
        assert_eq!(made.expect("is made"), root.path().join("var/x"));
        host_path(root.path(), &source("/var/x", "Directory")).expect("is there now");
        host_path(root.path(), &source("/../x", "")).expect_err("leads out of the node");
    }
}
