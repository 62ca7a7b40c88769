//! What a resource is: its names, its scope, what may be done with it. And the registry of
//! those that are served, built in or by CustomResourceDefinition. Not here: the built-in
//! table itself (`builtin`) and how a CRD becomes a resource (`crd`).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};

use serde_json::Value;

use super::schema::Schema;
use super::table::columns::CustomColumn;

/// Makes the JSON schema of a built-in type.
pub(crate) type SchemaSource = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

/// How objects of a resource are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Kept, with all the verbs.
    Kept,
    /// Answered on create and never kept (access reviews).
    Virtual,
    /// Another resource's objects in another form: `events.k8s.io`, whose objects are core events.
    EventView,
}

/// One resource in one version.
#[derive(Debug)]
pub(crate) struct ResourceDef {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) subresources: Vec<String>,
    pub(crate) storage: Storage,
    /// Where its objects are kept: `<plural>.<group>`, the same for all versions.
    pub(crate) key: Arc<str>,
    pub(crate) source: Option<SchemaSource>,
    pub(crate) custom: Option<Custom>,
    compiled: OnceLock<Option<Arc<Schema>>>,
}

/// What a CustomResourceDefinition adds.
#[derive(Debug)]
pub(crate) struct Custom {
    /// The version's `openAPIV3Schema`, for OpenAPI.
    pub(crate) open_api: Value,
    /// The same, compiled.
    pub(crate) schema: Arc<Schema>,
    /// The CEL rules; evaluated by kube-cel.
    pub(crate) rules: Arc<super::schema::cel::Rules>,
    pub(crate) columns: Vec<CustomColumn>,
    /// JSON paths of the fields that field selectors may name.
    pub(crate) selectable: Vec<String>,
    /// JSON paths (spec replicas, status replicas, label selector) of the scale subresource.
    pub(crate) scale: Option<[String; 3]>,
}

impl ResourceDef {
    pub(crate) fn new(
        group: &str,
        version: &str,
        plural: &str,
        kind: &str,
        namespaced: bool,
    ) -> Self {
        let key = if group.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}.{group}")
        };
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            namespaced,
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
            storage: Storage::Kept,
            key: key.into(),
            source: None,
            custom: None,
            compiled: OnceLock::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self::new(group, version, plural, kind, true)
    }

    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// `deployments.apps`, or `pods`.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub(crate) fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|s| s == name)
    }

    pub(crate) fn is(&self, key: &str) -> bool {
        &*self.key == key
    }

    /// The schema that knows its list kinds, defaults and rules; nothing for a virtual resource.
    /// Built-in ones are compiled when they are first needed.
    pub(crate) fn schema(&self) -> Option<Arc<Schema>> {
        if let Some(custom) = &self.custom {
            return Some(custom.schema.clone());
        }
        self.compiled
            .get_or_init(|| self.source.map(super::schema::builtin::compile))
            .clone()
    }
}

/// `v1` or `apps/v1`.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// All resources that are served now.
#[derive(Debug)]
pub(crate) struct Registry {
    resources: RwLock<BTreeMap<(String, String, String), Arc<ResourceDef>>>,
}

impl Registry {
    pub(crate) fn new(builtin: Vec<ResourceDef>) -> Self {
        let resources = builtin
            .into_iter()
            .map(|def| (Self::id(&def), Arc::new(def)))
            .collect();
        Self {
            resources: RwLock::new(resources),
        }
    }

    fn id(def: &ResourceDef) -> (String, String, String) {
        (def.group.clone(), def.version.clone(), def.plural.clone())
    }

    fn read(
        &self,
    ) -> std::sync::RwLockReadGuard<'_, BTreeMap<(String, String, String), Arc<ResourceDef>>> {
        self.resources
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, BTreeMap<(String, String, String), Arc<ResourceDef>>> {
        self.resources
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn find(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<Arc<ResourceDef>> {
        self.read()
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// The resource that has this storage key, in any version.
    pub(crate) fn by_key(&self, key: &str) -> Option<Arc<ResourceDef>> {
        self.read()
            .values()
            .find(|def| def.is(key) && def.storage == Storage::Kept)
            .cloned()
    }

    /// The resource of that kind, for owner references.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Arc<ResourceDef>> {
        self.read()
            .values()
            .find(|def| def.kind == kind && def.api_version() == api_version)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<ResourceDef>> {
        self.read().values().cloned().collect()
    }

    /// Puts the versions of one custom resource in place of those that were there.
    pub(crate) fn replace_custom(&self, group: &str, plural: &str, versions: Vec<ResourceDef>) {
        let mut resources = self.write();
        resources.retain(|(g, _, p), _| !(g == group && p == plural));
        for def in versions {
            resources.insert(Self::id(&def), Arc::new(def));
        }
    }
}
