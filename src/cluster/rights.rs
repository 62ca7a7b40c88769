//! The rights that a migration takes: one table, from which the check before a migration and the
//! RBAC manifest for the operator are both made.

use std::fmt::Write as _;

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::retry::Retry;
use crate::api::GROUP;
use crate::migration::ports::{MissingPermission, PortResult};

/// Where a right holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespace,
    Cluster,
}

/// How much a right matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No migration without it.
    Always,
    /// For the journal: either all rights of the resource or all of the ConfigMap.
    Resource,
    /// See [`Need::Resource`].
    ConfigMap,
    /// For pods of an owner of this kind.
    Owner(&'static str),
    /// Only makes messages better, or the check before a migration.
    Helpful,
}

/// One row: some verbs on one resource.
#[derive(Debug)]
struct Right {
    scope: Scope,
    need: Need,
    group: &'static str,
    /// As in RBAC: `pods/log` names a subresource.
    resource: &'static str,
    verbs: &'static [&'static str],
    purpose: &'static str,
}

/// Everything that the command line asks of the API server.
const RIGHTS: &[Right] = &[
    Right {
        scope: Scope::Namespace,
        need: Need::Always,
        group: "",
        resource: "pods",
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        purpose: "read the source pod, make the target pod, remove the one that is left over",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Always,
        group: "",
        resource: "pods/log",
        verbs: &["get"],
        purpose: "follow the transfer's progress",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Always,
        group: "batch",
        resource: "jobs",
        verbs: &["get", "create", "delete"],
        purpose: "run the transfer on the source node",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Always,
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["get", "create", "update", "delete"],
        purpose: "keep two migrations of one pod apart",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::ConfigMap,
        group: "",
        resource: "configmaps",
        verbs: &["get", "list", "create", "patch"],
        purpose: "remember how far a migration has come, so that another process can go on",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Resource,
        group: GROUP,
        resource: "statefulmigrations",
        verbs: &["get", "list", "create"],
        purpose: "remember a migration as a resource, where the CRD is installed",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Resource,
        group: GROUP,
        resource: "statefulmigrations/status",
        verbs: &["patch"],
        purpose: "remember how far it has come",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Owner("StatefulSet"),
        group: "apps",
        resource: "statefulsets",
        verbs: &["get", "create", "update", "delete"],
        purpose: "let a StatefulSet give its pod up, and put it back",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Owner("StatefulSet"),
        group: "apps",
        resource: "controllerrevisions",
        verbs: &["get"],
        purpose: "put a StatefulSet back whose rollout is held by a partition",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Owner("StatefulSet"),
        group: "",
        resource: "configmaps",
        verbs: &["get", "create", "patch", "delete"],
        purpose: "keep a StatefulSet's manifest while it is gone",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Owner("ReplicaSet"),
        group: "apps",
        resource: "replicasets",
        verbs: &["get"],
        purpose: "see whether a ReplicaSet would remove the right pod",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Owner("ReplicaSet"),
        group: "apps",
        resource: "deployments",
        verbs: &["get"],
        purpose: "see whether a rollout is under way",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Helpful,
        group: "",
        resource: "persistentvolumeclaims",
        verbs: &["get"],
        purpose: "see whether the pod's claims can be mounted on the target node",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Helpful,
        group: "policy",
        resource: "poddisruptionbudgets",
        verbs: &["list"],
        purpose: "see whether the pod may be missing for a moment",
    },
    Right {
        scope: Scope::Namespace,
        need: Need::Helpful,
        group: "",
        resource: "events",
        verbs: &["list"],
        purpose: "say why a transfer's pod was not made",
    },
    Right {
        scope: Scope::Cluster,
        need: Need::Always,
        group: "",
        resource: "nodes",
        verbs: &["get", "list"],
        purpose: "see whether the target node is ready and both run the same runtime",
    },
    Right {
        scope: Scope::Cluster,
        need: Need::Always,
        group: "",
        resource: "nodes/proxy",
        verbs: &["create"],
        purpose: "ask the source node's kubelet for the checkpoint",
    },
    Right {
        scope: Scope::Cluster,
        need: Need::Helpful,
        group: "",
        resource: "persistentvolumes",
        verbs: &["get"],
        purpose: "see whether a volume can be reached from the target node",
    },
];

/// Which rights the caller lacks in `namespace`: those that every migration takes, or those that
/// pods of an owner of a kind take on top.
pub(super) async fn missing(
    client: &Client,
    retry: &Retry,
    namespace: &str,
    owner: Option<&str>,
) -> PortResult<Vec<MissingPermission>> {
    let wanted: Vec<_> = RIGHTS
        .iter()
        .filter(|right| match (right.need, owner) {
            (Need::Helpful, _) => false,
            (Need::Owner(kind), owner) => owner == Some(kind),
            (_, owner) => owner.is_none(),
        })
        .collect();
    // Administrators may do everything, and one question is enough to know.
    if wanted.is_empty() || allowed(client, retry, None, "*", "*", "*").await? {
        return Ok(Vec::new());
    }
    let asked = wanted
        .into_iter()
        .flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
    let answers = try_join_all(asked.map(|(right, verb)| async move {
        let place = (right.scope == Scope::Namespace).then_some(namespace);
        let has = allowed(client, retry, place, right.group, right.resource, verb).await?;
        PortResult::Ok((right, verb, has))
    }))
    .await?;
    let lacking: Vec<_> = answers
        .into_iter()
        .filter(|(_, _, has)| !has)
        .map(|(right, verb, _)| (right, verb))
        .collect();
    Ok(relevant(&lacking, namespace))
}

/// One journal is enough: rights on the other kind are not missed.
fn relevant(lacking: &[(&'static Right, &'static str)], namespace: &str) -> Vec<MissingPermission> {
    let complete = |need| !lacking.iter().any(|(right, _)| right.need == need);
    let has_journal = complete(Need::ConfigMap) || complete(Need::Resource);
    lacking
        .iter()
        .filter(|(right, _)| match right.need {
            Need::Always | Need::Owner(_) => true,
            Need::ConfigMap => !has_journal,
            Need::Resource | Need::Helpful => false,
        })
        .map(|(right, verb)| MissingPermission {
            what: format!("{verb} {}", full_name(right)),
            namespace: (right.scope == Scope::Namespace).then(|| namespace.to_owned()),
            purpose: right.purpose,
        })
        .collect()
}

/// As kubectl names it: `jobs.batch`, `pods/log`.
fn full_name(right: &Right) -> String {
    if right.group.is_empty() {
        return right.resource.to_owned();
    }
    match right.resource.split_once('/') {
        Some((resource, sub)) => format!("{resource}.{}/{sub}", right.group),
        None => format!("{}.{}", right.resource, right.group),
    }
}

async fn allowed(
    client: &Client,
    retry: &Retry,
    namespace: Option<&str>,
    group: &str,
    resource: &str,
    verb: &str,
) -> PortResult<bool> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: namespace.map(str::to_owned),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let parameters = PostParams::default();
    let answer = retry
        .run("ask for the caller's rights", || {
            api.create(&parameters, &review)
        })
        .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The RBAC manifest for whoever runs the command line: two ClusterRoles, and how to bind them.
#[must_use]
pub fn rbac_manifest() -> String {
    let mut text = String::from(HEAD);
    role(
        &mut text,
        "ms2m-cli",
        "# In the namespace of the pods.",
        Scope::Namespace,
    );
    text.push_str("---\n");
    role(&mut text, "ms2m-cli-nodes", NODES, Scope::Cluster);
    text.push_str(BINDINGS);
    text
}

fn role(text: &mut String, name: &str, comment: &str, scope: Scope) {
    let _ = writeln!(
        text,
        "{comment}\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  \
         name: {name}\nrules:"
    );
    for right in RIGHTS.iter().filter(|right| right.scope == scope) {
        let verbs = right.verbs.join(", ");
        let _ = writeln!(text, "# To {}.{}", right.purpose, remark(right.need));
        let _ = writeln!(text, "- apiGroups: [\"{}\"]", right.group);
        let _ = writeln!(text, "  resources: [{}]", right.resource);
        let _ = writeln!(text, "  verbs: [{verbs}]");
    }
}

fn remark(need: Need) -> &'static str {
    match need {
        Need::Always | Need::ConfigMap => "",
        Need::Owner(kind) => match kind {
            "StatefulSet" => " For pods of a StatefulSet alone.",
            _ => " For pods of a ReplicaSet or Deployment alone.",
        },
        Need::Resource => " Then the rights on ConfigMaps can go.",
        Need::Helpful => " Can be left out.",
    }
}

const HEAD: &str = "\
# What the user of `ms2m migrate` and `ms2m status` needs. Generated from the table that the
# command checks before it changes anything (src/cluster/rights.rs).
#
# Change the group `ms2m-operators` and the namespace `default` below to fit.
";

const NODES: &str = "\
# On the nodes. `create nodes/proxy` reaches all of a kubelet's API, which is as good as root on
# the node: give it to operators of the cluster, not to tenants. `resourceNames` can narrow it to
# the nodes that pods are moved away from.";

const BINDINGS: &str = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: ms2m-cli
  namespace: default
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: ms2m-cli
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: ms2m-operators
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: ms2m-cli-nodes
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: ms2m-cli-nodes
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: ms2m-operators
";

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(needs: &[Need]) -> Vec<MissingPermission> {
        let rows: Vec<_> = RIGHTS
            .iter()
            .filter(|right| needs.contains(&right.need))
            .map(|right| (right, right.verbs[0]))
            .collect();
        relevant(&rows, "shop")
    }

    #[test]
    fn one_journal_is_enough() {
        assert_eq!(lacking(&[Need::Resource]), []);
        assert_eq!(lacking(&[Need::ConfigMap]), []);
        let neither = lacking(&[Need::Resource, Need::ConfigMap]);
        assert_eq!(neither.len(), 1);
        assert_eq!(neither[0].what, "get configmaps");
        assert_eq!(neither[0].namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn rights_are_named_as_kubectl_names_them() {
        let names: Vec<_> = RIGHTS.iter().map(full_name).collect();
        assert!(names.contains(&"jobs.batch".to_owned()));
        assert!(names.contains(&"statefulmigrations.migration.ms2m.io/status".to_owned()));
        let cluster = lacking(&[Need::Always]);
        let proxy = cluster.iter().find(|it| it.what == "create nodes/proxy");
        assert_eq!(proxy.expect("needed").namespace, None);
    }

    /// `MS2M_UPDATE=1 cargo test` writes the file anew.
    #[test]
    fn the_manifest_on_disk_is_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples/manifests/rbac-cli.yaml");
        if std::env::var_os("MS2M_UPDATE").is_some() {
            std::fs::write(&path, rbac_manifest()).expect("the manifest can be written");
        }
        let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            on_disk == rbac_manifest(),
            "{} differs from the table; run `MS2M_UPDATE=1 cargo test -p ms2m`",
            path.display()
        );
    }

    #[test]
    fn the_manifest_is_yaml_that_kubernetes_knows() {
        use k8s_openapi::api::rbac::v1::ClusterRole;
        use serde::Deserialize as _;
        let text = rbac_manifest();
        let documents: Vec<_> = serde_yaml::Deserializer::from_str(&text)
            .map(|it| serde_yaml::Value::deserialize(it).expect("YAML"))
            .collect();
        assert_eq!(documents.len(), 4);
        let role: ClusterRole =
            serde_yaml::from_value(documents[0].clone()).expect("a ClusterRole");
        assert!(role.rules.is_some_and(|rules| rules.len() == 15));
    }
}
