//! The attach-detach controller, and the attacher of the sandbox's network storage: a
//! VolumeAttachment for every volume that pods on a node want, and none for the rest.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::attachments::{Step, World};
use crate::controllers::{RETRY, observe};
use crate::node::{Recorder, Severity};
use crate::storage::attachment_name;

/// How soon what waits for time to pass is looked at again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (_, pods) = observe::<Pod>(Api::all(client.clone()));
    let (_, claims) = observe::<PersistentVolumeClaim>(Api::all(client.clone()));
    let (_, attachments) = observe::<VolumeAttachment>(Api::all(client.clone()));
    let (_, nodes) = observe::<Node>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        pods.boxed(),
        claims.boxed(),
        attachments.boxed(),
        nodes.boxed(),
    ]);
    let mut attacher = Attacher {
        recorder: Recorder::new(client.clone(), "attachdetach-controller", None),
        client,
        asked: BTreeMap::new(),
        refused: HashSet::new(),
    };
    let mut pause = PATIENCE;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(pause) => {}
        }
        pause = match attacher.pass().await {
            Ok(()) => PATIENCE,
            Err(error) => {
                tracing::debug!(%error, "volumes not attached");
                RETRY
            }
        };
    }
}

struct Attacher {
    client: Client,
    recorder: Recorder,
    /// Since when nobody wants an attachment.
    asked: BTreeMap<String, Timestamp>,
    /// What has been said about which volume on which node: it is said once.
    refused: HashSet<(String, String)>,
}

impl Attacher {
    async fn pass(&mut self) -> kube::Result<()> {
        let attachments = self.list::<VolumeAttachment>().await?;
        let volumes = self.list::<PersistentVolume>().await?;
        if attachments.is_empty() && !volumes.iter().any(is_attachable) {
            return Ok(());
        }
        let world = World {
            pods: self.list().await?,
            claims: self.list().await?,
            volumes,
            attachments,
            // After the pods: a pod that is not among them has not yet told its kubelet to hold
            // on to anything.
            nodes: self.list().await?,
        };
        let steps = world.plan(&mut self.asked, Timestamp::now());
        let mut still = HashSet::new();
        for step in steps {
            match step {
                Step::Detach(name) => self.detach(&name).await?,
                Step::Attach(volume, node, pods) => self.attach(volume, &node, &pods).await?,
                Step::Refuse(volume, node, refusals) => {
                    let key = (volume.name_any(), node);
                    if !self.refused.contains(&key) {
                        for (pod, message) in refusals {
                            self.tell(pod, Severity::Warning, "FailedAttachVolume", message);
                        }
                    }
                    still.insert(key);
                }
            }
        }
        self.refused = still;
        Ok(())
    }

    async fn list<K>(&self) -> kube::Result<Vec<K>>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let listed = Api::<K>::all(self.client.clone())
            .list(&ListParams::default())
            .await?;
        Ok(listed.items)
    }

    async fn attach(
        &self,
        volume: &PersistentVolume,
        node: &str,
        pods: &[&Pod],
    ) -> kube::Result<()> {
        let Some(csi) = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()) else {
            return Ok(());
        };
        let name = attachment_name(&csi.driver, &csi.volume_handle, node);
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": { "name": name },
            "spec": {
                "attacher": csi.driver,
                "nodeName": node,
                "source": { "persistentVolumeName": volume.name_any() },
            },
        });
        let attachment = serde_json::from_value(attachment).map_err(kube::Error::SerdeError)?;
        let attachments = Api::<VolumeAttachment>::all(self.client.clone());
        match attachments
            .create(&PostParams::default(), &attachment)
            .await
        {
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            created => drop(created?),
        }
        let patch = Patch::Merge(json!({ "status": { "attached": true } }));
        attachments
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
        for pod in pods {
            let message = format!(
                "AttachVolume.Attach succeeded for volume {:?} ",
                volume.name_any()
            );
            self.tell(pod, Severity::Normal, "SuccessfulAttachVolume", message);
        }
        Ok(())
    }

    async fn detach(&self, name: &str) -> kube::Result<()> {
        let attachments = Api::<VolumeAttachment>::all(self.client.clone());
        match attachments.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    fn tell(&self, pod: &Pod, severity: Severity, reason: &str, message: String) {
        self.recorder
            .record(pod.object_ref(&()), severity, reason, message);
    }
}

fn is_attachable(volume: &PersistentVolume) -> bool {
    volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some())
}
