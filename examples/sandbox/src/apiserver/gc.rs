//! The garbage collector: dependents go when their owners are gone (background), before them
//! (foreground), or lose their owner reference (orphan). And the aggregation of cluster roles.
//!
//! It follows every change of the store, so its picture of who owns whom is the store's own,
//! some microseconds late. It deletes as any client would.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::handlers::delete::{self, DeleteOptions, FOREGROUND, ORPHAN};
use super::handlers::update;
use super::server::Server;
use super::store::{ChangeKind, TappedChange, WriteError};
use super::{meta, rbac_defaults};

/// Where an object is.
#[derive(Debug, Clone)]
struct Place {
    key: Arc<str>,
    namespace: String,
    name: String,
}

/// Who is there and who depends on whom, by uid.
struct Collector {
    server: Arc<Server>,
    places: HashMap<String, Place>,
    dependents: HashMap<String, HashSet<String>>,
}

/// Collects for as long as it is polled.
pub(crate) async fn run(server: Arc<Server>) {
    let mut changes = server.store.tap();
    let mut collector = Collector {
        server: server.clone(),
        places: HashMap::new(),
        dependents: HashMap::new(),
    };
    while let Some(tapped) = changes.recv().await {
        if &*tapped.key == rbac_defaults::CLUSTER_ROLES {
            aggregate_roles(&server);
        }
        collector.follow(&tapped);
    }
}

impl Collector {
    fn follow(&mut self, tapped: &TappedChange) {
        let object = &tapped.change.object;
        let uid = meta::uid(object).to_owned();
        if let Some(previous) = &tapped.change.previous {
            for owner in owners(previous) {
                if let Some(dependents) = self.dependents.get_mut(owner) {
                    dependents.remove(&uid);
                }
            }
        }
        if tapped.change.kind == ChangeKind::Deleted {
            self.places.remove(&uid);
            for dependent in self.dependents.remove(&uid).unwrap_or_default() {
                self.attempt(&dependent);
            }
            // Its owner may have waited for it.
            let waiting: Vec<String> = owners(object).map(str::to_owned).collect();
            for owner in waiting {
                self.finish(&owner);
            }
            return;
        }
        let place = Place {
            key: tapped.key.clone(),
            namespace: meta::namespace(object).to_owned(),
            name: meta::name(object).to_owned(),
        };
        self.places.insert(uid.clone(), place);
        for owner in owners(object) {
            self.dependents
                .entry(owner.to_owned())
                .or_default()
                .insert(uid.clone());
        }
        if meta::is_deleting(object) {
            self.finish(&uid);
        } else if owners(object).next().is_some() {
            self.attempt(&uid);
        }
    }

    fn live(&self, uid: &str) -> Option<(Place, Arc<Value>)> {
        let place = self.places.get(uid)?;
        let object = self
            .server
            .store
            .get(&place.key, &place.namespace, &place.name)?;
        (meta::uid(&object) == uid).then(|| (place.clone(), object))
    }

    /// Deletes a dependent that has no owner to stay for, and drops references to owners that
    /// are gone from one that has.
    fn attempt(&self, uid: &str) {
        let Some((place, object)) = self.live(uid) else {
            return;
        };
        if meta::is_deleting(&object) {
            return;
        }
        let (mut solid, mut gone, mut waiting) = (0, Vec::new(), Vec::new());
        for reference in meta::list(&object, "/metadata/ownerReferences") {
            let owner_uid = meta::text(reference, "/uid").unwrap_or_default();
            match self.live(owner_uid) {
                Some((_, owner))
                    if meta::is_deleting(&owner)
                        && meta::finalizers(&owner).any(|f| f == FOREGROUND) =>
                {
                    waiting.push(owner_uid.to_owned());
                }
                Some(_) => solid += 1,
                None if self.is_unknown_kind(reference) => solid += 1,
                None => gone.push(owner_uid.to_owned()),
            }
        }
        if solid > 0 {
            gone.extend(waiting);
            if !gone.is_empty() {
                self.edit(&place, uid, |object| drop_owners(object, &gone));
            }
            return;
        }
        if gone.is_empty() && waiting.is_empty() {
            return;
        }
        let has_dependents = self.dependents.get(uid).is_some_and(|d| !d.is_empty());
        let foreground = (!waiting.is_empty() && has_dependents)
            || meta::finalizers(&object).any(|f| f == FOREGROUND);
        let policy = if meta::finalizers(&object).any(|f| f == ORPHAN) {
            "Orphan"
        } else if foreground {
            "Foreground"
        } else {
            "Background"
        };
        self.delete(&place, uid, policy);
    }

    /// Without a kind to look the owner up by, the real collector leaves the dependent alone.
    fn is_unknown_kind(&self, reference: &Value) -> bool {
        let text = |pointer: &str| meta::text(reference, pointer).unwrap_or_default();
        self.server
            .registry
            .by_kind(text("/apiVersion"), text("/kind"))
            .is_none()
    }

    fn delete(&self, place: &Place, uid: &str, policy: &str) {
        let Some(def) = self.server.registry.by_key(&place.key) else {
            return;
        };
        let options = DeleteOptions {
            uid: Some(uid.to_owned()),
            propagation: Some(policy.to_owned()),
            ..DeleteOptions::default()
        };
        if let Err(error) =
            delete::delete_object(&self.server, &def, &place.namespace, &place.name, &options)
            && error.code != 404
        {
            tracing::debug!(%error, name = place.name, "cannot collect");
        }
    }

    /// Goes on with an owner that is being deleted and waits for its dependents.
    fn finish(&self, uid: &str) {
        let Some((place, object)) = self.live(uid) else {
            return;
        };
        if !meta::is_deleting(&object) {
            return;
        }
        let dependents: Vec<String> = self
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if meta::finalizers(&object).any(|f| f == ORPHAN) {
            for dependent in &dependents {
                if let Some((place, _)) = self.live(dependent) {
                    self.edit(&place, dependent, |object| {
                        drop_owners(object, &[uid.to_owned()])
                    });
                }
            }
            self.edit(&place, uid, |object| drop_finalizer(object, ORPHAN));
        } else if meta::finalizers(&object).any(|f| f == FOREGROUND) {
            dependents
                .iter()
                .for_each(|dependent| self.attempt(dependent));
            let blocked = dependents
                .iter()
                .filter_map(|d| self.live(d))
                .any(|(_, dependent)| blocks(&dependent, uid));
            if !blocked {
                self.edit(&place, uid, |object| drop_finalizer(object, FOREGROUND));
            }
        }
    }

    fn edit(&self, place: &Place, uid: &str, change: impl Fn(&mut Value)) {
        edit(
            &self.server,
            place.key.clone(),
            &place.namespace,
            &place.name,
            |object| {
                if meta::uid(object) == uid {
                    change(object);
                }
            },
        );
    }
}

/// Changes an object as the server's own business, whatever its resource's rules, and takes it
/// out when nothing holds it any more.
pub(crate) fn edit(
    server: &Arc<Server>,
    key: Arc<str>,
    namespace: &str,
    name: &str,
    change: impl Fn(&mut Value),
) {
    while let Some(old) = server.store.get(&key, namespace, name) {
        let mut new = (*old).clone();
        change(&mut new);
        let result = if update::is_finished(&new) {
            server.store.remove(&key, &old, new)
        } else {
            server.store.replace(&key, &old, new)
        };
        match result {
            Err(WriteError::Stale) => {}
            Ok(last) => {
                if let Some(def) = server
                    .registry
                    .by_key(&key)
                    .filter(|_| update::is_finished(&last))
                {
                    super::crd::after_delete(server, &def, &last);
                }
                return;
            }
            Err(_) => return,
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    meta::list(object, "/metadata/ownerReferences")
        .iter()
        .filter_map(|reference| meta::text(reference, "/uid"))
}

fn blocks(dependent: &Value, owner: &str) -> bool {
    meta::list(dependent, "/metadata/ownerReferences")
        .iter()
        .any(|reference| {
            meta::text(reference, "/uid") == Some(owner)
                && reference.get("blockOwnerDeletion") == Some(&json!(true))
        })
}

fn drop_owners(object: &mut Value, gone: &[String]) {
    let metadata = meta::metadata(object);
    if let Some(Value::Array(references)) = metadata.get_mut("ownerReferences") {
        references.retain(|r| !gone.iter().any(|uid| meta::text(r, "/uid") == Some(uid)));
        if references.is_empty() {
            metadata.remove("ownerReferences");
        }
    }
}

/// Takes one finalizer off.
pub(crate) fn drop_finalizer(object: &mut Value, finalizer: &str) {
    let metadata = meta::metadata(object);
    if let Some(Value::Array(finalizers)) = metadata.get_mut("finalizers") {
        finalizers.retain(|f| f != finalizer);
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        }
    }
}

/// Brings the rules of all aggregated roles up to date; admin aggregates edit and edit view, so
/// it goes on until nothing changes.
pub(crate) fn aggregate_roles(server: &Arc<Server>) {
    let key: Arc<str> = rbac_defaults::CLUSTER_ROLES.into();
    loop {
        let mut changed = false;
        for role in server.store.list(&key, None).objects {
            let Some(rules) = rbac_defaults::aggregate(&server.store, &role) else {
                continue;
            };
            if meta::list(&role, "/rules") != rules.as_slice() {
                changed = true;
                edit(server, key.clone(), "", meta::name(&role), |role| {
                    role["rules"] = json!(rules)
                });
            }
        }
        if !changed {
            return;
        }
    }
}
