//! The binder and provisioner: gives claims their volumes, makes what is missing, and removes
//! what nobody claims any more.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttachment};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::binding::{BIND_COMPLETED, ClaimStep, VolumeStep, claim_step, volume_step};
use super::provisioning::{DATA_FINALIZER, claim_reference, data, make, new_volume};
use crate::controllers::{RETRY, observe};
use crate::node::{Recorder, Severity};
use crate::storage::Storage;

const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

/// Runs until the task is dropped.
pub(super) async fn run(client: Client, storage: Storage) {
    let (_, claims) = observe::<PersistentVolumeClaim>(Api::all(client.clone()));
    let (_, volumes) = observe::<PersistentVolume>(Api::all(client.clone()));
    let (_, classes) = observe::<StorageClass>(Api::all(client.clone()));
    let (_, attachments) = observe::<VolumeAttachment>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        claims.boxed(),
        volumes.boxed(),
        classes.boxed(),
        attachments.boxed(),
    ]);
    let mut binder = Binder {
        recorder: Recorder::new(client.clone(), "persistentvolume-controller", None),
        client,
        storage,
        told: HashSet::new(),
    };
    let mut again = false;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(RETRY), if again => {}
        }
        let passed = binder.pass().await;
        again = passed.is_err();
        if let Err(error) = passed {
            tracing::debug!(%error, "claims not bound");
        }
    }
}

struct Binder {
    client: Client,
    storage: Storage,
    recorder: Recorder,
    /// What has been said of which claim, by uid and reason: nothing is said with every pass.
    told: HashSet<(String, &'static str)>,
}

impl Binder {
    /// Looks at all volumes and claims, as they are and not as they were seen last.
    async fn pass(&mut self) -> kube::Result<()> {
        let all = ListParams::default();
        let api = |client: &Client| Api::<PersistentVolume>::all(client.clone());
        // The volumes first: a claim that one of them names is then there, or gone.
        let volumes = api(&self.client).list(&all).await?.items;
        let claims = Api::<PersistentVolumeClaim>::all(self.client.clone())
            .list(&all)
            .await?
            .items;
        for volume in &volumes {
            self.volume(volume, &claims).await?;
        }
        let classes = Api::<StorageClass>::all(self.client.clone())
            .list(&all)
            .await?
            .items;
        let nodes = Api::<Node>::all(self.client.clone())
            .list(&all)
            .await?
            .items;
        self.told
            .retain(|(uid, _)| claims.iter().any(|claim| claim.uid().as_ref() == Some(uid)));
        for claim in claims
            .iter()
            .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        {
            // Again for each: the claim before may have taken one.
            let volumes = api(&self.client).list(&all).await?.items;
            let step = claim_step(claim, &volumes, &classes, &nodes);
            self.claim(claim, step).await?;
        }
        Ok(())
    }

    async fn claim(
        &mut self,
        claim: &PersistentVolumeClaim,
        step: ClaimStep<'_>,
    ) -> kube::Result<()> {
        match step {
            ClaimStep::Nothing => Ok(()),
            ClaimStep::Bind(volume) => self.bind(claim, volume).await,
            ClaimStep::Provision { class, node } => self.provision(claim, class, node).await,
            ClaimStep::Lost => {
                let message =
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                self.tell(claim, Severity::Warning, "ClaimLost", message.to_owned());
                self.claim_status(claim, json!({ "phase": "Lost" })).await
            }
            ClaimStep::Wait(warning, reason, message) => {
                let severity = if warning {
                    Severity::Warning
                } else {
                    Severity::Normal
                };
                self.tell(claim, severity, reason, message);
                Ok(())
            }
        }
    }

    fn tell(
        &mut self,
        claim: &PersistentVolumeClaim,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        if self.told.insert((claim.uid().unwrap_or_default(), reason)) {
            let object = claim.object_ref(&());
            self.recorder.record(object, severity, reason, message);
        }
    }

    /// The volume says first whose it is: whoever stops half-way can then go on.
    async fn bind(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
    ) -> kube::Result<()> {
        let spec = volume.spec.clone().unwrap_or_default();
        let reference = spec.claim_ref.as_ref();
        if reference.is_none_or(|reference| reference.uid.is_none()) {
            let mut patch = json!({
                "metadata": { "resourceVersion": volume.resource_version() },
                "spec": { "claimRef": claim_reference(claim) },
            });
            if reference.is_none() {
                patch["metadata"]["annotations"] = json!({ BOUND_BY_US: "yes" });
            }
            self.patch_volume(volume, patch).await?;
        }
        self.phase(volume, "Bound").await?;
        let named = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_ref());
        let mut annotations = json!({ BIND_COMPLETED: "yes" });
        if named.is_none_or(String::is_empty) {
            annotations[BOUND_BY_US] = json!("yes");
        }
        let patch = json!({
            "metadata": { "uid": claim.uid(), "annotations": annotations },
            "spec": { "volumeName": volume.name_any() },
        });
        self.patch_claim(claim, patch).await?;
        let status = json!({
            "phase": "Bound",
            "accessModes": spec.access_modes,
            "capacity": spec.capacity,
        });
        self.claim_status(claim, status).await
    }

    /// Makes a volume and its directory. Its name comes of the claim's uid, so it is made once.
    async fn provision(
        &mut self,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        node: Option<String>,
    ) -> kube::Result<()> {
        let name = format!("pvc-{}", claim.uid().unwrap_or_default());
        let annotation = json!({ "metadata": {
            "uid": claim.uid(), "annotations": { PROVISIONER: class.provisioner },
        } });
        self.patch_claim(claim, annotation).await?;
        let volume = new_volume(claim, class, &name, node.as_deref());
        let volume: PersistentVolume =
            serde_json::from_value(volume).map_err(kube::Error::SerdeError)?;
        let made = data(&self.storage, &volume).map_or(Ok(()), |path| make(&path));
        if let Err(error) = made {
            let message = format!(
                "failed to provision volume with StorageClass {:?}: {error}",
                class.name_any()
            );
            self.tell(claim, Severity::Warning, "ProvisioningFailed", message);
            return Ok(());
        }
        let volumes = Api::<PersistentVolume>::all(self.client.clone());
        match volumes.create(&PostParams::default(), &volume).await {
            Err(kube::Error::Api(answer)) if answer.code == 409 => return Ok(()),
            created => drop(created?),
        }
        let message = format!("Successfully provisioned volume {name}");
        self.tell(claim, Severity::Normal, "ProvisioningSucceeded", message);
        Ok(())
    }

    async fn volume(
        &self,
        volume: &PersistentVolume,
        claims: &[PersistentVolumeClaim],
    ) -> kube::Result<()> {
        match volume_step(volume, claims) {
            VolumeStep::Nothing => Ok(()),
            VolumeStep::Phase(phase) => self.phase(volume, phase).await,
            VolumeStep::Reclaim => self.reclaim(volume).await,
        }
    }

    async fn reclaim(&self, volume: &PersistentVolume) -> kube::Result<()> {
        let name = volume.name_any();
        let attachments = Api::<VolumeAttachment>::all(self.client.clone());
        let attached = attachments.list(&ListParams::default()).await?;
        // Its end is a change, which comes by here again.
        if attached
            .iter()
            .any(|one| one.spec.source.persistent_volume_name.as_ref() == Some(&name))
        {
            return Ok(());
        }
        if let Some(path) = data(&self.storage, volume)
            && let Err(error) = std::fs::remove_dir_all(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let message = error.to_string();
            let object = volume.object_ref(&());
            self.recorder
                .record(object, Severity::Warning, "VolumeFailedDelete", message);
            return Ok(());
        }
        let volumes = Api::<PersistentVolume>::all(self.client.clone());
        match volumes.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
            deleted => drop(deleted?),
        }
        let mut finalizers = volume.finalizers().to_vec();
        finalizers.retain(|one| one != DATA_FINALIZER);
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        self.patch_volume(volume, patch).await
    }

    async fn phase(&self, volume: &PersistentVolume, phase: &str) -> kube::Result<()> {
        let volumes = Api::<PersistentVolume>::all(self.client.clone());
        let patch = Patch::Merge(json!({ "status": { "phase": phase } }));
        let parameters = PatchParams::default();
        gone_is_fine(
            volumes
                .patch_status(&volume.name_any(), &parameters, &patch)
                .await,
        )
    }

    async fn patch_volume(&self, volume: &PersistentVolume, patch: Value) -> kube::Result<()> {
        let volumes = Api::<PersistentVolume>::all(self.client.clone());
        let (name, parameters) = (volume.name_any(), PatchParams::default());
        gone_is_fine(
            volumes
                .patch(&name, &parameters, &Patch::Merge(patch))
                .await,
        )
    }

    async fn patch_claim(&self, claim: &PersistentVolumeClaim, patch: Value) -> kube::Result<()> {
        let (claims, name) = (self.claims_of(claim), claim.name_any());
        let parameters = PatchParams::default();
        gone_is_fine(claims.patch(&name, &parameters, &Patch::Merge(patch)).await)
    }

    async fn claim_status(&self, claim: &PersistentVolumeClaim, status: Value) -> kube::Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "uid": claim.uid() }, "status": status }));
        let (claims, name) = (self.claims_of(claim), claim.name_any());
        gone_is_fine(
            claims
                .patch_status(&name, &PatchParams::default(), &patch)
                .await,
        )
    }

    fn claims_of(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
    }
}

fn gone_is_fine<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        answer => answer.map(drop),
    }
}
