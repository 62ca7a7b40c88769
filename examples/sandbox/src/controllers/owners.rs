//! Who belongs to whom: which objects a controller takes for its own, adopts and lets go, and
//! whom a changed object concerns. What is done with them is the controllers' own business.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::{Selector, SelectorExt as _};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What an object is to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Its own already.
    Own,
    /// Nobody's, and fit to be taken.
    Adopt,
    /// Its own, but it does not match any more.
    Release,
    /// None of its business.
    Leave,
}

/// The reference to the object's controller.
pub(super) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// A reference to what controls an object, and waits for it when it is deleted in the foreground.
pub(super) fn reference(owner: &impl Resource<DynamicType = ()>) -> Option<OwnerReference> {
    Some(OwnerReference {
        block_owner_deletion: Some(true),
        ..owner.controller_owner_ref(&())?
    })
}

/// A selector that matches nothing is none: an empty one would take everybody's pods.
pub(super) fn selector(selector: Option<&LabelSelector>) -> Option<Selector> {
    let selector = Selector::try_from(selector?.clone()).ok()?;
    (!selector.selects_all()).then_some(selector)
}

fn claim(owner: &ObjectMeta, selector: &Selector, fits: bool, meta: &ObjectMeta) -> Claim {
    let none = std::collections::BTreeMap::new();
    let matches = fits && selector.matches(meta.labels.as_ref().unwrap_or(&none));
    let owner_goes = owner.deletion_timestamp.is_some();
    match controller_of(meta) {
        Some(other) if Some(&other.uid) != owner.uid.as_ref() => Claim::Leave,
        Some(_) if matches => Claim::Own,
        Some(_) if owner_goes => Claim::Leave,
        Some(_) => Claim::Release,
        None if owner_goes || !matches || meta.deletion_timestamp.is_some() => Claim::Leave,
        None => Claim::Adopt,
    }
}

/// The objects that are the owner's, after orphans that match were adopted and its own that do
/// not match were released. `fits` narrows matching down; nothing else of an object is looked at.
pub(super) async fn claimed<O, K>(
    api: &Api<K>,
    owner: &O,
    selector: &Selector,
    objects: Vec<K>,
    fits: impl Fn(&K) -> bool,
) -> kube::Result<Vec<K>>
where
    O: Resource<DynamicType = ()>,
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let mut own = Vec::new();
    for object in objects {
        match claim(owner.meta(), selector, fits(&object), object.meta()) {
            Claim::Own => own.push(object),
            Claim::Adopt => own.extend(adopt(api, owner, &object).await?),
            Claim::Release => release(api, owner, &object).await?,
            Claim::Leave => {}
        }
    }
    Ok(own)
}

async fn adopt<O, K>(api: &Api<K>, owner: &O, object: &K) -> kube::Result<Option<K>>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": {
        "uid": object.uid(),
        "ownerReferences": [reference(owner)],
    } });
    change(api, object, patch).await
}

async fn release<O, K>(api: &Api<K>, owner: &O, object: &K) -> kube::Result<()>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": {
        "uid": object.uid(),
        "ownerReferences": [{ "$patch": "delete", "uid": owner.uid() }],
    } });
    change(api, object, patch).await.map(drop)
}

/// Nothing when the object is gone.
async fn change<K>(api: &Api<K>, object: &K, patch: serde_json::Value) -> kube::Result<Option<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = Patch::Strategic(patch);
    match api
        .patch(&object.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
        patched => patched.map(Some),
    }
}

/// Finds the owners that a changed object concerns: its controller, the one that it had when it
/// was last seen, and, if it has none, all that would adopt it.
pub(super) struct Concerned<O>
where
    O: Resource<DynamicType = ()> + 'static,
{
    owners: Store<O>,
    selector: fn(&O) -> Option<&LabelSelector>,
    /// By namespace and name of the object.
    last: Mutex<HashMap<(String, String), ObjectRef<O>>>,
}

impl<O> Concerned<O>
where
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + 'static,
{
    /// `selector` is that of an owner.
    pub(super) fn new(owners: Store<O>, selector: fn(&O) -> Option<&LabelSelector>) -> Self {
        Self {
            owners,
            selector,
            last: Mutex::default(),
        }
    }

    /// The owners to look at after a change of an object with that metadata.
    pub(super) fn by(&self, meta: &ObjectMeta) -> Vec<ObjectRef<O>> {
        let namespace = meta.namespace.clone().unwrap_or_default();
        let key = (namespace.clone(), meta.name.clone().unwrap_or_default());
        let controller = controller_of(meta)
            .filter(|owner| owner.kind == O::kind(&()) && owner.api_version == O::api_version(&()))
            .map(|owner| ObjectRef::new(&owner.name).within(&namespace));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &controller {
            Some(owner) => last.insert(key, owner.clone()),
            None => last.remove(&key),
        };
        drop(last);
        let mut concerned: Vec<_> = controller.into_iter().chain(before).collect();
        if controller_of(meta).is_none() {
            let none = std::collections::BTreeMap::new();
            let labels = meta.labels.as_ref().unwrap_or(&none);
            let adopts = |owner: &O| {
                owner.namespace().as_deref() == Some(namespace.as_str())
                    && selector((self.selector)(owner))
                        .is_some_and(|selector| selector.matches(labels))
            };
            let owners = self.owners.state();
            let owners = owners.iter().filter(|owner| adopts(owner));
            concerned.extend(owners.map(|owner| ObjectRef::from_obj(owner.as_ref())));
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(value).expect("is metadata")
    }

    fn of(uid: &str) -> serde_json::Value {
        json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "st", "uid": uid, "controller": true }])
    }

    #[test]
    fn only_what_matches_and_is_nobodys_is_adopted() {
        let owner = meta(json!({ "uid": "u" }));
        let going = meta(json!({ "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
        let labels: LabelSelector =
            serde_json::from_value(json!({ "matchLabels": { "a": "b" } })).expect("is a selector");
        let selector = selector(Some(&labels)).expect("selects something");
        let orphan = json!({ "labels": { "a": "b" } });
        let terminating =
            json!({ "labels": { "a": "b" }, "deletionTimestamp": "2026-01-01T00:00:00Z" });
        for (owner, fits, object, wanted) in [
            (&owner, true, orphan.clone(), Claim::Adopt),
            (&owner, false, orphan.clone(), Claim::Leave),
            (&going, true, orphan, Claim::Leave),
            (&owner, true, json!({}), Claim::Leave),
            (&owner, true, terminating, Claim::Leave),
            (
                &owner,
                true,
                json!({ "labels": { "a": "b" }, "ownerReferences": of("u") }),
                Claim::Own,
            ),
            (
                &owner,
                true,
                json!({ "labels": { "a": "b" }, "ownerReferences": of("v") }),
                Claim::Leave,
            ),
            (
                &owner,
                true,
                json!({ "ownerReferences": of("u") }),
                Claim::Release,
            ),
            (
                &going,
                true,
                json!({ "ownerReferences": of("u") }),
                Claim::Leave,
            ),
        ] {
            let object = meta(object);
            assert_eq!(claim(owner, &selector, fits, &object), wanted, "{object:?}");
        }
    }

    #[test]
    fn a_change_concerns_the_owner_of_before_and_whoever_would_adopt() {
        use k8s_openapi::api::apps::v1::StatefulSet;
        use kube::runtime::{reflector, watcher::Event};

        let set = |name: &str, app: &str| -> StatefulSet {
            serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": "ns" },
                "spec": { "selector": { "matchLabels": { "app": app } }, "template": {} },
            }))
            .expect("is a set")
        };
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply(set("st", "a")));
        writer.apply_watcher_event(&Event::Apply(set("other", "b")));
        let concerned = Concerned::new(store, |set: &StatefulSet| Some(&set.spec.selector));
        let names = |labels: serde_json::Value, owners: serde_json::Value| {
            let object = json!({
                "name": "st-0", "namespace": "ns", "labels": labels, "ownerReferences": owners,
            });
            let concerned = concerned.by(&meta(object));
            let mut names: Vec<_> = concerned.into_iter().map(|owner| owner.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(json!({ "app": "b" }), json!([])), ["other"]);
        assert_eq!(names(json!({ "app": "b" }), of("u")), ["st"]);
        assert_eq!(names(json!({ "app": "b" }), json!([])), ["other", "st"]);
        assert!(names(json!({}), json!([])).is_empty());
    }

    #[test]
    fn an_empty_selector_takes_nobody() {
        assert!(selector(None).is_none());
        assert!(selector(Some(&LabelSelector::default())).is_none());
    }
}
