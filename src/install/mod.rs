//! What `ms2m install` puts into a cluster, as objects and as YAML with comments. Pure: who sends
//! it there is `crate::cli::commands::install`.
//!
//! Every object has the labels of [`labels`], by which a later install and an uninstall find it
//! again, however it came there.

mod access;
mod document;
mod names;
mod workload;

use std::collections::BTreeMap;

pub use document::{Document, yaml};
pub use names::{ALLOCATOR, CONTROLLER, LISTEN, NAMESPACE};

/// Label of everything that an install makes: that it was one.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`], and who writes the fields.
pub const MANAGER: &str = "ms2m-install";

/// Label of everything that belongs to one controller: the namespace that it was installed in. The
/// CRD is without: it may serve several.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the controller runs.
    pub namespace: String,
    /// The only namespace whose migrations it carries out; none for all.
    pub watch: Option<String>,
    /// Its image; none for a placeholder that says so.
    pub image: Option<String>,
    /// How many of it run, of which one works.
    pub replicas: i32,
    /// How many migrations may be under way.
    pub max_at_once: u16,
    /// How many of them may take part of one node.
    pub max_per_node: u16,
    /// Where it serves metrics and probes.
    pub listen: String,
}

impl Options {
    /// The port of [`Options::listen`]; none where it has none.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.listen.rsplit_once(':')?.1.parse().ok()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: NAMESPACE.to_owned(),
            watch: None,
            image: None,
            replicas: 2,
            max_at_once: 5,
            max_per_node: 2,
            listen: LISTEN.to_owned(),
        }
    }
}

/// Everything, in the order in which it has to be made.
#[must_use]
pub fn documents(options: &Options) -> Vec<Document> {
    let mut all = vec![workload::crd(), workload::namespace(options)];
    all.push(workload::service_account(options));
    all.extend(access::roles(options));
    all.push(workload::service(options));
    all.push(workload::budget(options));
    all.push(workload::deployment(options));
    all
}

/// The labels of everything that belongs to the controller.
#[must_use]
pub fn labels(options: &Options) -> BTreeMap<String, String> {
    let mut labels = names::selector();
    labels.insert(INSTANCE_LABEL.to_owned(), options.namespace.clone());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
    labels
}

/// What selects the controller's pods in its namespace.
#[must_use]
pub fn pods_selector() -> String {
    let pairs: Vec<_> = names::selector()
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    fn watching(namespace: &str) -> Options {
        Options {
            watch: Some(namespace.to_owned()),
            ..Options::default()
        }
    }

    fn kinds(options: &Options) -> Vec<String> {
        let all = documents(options);
        let kind = |it: &Document| it.object["kind"].as_str().unwrap_or_default().to_owned();
        all.iter().map(kind).collect()
    }

    #[test]
    fn the_text_of_each_object_is_the_object() {
        for options in [Options::default(), watching("shop")] {
            let all = documents(&options);
            let text = yaml(&options);
            let read: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
                .map(|it| Value::deserialize(it).expect("YAML"))
                .collect();
            let objects: Vec<_> = all.iter().map(|it| it.object.clone()).collect();
            assert_eq!(read, objects);
        }
    }

    #[test]
    fn what_others_need_comes_first() {
        let kinds = kinds(&Options::default());
        assert_eq!(
            kinds[..3],
            ["CustomResourceDefinition", "Namespace", "ServiceAccount"]
        );
        assert_eq!(kinds.last().map(String::as_str), Some("Deployment"));
    }

    #[test]
    fn one_namespace_takes_rights_on_nodes_alone_in_the_cluster() {
        let all = documents(&watching("shop"));
        for it in &all {
            let object = &it.object;
            let of_cluster = object["kind"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("Cluster"));
            if !of_cluster {
                continue;
            }
            assert_eq!(object["metadata"]["name"], "ms2m-controller-nodes");
            for rule in object["rules"].as_array().into_iter().flatten() {
                let resource = rule["resources"][0].as_str().unwrap_or_default();
                assert!(
                    ["nodes", "nodes/proxy", "persistentvolumes"].contains(&resource),
                    "{rule}"
                );
            }
        }
    }

    #[test]
    fn all_but_the_crd_belong_to_their_controller() {
        let options = Options {
            namespace: "elsewhere".to_owned(),
            ..watching("shop")
        };
        for it in documents(&options).iter().skip(1) {
            let labels = &it.object["metadata"]["labels"];
            assert_eq!(labels[MANAGED_BY_LABEL], MANAGER, "{}", it.object);
            assert_eq!(labels[INSTANCE_LABEL], "elsewhere", "{}", it.object);
        }
    }

    /// Two controllers, each with a namespace of its own, do not share a binding.
    #[test]
    fn names_in_the_cluster_are_those_of_one_controller() {
        let names = |options: &Options| -> Vec<String> {
            documents(options)
                .iter()
                .filter(|it| it.object["metadata"]["namespace"].is_null())
                .map(|it| it.object["metadata"]["name"].to_string())
                .collect()
        };
        let one = names(&watching("shop"));
        let other = names(&Options {
            namespace: "other".to_owned(),
            ..watching("shop")
        });
        let shared: Vec<_> = one.iter().filter(|name| other.contains(name)).collect();
        assert_eq!(shared, ["\"statefulmigrations.migration.ms2m.io\""]);
    }
}
