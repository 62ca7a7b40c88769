//! The claims that a pod mounts, as its kubelet sees to them: bound, attached to the node, and
//! where their data lies.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::context::{PodContext, Stop, sleep};
use super::volumes::{Mounted, host_path};
use crate::node::events::Severity;
use crate::node::faults::Point;
use crate::storage::{NETWORK_DRIVER, attachment_name, unique_name};

/// How often a kubelet looks whether a volume is attached.
const LOOK: Duration = Duration::from_millis(200);
/// How long a kubelet waits for a pod's volumes before it complains.
const COMPLAIN: Duration = Duration::from_secs(123);

/// Waits for all claims of the pod and gives where they lie, by the names of the pod's volumes.
/// Nothing if the pod is to stop first.
pub(super) async fn mount(context: &PodContext, stop: &Stop) -> Option<BTreeMap<String, Mounted>> {
    let mut mounted = BTreeMap::new();
    for volume in context.spec().volumes.into_iter().flatten() {
        let Some(source) = volume.persistent_volume_claim else {
            continue;
        };
        let claim = Claim {
            context,
            volume: volume.name.clone(),
            source,
        };
        mounted.insert(volume.name, claim.mount(stop).await?);
    }
    Some(mounted)
}

/// Lets go of everything that the pod had mounted.
pub(super) fn release(context: &PodContext) {
    let uid = context.pod.uid().unwrap_or_default();
    context.kubelet.volumes.release(&uid);
}

/// One claim of the pod.
struct Claim<'a> {
    context: &'a PodContext,
    volume: String,
    source: PersistentVolumeClaimVolumeSource,
}

impl Claim<'_> {
    async fn mount(&self, stop: &Stop) -> Option<Mounted> {
        loop {
            let mounted = async {
                let volume = self.volume().await?;
                match &volume.spec.clone().unwrap_or_default().csi {
                    Some(csi) if csi.driver == NETWORK_DRIVER => {
                        self.attached(&volume, &csi.driver, &csi.volume_handle, stop)
                            .await?;
                    }
                    _ => {}
                }
                self.place(&volume)
            };
            match mounted.await {
                Ok(mounted) => return Some(mounted),
                Err(Failure::Stopped) => return None,
                Err(Failure::Event(reason, message)) => {
                    self.context.event(None, Severity::Warning, reason, message);
                }
            }
            let pause = self.context.kubelet.backoff.min(Duration::from_secs(1));
            if !sleep(stop, pause).await {
                return None;
            }
        }
    }

    /// The volume that the claim is bound to.
    async fn volume(&self) -> Result<PersistentVolume, Failure> {
        let client = &self.context.kubelet.client;
        let namespace = self.context.pod.namespace().unwrap_or_default();
        let name = &self.source.claim_name;
        let failed = |why: String| {
            let volume = &self.volume;
            Failure::Event(
                "FailedMount",
                format!(
                    "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process volumes=[{volume}]: error processing PVC {namespace}/{name}: {why}"
                ),
            )
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let claim = claims.get(name).await.map_err(|error| {
            failed(format!(
                "failed to fetch PVC from API server: {}",
                words(&error)
            ))
        })?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(failed("PVC is being deleted".to_owned()));
        }
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let volume = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone());
        let (Some("Bound"), Some(volume)) = (phase, volume) else {
            return Err(failed("PVC is not bound".to_owned()));
        };
        let volumes = Api::<PersistentVolume>::all(client.clone());
        volumes.get(&volume).await.map_err(|error| {
            failed(format!(
                "failed to fetch PV {volume} from API server: {}",
                words(&error)
            ))
        })
    }

    /// Waits until the volume is attached to this node.
    async fn attached(
        &self,
        volume: &PersistentVolume,
        driver: &str,
        handle: &str,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let kubelet = &self.context.kubelet;
        let pod = self.context.full_name();
        let ordered = kubelet.faults.strike(&kubelet.name, &pod, Point::Attach);
        if let Some(error) = ordered.await {
            let name = volume.name_any();
            let message = format!("AttachVolume.Attach failed for volume {name:?} : {error}");
            return Err(Failure::Event("FailedAttachVolume", message));
        }
        let attachments = Api::<VolumeAttachment>::all(kubelet.client.clone());
        let name = attachment_name(driver, handle, &kubelet.name);
        let began = Instant::now();
        // Held before it is looked at: what the node says it uses is not taken from it.
        self.hold(volume, &unique_name(driver, handle)).await?;
        loop {
            let attachment = attachments.get_opt(&name).await.unwrap_or_default();
            let attached = attachment.is_some_and(|attachment| {
                attachment.metadata.deletion_timestamp.is_none()
                    && attachment.status.is_some_and(|status| status.attached)
            });
            if attached {
                return Ok(());
            }
            if began.elapsed() > COMPLAIN {
                let volume = &self.volume;
                return Err(Failure::Event(
                    "FailedMount",
                    format!(
                        "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process volumes=[]: context deadline exceeded"
                    ),
                ));
            }
            if !sleep(stop, LOOK).await {
                return Err(Failure::Stopped);
            }
        }
    }

    /// Says that the node uses the volume.
    async fn hold(&self, volume: &PersistentVolume, name: &str) -> Result<(), Failure> {
        let kubelet = &self.context.kubelet;
        let uid = self.context.pod.uid().unwrap_or_default();
        let modes = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.access_modes.as_ref());
        let alone = modes
            .into_iter()
            .flatten()
            .any(|mode| mode == "ReadWriteOncePod");
        if !kubelet.volumes.take(name, &uid, alone) {
            return Err(self.not_set_up(
                volume,
                "volume uses the ReadWriteOncePod access mode and is already in use by another pod",
            ));
        }
        kubelet
            .report_volumes()
            .await
            .map_err(|error| self.not_set_up(volume, &words(&error)))
    }

    /// Where the volume lies.
    fn place(&self, volume: &PersistentVolume) -> Result<Mounted, Failure> {
        let kubelet = &self.context.kubelet;
        let spec = volume.spec.clone().unwrap_or_default();
        let read_only = self.source.read_only == Some(true);
        if let Some(csi) = &spec.csi {
            let path = kubelet.storage.network(&csi.volume_handle);
            let path = path.filter(|path| csi.driver == NETWORK_DRIVER && path.is_dir());
            return path
                .map(|path| Mounted {
                    path,
                    read_only: read_only || csi.read_only == Some(true),
                })
                .ok_or_else(|| {
                    self.not_set_up(volume, "rpc error: code = NotFound desc = no such volume")
                });
        }
        if !admits(&spec, &kubelet.name) {
            return Err(Failure::Event(
                "FailedMount",
                format!(
                    "MountVolume.NodeAffinity check failed for volume {:?} : no matching NodeSelectorTerms",
                    volume.name_any()
                ),
            ));
        }
        if let Some(local) = &spec.local {
            let path = kubelet.storage.on_node(&kubelet.name, &local.path);
            return match path.filter(|path| path.exists()) {
                Some(path) => Ok(Mounted { path, read_only }),
                None => Err(Failure::Event(
                    "FailedMount",
                    format!(
                        "MountVolume.NewMounter initialization failed for volume {:?} : path {:?} does not exist",
                        volume.name_any(),
                        local.path
                    ),
                )),
            };
        }
        if let Some(source) = &spec.host_path {
            let path = host_path(&kubelet.dir, source);
            return match path {
                Ok(path) => Ok(Mounted { path, read_only }),
                Err(why) => Err(self.not_set_up(volume, &why)),
            };
        }
        Err(self.not_set_up(volume, "this kind of volume is not there in the sandbox"))
    }

    fn not_set_up(&self, volume: &PersistentVolume, why: &str) -> Failure {
        let name = volume.name_any();
        let message = format!("MountVolume.SetUp failed for volume {name:?} : {why}");
        Failure::Event("FailedMount", message)
    }
}

/// Why a claim is not mounted.
enum Failure {
    /// The pod is to stop.
    Stopped,
    /// Reason and message of an event; it is tried again.
    Event(&'static str, String),
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(answer) => answer.message.clone(),
        error => error.to_string(),
    }
}

/// Whether the volume's node affinity admits the node. A kubelet knows its own labels; of those
/// that provisioners use, its host name.
fn admits(spec: &PersistentVolumeSpec, node: &str) -> bool {
    let affinity = spec.node_affinity.as_ref();
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else {
        return true;
    };
    required.node_selector_terms.iter().any(|term| {
        term.match_expressions.iter().flatten().all(|requirement| {
            let listed = requirement
                .values
                .iter()
                .flatten()
                .any(|value| value == node);
            requirement.key != "kubernetes.io/hostname" || (requirement.operator == "In") == listed
        })
    })
}
