//! What is to be attached and detached. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::ResourceExt as _;

use super::{has_mode, is_for, mounts};
use crate::storage::unique_name;

/// How long a volume stays with a node that is not well and has not let go of it.
const FORCE_AFTER: i64 = 6 * 60;
/// The taint by which somebody vouches that a node is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Everything as it is now.
pub(super) struct World {
    pub(super) pods: Vec<Pod>,
    pub(super) claims: Vec<PersistentVolumeClaim>,
    pub(super) volumes: Vec<PersistentVolume>,
    pub(super) attachments: Vec<VolumeAttachment>,
    pub(super) nodes: Vec<Node>,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The attachment of that name is to go.
    Detach(String),
    /// The volume is to be attached to the node, for these pods.
    Attach(&'a PersistentVolume, String, Vec<&'a Pod>),
    /// The volume cannot be attached to the node: each pod and what it is told.
    Refuse(&'a PersistentVolume, String, Vec<(&'a Pod, String)>),
}

impl World {
    /// What to do now. `asked` remembers since when nobody wants an attachment.
    pub(super) fn plan(
        &self,
        asked: &mut BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        let unwanted: BTreeSet<_> = self
            .attachments
            .iter()
            .filter(|one| !self.is_wanted(one))
            .map(|one| one.name_any())
            .collect();
        asked.retain(|name, _| unwanted.contains(name));
        for attachment in self
            .attachments
            .iter()
            .filter(|one| unwanted.contains(&one.name_any()))
        {
            let name = attachment.name_any();
            let since = *asked.entry(name.clone()).or_insert(now);
            if self.may_detach(attachment, since, now) {
                steps.push(Step::Detach(name));
            }
        }
        for volume in &self.volumes {
            for (node, pods) in self.users(volume) {
                if self.attached(volume).any(|one| one.spec.node_name == node) {
                    continue;
                }
                let step = match self.refusals(volume, &node, &pods) {
                    Some(refusals) => Step::Refuse(volume, node, refusals),
                    None => Step::Attach(volume, node, pods),
                };
                steps.push(step);
            }
        }
        steps
    }

    /// The pods that want an attachable volume, by their nodes. One that is over wants nothing.
    fn users(&self, volume: &PersistentVolume) -> BTreeMap<String, Vec<&Pod>> {
        let mut users = BTreeMap::<_, Vec<_>>::new();
        if volume.spec.as_ref().is_none_or(|spec| spec.csi.is_none()) {
            return users;
        }
        let Some(claim) = self.claims.iter().find(|claim| is_for(volume, claim)) else {
            return users;
        };
        for pod in self.pods.iter().filter(|pod| mounts(pod, claim)) {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            if let (Some(node), false) = (node, matches!(phase, Some("Succeeded" | "Failed"))) {
                users.entry(node).or_default().push(pod);
            }
        }
        users
    }

    fn attached(&self, volume: &PersistentVolume) -> impl Iterator<Item = &VolumeAttachment> {
        let name = volume.metadata.name.clone();
        self.attachments
            .iter()
            .filter(move |one| one.spec.source.persistent_volume_name == name)
    }

    fn volume_of(&self, attachment: &VolumeAttachment) -> Option<&PersistentVolume> {
        let name = &attachment.spec.source.persistent_volume_name;
        self.volumes
            .iter()
            .find(|volume| volume.metadata.name == *name)
    }

    fn is_wanted(&self, attachment: &VolumeAttachment) -> bool {
        self.volume_of(attachment)
            .is_some_and(|volume| self.users(volume).contains_key(&attachment.spec.node_name))
    }

    /// A kubelet that still has the volume mounted keeps it, unless its node is known to be off
    /// or has been unwell for long.
    fn may_detach(&self, attachment: &VolumeAttachment, since: Timestamp, now: Timestamp) -> bool {
        let name = &attachment.spec.node_name;
        let Some(node) = self.nodes.iter().find(|node| node.name_any() == *name) else {
            return true;
        };
        let Some(csi) = self
            .volume_of(attachment)
            .and_then(|volume| volume.spec.as_ref()?.csi.clone())
        else {
            return true;
        };
        let taints = node
            .spec
            .iter()
            .flat_map(|spec| spec.taints.iter().flatten());
        if taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE) {
            return true;
        }
        let used = unique_name(&csi.driver, &csi.volume_handle);
        let in_use = node
            .status
            .iter()
            .flat_map(|status| status.volumes_in_use.iter().flatten());
        if !in_use.into_iter().any(|name| *name == used) {
            return true;
        }
        !is_well(node) && now.duration_since(since).as_secs() >= FORCE_AFTER
    }

    /// What the pods are told if the volume is attached elsewhere and can be attached once only.
    fn refusals<'a>(
        &'a self,
        volume: &PersistentVolume,
        node: &str,
        pods: &[&'a Pod],
    ) -> Option<Vec<(&'a Pod, String)>> {
        let spec = volume.spec.as_ref()?;
        let modes = spec.access_modes.as_ref();
        if modes.is_none() || has_mode(modes, &["ReadWriteMany", "ReadOnlyMany"]) {
            return None;
        }
        let elsewhere: Vec<_> = self
            .attached(volume)
            .map(|one| one.spec.node_name.clone())
            .collect();
        if elsewhere.is_empty() {
            return None;
        }
        let users = self.users(volume);
        let mut names: Vec<_> = users
            .iter()
            .filter(|(other, _)| *other != node && elsewhere.contains(other))
            .flat_map(|(_, pods)| pods.iter().map(|pod| pod.name_any()))
            .collect();
        names.sort();
        // A claim's pods are all in its namespace.
        let why = if names.is_empty() {
            "Volume is already exclusively attached to one node and can't be attached to another"
                .to_owned()
        } else {
            format!("Volume is already used by pod(s) {}", names.join(", "))
        };
        let message = format!(
            "Multi-Attach error for volume {:?} {why}",
            volume.name_any()
        );
        Some(pods.iter().map(|pod| (*pod, message.clone())).collect())
    }
}

fn is_well(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("is such an object")
    }

    fn pod(name: &str, node: &str) -> Pod {
        read(json!({
            "metadata": { "name": name, "namespace": "x" },
            "spec": { "nodeName": node, "containers": [], "volumes": [
                { "name": "v", "persistentVolumeClaim": { "claimName": "data" } },
            ] },
        }))
    }

    fn node(name: &str, ready: &str, in_use: bool) -> Node {
        let in_use: &[String] = if in_use {
            &[unique_name("d", "h")]
        } else {
            &[]
        };
        read(json!({
            "metadata": { "name": name },
            "status": {
                "conditions": [{ "type": "Ready", "status": ready }],
                "volumesInUse": in_use,
            },
        }))
    }

    /// A volume that is attached to node a and mounted there.
    fn world(mode: &str, pods: Vec<Pod>) -> World {
        World {
            pods,
            claims: vec![read(json!({
                "metadata": { "name": "data", "namespace": "x", "uid": "1" },
            }))],
            volumes: vec![read(json!({
                "metadata": { "name": "v" },
                "spec": {
                    "accessModes": [mode],
                    "csi": { "driver": "d", "volumeHandle": "h" },
                    "claimRef": { "namespace": "x", "name": "data", "uid": "1" },
                },
            }))],
            attachments: vec![read(json!({
                "metadata": { "name": "a-1" },
                "spec": { "attacher": "d", "nodeName": "a", "source": { "persistentVolumeName": "v" } },
                "status": { "attached": true },
            }))],
            nodes: vec![node("a", "True", true), node("b", "True", false)],
        }
    }

    fn words(world: &World, asked: &mut BTreeMap<String, Timestamp>, at: i64) -> Vec<String> {
        let now = Timestamp::from_second(at).expect("is a time");
        let steps = world.plan(asked, now);
        let words = steps.into_iter().map(|step| match step {
            Step::Detach(name) => format!("detach {name}"),
            Step::Attach(_, node, _) => format!("attach to {node}"),
            Step::Refuse(_, _, refusals) => refusals[0].1.clone(),
        });
        words.collect()
    }

    #[test]
    fn a_volume_for_one_node_stays_with_the_node_that_has_it() {
        let both = vec![pod("p", "a"), pod("q", "b")];
        let refused = "Multi-Attach error for volume \"v\" Volume is already used by pod(s) p";
        assert_eq!(
            words(
                &world("ReadWriteOnce", both.clone()),
                &mut BTreeMap::new(),
                0
            ),
            [refused]
        );
        assert_eq!(
            words(&world("ReadWriteMany", both), &mut BTreeMap::new(), 0),
            ["attach to b"]
        );
        let together = vec![pod("p", "a"), pod("q", "a")];
        assert!(words(&world("ReadWriteOnce", together), &mut BTreeMap::new(), 0).is_empty());
    }

    #[test]
    fn a_volume_is_detached_when_the_kubelet_has_let_go_of_it() {
        let mut world = world("ReadWriteOnce", vec![pod("q", "b")]);
        let still = "Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node and can't be attached to another";
        let mut asked = BTreeMap::new();
        assert_eq!(words(&world, &mut asked, 0), [still]);
        // However long it takes.
        assert_eq!(words(&world, &mut asked, 1000), [still]);
        world.nodes[0] = node("a", "True", false);
        assert_eq!(words(&world, &mut asked, 1001), ["detach a-1", still]);
        world.attachments.clear();
        assert_eq!(words(&world, &mut asked, 1002), ["attach to b"]);
    }

    #[test]
    fn a_dead_node_keeps_a_volume_for_six_minutes() {
        let mut world = world("ReadWriteOnce", vec![]);
        world.nodes[0] = node("a", "Unknown", true);
        let mut asked = BTreeMap::new();
        assert!(words(&world, &mut asked, 0).is_empty());
        assert!(words(&world, &mut asked, 359).is_empty());
        assert_eq!(words(&world, &mut asked, 360), ["detach a-1"]);
        let taint = json!({ "taints": [{ "key": OUT_OF_SERVICE, "effect": "NoExecute" }] });
        world.nodes[0].spec = Some(read(taint));
        assert_eq!(words(&world, &mut BTreeMap::new(), 0), ["detach a-1"]);
    }

    #[test]
    fn a_pod_that_is_over_wants_nothing() {
        let mut done = pod("p", "a");
        done.status = Some(read(json!({ "phase": "Succeeded" })));
        let mut world = world("ReadWriteOnce", vec![done]);
        world.nodes[0] = node("a", "True", false);
        assert_eq!(words(&world, &mut BTreeMap::new(), 0), ["detach a-1"]);
    }
}
