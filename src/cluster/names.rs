//! The names of what there is, as quickly as can be: for completion. One page without bodies, asked
//! once; nothing that is decided on.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::Resource;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::KubeCluster;
use super::naming::role;
use crate::api::{MIGRATION_LABEL, ROLE_LABEL, StatefulMigration};

/// How many names one answer holds; nobody reads that many.
const MOST: u32 = 1000;

/// What there are names of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Pods of the namespace.
    Pods,
    /// Nodes.
    Nodes,
    /// Namespaces.
    Namespaces,
    /// Migrations of the namespace, whoever carries them out.
    Migrations,
}

impl KubeCluster {
    /// Names of that kind in alphabetical order, as many as one answer holds; none where they cannot
    /// be listed.
    pub async fn names(&self, of: Named) -> Vec<String> {
        let mut found = self.unsorted(of).await;
        found.sort_unstable();
        found.dedup();
        found
    }

    async fn unsorted(&self, of: Named) -> Vec<String> {
        let client = || self.inner.client.clone();
        let namespace = &self.inner.namespace;
        match of {
            Named::Pods => names(Api::<Pod>::namespaced(client(), namespace)).await,
            Named::Nodes => names(Api::<Node>::all(client())).await,
            Named::Namespaces => names(Api::<Namespace>::all(client())).await,
            Named::Migrations => {
                let resources = Api::<StatefulMigration>::namespaced(client(), namespace);
                let (mut found, others) = tokio::join!(names(resources), self.remembered());
                found.extend(others);
                found
            }
        }
    }

    /// The migrations that are kept in ConfigMaps.
    async fn remembered(&self) -> Vec<String> {
        let api = Api::<ConfigMap>::namespaced(self.inner.client.clone(), &self.inner.namespace);
        let params = ListParams::default()
            .labels(&format!("{ROLE_LABEL}={}", role::JOURNAL))
            .limit(MOST);
        let found = api.list_metadata(&params).await.map(|list| list.items);
        let labels = found.unwrap_or_default().into_iter();
        labels
            .filter_map(|it| it.metadata.labels?.remove(MIGRATION_LABEL))
            .collect()
    }
}

async fn names<K>(api: Api<K>) -> Vec<String>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Resource<DynamicType = ()>,
{
    let params = ListParams::default().limit(MOST);
    let found = api.list_metadata(&params).await.map(|list| list.items);
    let found = found.unwrap_or_default().into_iter();
    found.filter_map(|it| it.metadata.name).collect()
}
