//! Objects of any kind, for whoever installs something: applied, found by their labels, removed.
//! A migration has its own ways of making things, and does not come here.

use std::fmt;

use kube::ResourceExt as _;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions,
    PropagationPolicy,
};
use kube::core::GroupVersionKind;
use serde::Serialize;
use serde_json::Value;

use super::KubeCluster;
use super::pages;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How objects are written.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// Whose the fields are.
    pub manager: &'a str,
    /// Fields of other managers are taken over.
    pub force: bool,
    /// The API server checks everything and keeps nothing.
    pub dry_run: bool,
}

/// What came of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was another.
    Configured,
    /// It was as it should be.
    Unchanged,
    /// It is somebody else's.
    Left,
    /// It is gone, or is going.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Left => "left as it is",
            Self::Removed => "removed",
        })
    }
}

/// A kind of objects: its `apiVersion` and its name.
pub type Kind = (&'static str, &'static str);

/// Which object. Shown as kubectl shows it, as `deployment.apps/ms2m-controller`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Which {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Which {
    /// Which one a manifest is of.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str);
        Self {
            api_version: text("/apiVersion").unwrap_or_default().to_owned(),
            kind: text("/kind").unwrap_or_default().to_owned(),
            namespace: text("/metadata/namespace").map(str::to_owned),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
        }
    }

    fn of_listed(kind: Kind, object: &DynamicObject) -> Self {
        Self {
            api_version: kind.0.to_owned(),
            kind: kind.1.to_owned(),
            namespace: object.namespace(),
            name: object.name_any(),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.to_lowercase();
        match self.api_version.split_once('/') {
            Some((group, _)) => write!(f, "{kind}.{group}/{}", self.name),
            None => write!(f, "{kind}/{}", self.name),
        }
    }
}

impl KubeCluster {
    /// Has the object be as `object` says, and says what that changed.
    ///
    /// # Errors
    /// [`PortError::Conflict`]: a field is another manager's, and force was not asked for.
    pub async fn apply(&self, object: &Value, how: Writing<'_>) -> PortResult<Change> {
        let which = Which::of(object);
        let api = self.api(&which);
        let before = self.find_object(&which).await?;
        let mut params = PatchParams::apply(how.manager);
        params.force = how.force;
        params.dry_run = how.dry_run;
        let (what, patch) = (format!("apply {which}"), Patch::Apply(object));
        let retry = &self.inner.retry;
        let after = retry
            .run(&what, || api.patch(&which.name, &params, &patch))
            .await?;
        Ok(match before.map(without_history) {
            None => Change::Created,
            Some(before) if before == without_history(after) => Change::Unchanged,
            Some(_) => Change::Configured,
        })
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn exists(&self, which: &Which) -> PortResult<bool> {
        Ok(self.find_object(which).await?.is_some())
    }

    /// The value of a label of the object; `None` where there is no such object.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn label_of(&self, which: &Which, label: &str) -> PortResult<Option<String>> {
        let found = self.find_object(which).await?;
        Ok(found.map(|it| it.labels().get(label).cloned().unwrap_or_default()))
    }

    /// The object, if it is there.
    pub(super) async fn find_object(&self, which: &Which) -> PortResult<Option<DynamicObject>> {
        let (api, what) = (self.api(which), format!("read {which}"));
        let retry = &self.inner.retry;
        retry.run(&what, || api.get_opt(&which.name)).await
    }

    /// The objects of `kind` in all namespaces that `selector` selects.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn labelled(&self, kind: Kind, selector: &str) -> PortResult<Vec<Which>> {
        let api: Api<DynamicObject> =
            Api::all_with(self.inner.client.clone(), &resource(kind.0, kind.1));
        let what = format!("list objects of the kind {}", kind.1);
        let params = ListParams::default().labels(selector);
        match pages::all(&self.inner.retry, &api, params, &what).await {
            Ok(found) => Ok(found.iter().map(|it| Which::of_listed(kind, it)).collect()),
            // The kind itself is not there.
            Err(PortError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The objects of `kind` in a namespace that stand by themselves: what is owned by another goes
    /// and comes with that.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn standing(&self, kind: Kind, namespace: &str) -> PortResult<Vec<Which>> {
        let client = self.inner.client.clone();
        let api: Api<DynamicObject> =
            Api::namespaced_with(client, namespace, &resource(kind.0, kind.1));
        let what = format!("list objects of the kind {}", kind.1);
        let listed = pages::all(&self.inner.retry, &api, ListParams::default(), &what).await;
        match listed {
            Ok(found) => Ok(found
                .iter()
                .filter(|it| it.owner_references().is_empty())
                .map(|it| Which::of_listed(kind, it))
                .collect()),
            Err(PortError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes the object, if it is there and somebody has not made another in its place.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove_object(&self, which: &Which, dry_run: bool) -> PortResult<()> {
        let Some(found) = self.find_object(which).await? else {
            return Ok(());
        };
        let params = DeleteParams {
            dry_run,
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: found.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let (api, what) = (self.api(which), format!("remove {which}"));
        let retry = &self.inner.retry;
        match retry.run(&what, || api.delete(&which.name, &params)).await {
            Ok(_) | Err(PortError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api(&self, which: &Which) -> Api<DynamicObject> {
        let (client, kind) = (
            self.inner.client.clone(),
            resource(&which.api_version, &which.kind),
        );
        match &which.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        }
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// What of an object somebody has written.
fn without_history(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn a_status_or_a_version_is_no_change() {
        let before = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"x": 1}, "status": {}});
        let mut after = before.clone();
        after["metadata"]["resourceVersion"] = "2".into();
        after["status"] = json!({"y": 1});
        let same = |one: &Value, other: &Value| {
            without_history(object(one.clone())) == without_history(object(other.clone()))
        };
        assert!(same(&before, &after));
        after["spec"]["x"] = 2.into();
        assert!(!same(&before, &after));
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let which = |value| Which::of(&value).to_string();
        assert_eq!(
            which(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}})
            ),
            "deployment.apps/a"
        );
        assert_eq!(
            which(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})),
            "namespace/a"
        );
    }

    #[test]
    fn the_kinds_of_an_install_are_plural_as_they_should_be() {
        for (kind, plural) in [
            ("CustomResourceDefinition", "customresourcedefinitions"),
            ("PodDisruptionBudget", "poddisruptionbudgets"),
            ("ServiceAccount", "serviceaccounts"),
            ("ClusterRoleBinding", "clusterrolebindings"),
        ] {
            assert_eq!(resource("x/v1", kind).plural, plural);
        }
    }
}
