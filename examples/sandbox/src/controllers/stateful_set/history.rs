//! The revisions of a StatefulSet: each template that it had, kept as a ControllerRevision. The
//! same template always has the same name, so a set that is deleted and made again finds it.

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::members;
use crate::controllers::{hash, owners};

const HASH: &str = "controller.kubernetes.io/hash";

/// The revisions of a set that matter now.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// What its pods are of, until all of them are of the one below.
    pub(super) current: ControllerRevision,
    /// What its template is.
    pub(super) update: ControllerRevision,
    /// How many names were taken by other templates.
    pub(super) collisions: i32,
    all: Vec<ControllerRevision>,
}

#[cfg(test)]
impl History {
    /// A history of two revisions, for tests of what depends on one.
    pub(super) fn of_two(current: ControllerRevision, update: ControllerRevision) -> Self {
        Self {
            all: vec![current.clone(), update.clone()],
            current,
            update,
            collisions: 0,
        }
    }
}

/// The template that a revision keeps.
pub(super) fn template(revision: &ControllerRevision) -> PodTemplateSpec {
    let data = &revision.data.0;
    let template = data.pointer("/spec/template");
    template
        .and_then(|template| serde_json::from_value(template.clone()).ok())
        .unwrap_or_default()
}

/// What is kept of the set: a patch that puts the template back.
fn data(set: &StatefulSet) -> Value {
    let mut template = set.spec.template.clone();
    if let Some(meta) = &mut template.metadata {
        // An empty map is none.
        meta.annotations
            .take_if(|annotations| annotations.is_empty());
        meta.labels.take_if(|labels| labels.is_empty());
    }
    let mut template = json!(template);
    template["$patch"] = json!("replace");
    json!({ "spec": { "template": template } })
}

fn new_revision(set: &StatefulSet, number: i64, collisions: i32) -> ControllerRevision {
    let data = data(set);
    let hash = hash::of(&data, Some(collisions));
    let meta = set.spec.template.metadata.clone().unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    labels.insert(HASH.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", set.name_any())),
            namespace: set.namespace(),
            labels: Some(labels),
            annotations: set.metadata.annotations.clone(),
            owner_references: owners::reference(set).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: RawExtension(data),
        revision: Some(number),
    }
}

fn sort(revisions: &mut [ControllerRevision]) {
    revisions.sort_by_key(|revision| {
        let created = revision.metadata.creation_timestamp.clone();
        (
            revision.revision,
            created.map(|time| time.0),
            revision.name_any(),
        )
    });
}

fn same(one: &ControllerRevision, other: &ControllerRevision) -> bool {
    one.data == other.data
}

/// Finds the set's revisions, adopts those that are nobody's, and makes the one of its template
/// if there is none.
pub(super) async fn of(
    client: &Client,
    set: &StatefulSet,
    selector: &Selector,
) -> kube::Result<History> {
    let api: Api<ControllerRevision> =
        Api::namespaced(client.clone(), &set.namespace().unwrap_or_default());
    let listed = api
        .list(&ListParams::default().labels_from(selector))
        .await?
        .items;
    let mut all = owners::claimed(&api, set, selector, listed, |_| true).await?;
    sort(&mut all);
    let status = set.status.clone().unwrap_or_default();
    let mut collisions = status.collision_count.unwrap_or(0);
    let number = all.last().and_then(|last| last.revision).unwrap_or(0) + 1;
    let wanted = new_revision(set, number, collisions);
    let update = match all.iter().rfind(|known| same(known, &wanted)) {
        Some(known) if all.last().is_some_and(|last| same(last, known)) => known.clone(),
        // The set has gone back to an earlier template.
        Some(known) => {
            let patch = Patch::Merge(json!({ "revision": number }));
            let name = known.name_any();
            api.patch(&name, &PatchParams::default(), &patch).await?
        }
        None => create(&api, set, number, &mut collisions).await?,
    };
    let current = all
        .iter()
        .find(|known| Some(known.name_any()) == status.current_revision);
    Ok(History {
        current: current.unwrap_or(&update).clone(),
        update,
        collisions,
        all,
    })
}

/// A name that is taken by another template is given up for the next one.
async fn create(
    api: &Api<ControllerRevision>,
    set: &StatefulSet,
    number: i64,
    collisions: &mut i32,
) -> kube::Result<ControllerRevision> {
    loop {
        let wanted = new_revision(set, number, *collisions);
        match api.create(&PostParams::default(), &wanted).await {
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            created => return created,
        }
        let known = api.get(&wanted.name_any()).await?;
        if same(&known, &wanted) {
            return Ok(known);
        }
        *collisions += 1;
    }
}

/// Deletes the oldest of the revisions that nobody needs.
pub(super) async fn truncate(
    client: &Client,
    set: &StatefulSet,
    history: &History,
    pods: &[Pod],
) -> kube::Result<()> {
    let api: Api<ControllerRevision> =
        Api::namespaced(client.clone(), &set.namespace().unwrap_or_default());
    for name in surplus(set, history, pods) {
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            deleted => drop(deleted?),
        }
    }
    Ok(())
}

fn surplus(set: &StatefulSet, history: &History, pods: &[Pod]) -> Vec<String> {
    let limit = set.spec.revision_history_limit;
    let Ok(limit) = usize::try_from(limit.unwrap_or(10)) else {
        return Vec::new();
    };
    let live = |name: &String| {
        *name == history.current.name_any()
            || *name == history.update.name_any()
            || pods.iter().any(|pod| members::revision(pod) == name)
    };
    let names = history.all.iter().map(ResourceExt::name_any);
    let mut old: Vec<_> = names.filter(|name| !live(name)).collect();
    old.truncate(old.len().saturating_sub(limit));
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(image: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": { "name": "st", "namespace": "ns", "uid": "u" },
            "spec": { "selector": {}, "revisionHistoryLimit": 1, "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": image }] },
            } },
        }))
        .expect("is a set")
    }

    #[test]
    fn the_same_template_has_the_same_name_whatever_the_set_is() {
        let one = new_revision(&set("i"), 1, 0);
        let mut again = set("i");
        again.metadata.uid = Some("another".to_owned());
        again.spec.replicas = Some(7);
        let two = new_revision(&again, 5, 0);
        assert_eq!(one.name_any(), two.name_any());
        assert!(same(&one, &two));
        assert_ne!(one.name_any(), new_revision(&set("j"), 1, 0).name_any());
        assert_ne!(one.name_any(), new_revision(&set("i"), 1, 1).name_any());
        assert_eq!(json!(template(&one)), json!(again.spec.template));
    }

    #[test]
    fn old_revisions_go_and_needed_ones_stay() {
        let all: Vec<_> = (1..=5)
            .map(|n| new_revision(&set(&n.to_string()), n, 0))
            .collect();
        let history = History {
            current: all[3].clone(),
            update: all[4].clone(),
            collisions: 0,
            all: all.clone(),
        };
        let pod: Pod = serde_json::from_value(
            json!({ "metadata": { "labels": { members::REVISION: all[0].name_any() } } }),
        )
        .expect("is a pod");
        assert_eq!(surplus(&set("5"), &history, &[pod]), [all[1].name_any()]);
    }
}
