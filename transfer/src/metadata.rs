//! The facts of a checkpoint that its image's annotations and configuration repeat, taken from
//! the archive's `config.dump` and `spec.dump`.
//!
//! `config.dump` is checkpointctl's `ContainerConfig`, `spec.dump` an OCI runtime specification.
//! Only what is used is read; what is absent stays absent.

use std::collections::HashMap;

use serde::Deserialize;

use crate::archive::Contents;

/// What is known of the container that was checkpointed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the container.
    pub container: Option<String>,
    /// Name of its pod.
    pub pod: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// `CRI-O`, `containerd`, or as the engine calls itself.
    pub engine: Option<String>,
    /// The OCI runtime, `runc` or `crun`.
    pub runtime: Option<String>,
    /// The base image as the pod named it.
    pub image_requested: Option<String>,
    /// The base image as the engine knows it, by digest.
    pub image_name: Option<String>,
    /// The base image's ID on the source node.
    pub image_id: Option<String>,
    /// `uid:gid` of the container's first process.
    pub user: Option<String>,
    /// When the container was started, RFC 3339.
    pub created: Option<String>,
    /// When the checkpoint was taken, RFC 3339.
    pub checkpointed: Option<String>,
    /// Whether the container had itself been restored.
    pub restored: bool,
    /// What was mounted into it from the node: where, and from where.
    pub mounts: Vec<(String, Option<String>)>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigDump {
    name: String,
    rootfs_image: String,
    rootfs_image_ref: String,
    rootfs_image_name: String,
    runtime: String,
    created_time: String,
    checkpointed_time: String,
    restored: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecDump {
    process: Option<Process>,
    annotations: HashMap<String, String>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mount {
    destination: String,
    source: String,
}

#[derive(Deserialize)]
struct Process {
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    uid: u32,
    gid: u32,
}

impl Metadata {
    /// Reads both dumps.
    ///
    /// # Errors
    /// Says which of them is not the JSON that it should be.
    pub fn read(contents: &Contents) -> Result<Self, String> {
        let config: ConfigDump = parse("config.dump", &contents.config_dump)?;
        let spec: SpecDump = parse("spec.dump", &contents.spec_dump)?;
        let names = Names::of(&spec.annotations);
        Ok(Self {
            container: names
                .find("container.name", "container-name")
                .or(some(config.name)),
            pod: names.find("pod.name", "sandbox-name"),
            namespace: names.find("pod.namespace", "sandbox-namespace"),
            engine: engine(&spec.annotations).map(str::to_owned),
            runtime: some(config.runtime),
            image_requested: some(config.rootfs_image),
            image_name: some(config.rootfs_image_name),
            image_id: some(config.rootfs_image_ref),
            user: spec
                .process
                .map(|process| format!("{}:{}", process.user.uid, process.user.gid)),
            created: moment(config.created_time),
            checkpointed: moment(config.checkpointed_time),
            restored: config.restored,
            mounts: from_outside(spec.mounts.unwrap_or_default()),
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("its {name} cannot be read: {error}"))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A time, unless it is what Go writes for none.
fn moment(text: String) -> Option<String> {
    some(text).filter(|text| !text.starts_with("0001-"))
}

/// Those of a path of the node: the others are made anew in every container.
fn from_outside(mounts: Vec<Mount>) -> Vec<(String, Option<String>)> {
    mounts
        .into_iter()
        .filter(|mount| mount.source.starts_with('/'))
        .map(|mount| (mount.destination, some(mount.source)))
        .collect()
}

/// Where the engines leave the Kubernetes names: CRI-O has the kubelet's labels as one JSON
/// object in an annotation, containerd an annotation for each.
struct Names<'a> {
    annotations: &'a HashMap<String, String>,
    labels: HashMap<String, String>,
}

impl<'a> Names<'a> {
    fn of(annotations: &'a HashMap<String, String>) -> Self {
        let labels = annotations
            .get("io.kubernetes.cri-o.Labels")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        Self {
            annotations,
            labels,
        }
    }

    fn find(&self, label: &str, cri: &str) -> Option<String> {
        let label = format!("io.kubernetes.{label}");
        let cri = format!("io.kubernetes.cri.{cri}");
        let found = self
            .labels
            .get(&label)
            .or_else(|| self.annotations.get(&label))
            .or_else(|| self.annotations.get(&cri));
        found.cloned().and_then(some)
    }
}

/// The engine under the name that checkpointctl gives it. Only CRI-O and podman sign their work.
fn engine(annotations: &HashMap<String, String>) -> Option<&str> {
    match annotations.get("io.container.manager").map(String::as_str) {
        Some("cri-o") => Some("CRI-O"),
        Some("libpod") => Some("Podman"),
        Some(other) => Some(other),
        None => annotations
            .keys()
            .any(|key| key.starts_with("io.kubernetes.cri."))
            .then_some("containerd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, spec: &str) -> Result<Metadata, String> {
        Metadata::read(&Contents {
            config_dump: config.into(),
            spec_dump: spec.into(),
            bytes: 0,
        })
    }

    #[test]
    fn crio_keeps_the_names_in_its_labels() {
        let metadata = read(
            r#"{"id":"7b1c","name":"k8s_worker_worker-0_shop_f00_0","rootfsImage":"registry/worker:1",
                "rootfsImageRef":"4be1","rootfsImageName":"registry/worker@sha256:aa","runtime":"runc",
                "createdTime":"2026-01-01T00:00:00Z","checkpointedTime":"0001-01-01T00:00:00Z","restored":false}"#,
            r#"{"ociVersion":"1.2.0","mounts":[{"destination":"/proc","type":"proc","source":"proc"},
                {"destination":"/data","type":"bind","source":"/var/lib/kubelet/pods/1/v","options":["rw"]}],"process":{"user":{"uid":65532,"gid":65534},"args":["/worker"]},
                "annotations":{"io.container.manager":"cri-o",
                "io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"worker\",\"io.kubernetes.pod.name\":\"worker-0\",\"io.kubernetes.pod.namespace\":\"shop\"}"}}"#,
        )
        .expect("both are JSON");
        assert_eq!(
            metadata,
            Metadata {
                container: Some("worker".into()),
                pod: Some("worker-0".into()),
                namespace: Some("shop".into()),
                engine: Some("CRI-O".into()),
                runtime: Some("runc".into()),
                image_requested: Some("registry/worker:1".into()),
                image_name: Some("registry/worker@sha256:aa".into()),
                image_id: Some("4be1".into()),
                user: Some("65532:65534".into()),
                created: Some("2026-01-01T00:00:00Z".into()),
                checkpointed: None,
                restored: false,
                mounts: vec![("/data".into(), Some("/var/lib/kubelet/pods/1/v".into()))],
            }
        );
    }

    #[test]
    fn containerd_keeps_them_in_annotations() {
        let metadata = read(
            r#"{"id":"1","name":"1","rootfsImageName":"registry/worker:1","runtime":"io.containerd.runc.v2"}"#,
            r#"{"process":{"user":{"uid":0,"gid":0}},"annotations":{
                "io.kubernetes.cri.container-name":"worker","io.kubernetes.cri.sandbox-name":"worker-0",
                "io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
        )
        .expect("both are JSON");
        assert_eq!(metadata.container.as_deref(), Some("worker"));
        assert_eq!(metadata.pod.as_deref(), Some("worker-0"));
        assert_eq!(metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(metadata.engine.as_deref(), Some("containerd"));
        assert_eq!(metadata.user.as_deref(), Some("0:0"));
        assert_eq!(metadata.image_id, None);
    }

    #[test]
    fn broken_json_is_named() {
        let failure = read("{", "{}").expect_err("it is no JSON");
        assert!(failure.contains("config.dump"));
    }
}
