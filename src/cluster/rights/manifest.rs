//! The RBAC manifests of people: `rbac-cli.yaml` for whoever runs the command line,
//! `rbac-users.yaml` for whoever uses the resource. The controller's are in `crate::install`.

use std::collections::BTreeMap;

use super::role::{Role, RoleKind};
use super::{Front, Scope, rules};

/// The RBAC manifest for whoever runs the command line: ClusterRoles, and how to bind them.
#[must_use]
pub fn rbac_manifest() -> String {
    let role = |name: &str, comment: &str, scope| Role {
        kind: RoleKind::ClusterRole,
        name: name.to_owned(),
        comment: comment.to_owned(),
        labels: BTreeMap::new(),
        rules: rules(Front::CommandLine, scope),
    };
    let pods = role(
        "ms2m-cli",
        "In the namespace of the pods.",
        Scope::Namespace,
    );
    let nodes = role("ms2m-cli-nodes", NODES_WARNING, Scope::Cluster);
    let broker = role("ms2m-cli-broker", BROKER, Scope::Broker);
    let discover = role("ms2m-cli-discover", DISCOVER, Scope::Discovery);
    format!(
        "{CLI_HEAD}{}---\n{}---\n{}---\n{}{BINDINGS}",
        pods.yaml(),
        nodes.yaml(),
        broker.yaml(),
        discover.yaml()
    )
}

/// What a role that holds rights on nodes has to say.
pub const NODES_WARNING: &str = "On the nodes. `create nodes/proxy` reaches all of a kubelet's API, which is as good as root on \
the node: give it to operators of the cluster, not to tenants. `resourceNames` can narrow it to the nodes that pods are \
moved away from.";

const BROKER: &str = "In the namespace of a broker inside the cluster, for a workstation that reaches it through the API \
server. Of no use where the broker can be reached otherwise.";

const DISCOVER: &str = "In the namespace of the pods, for `--discover`. It reads Secrets: of no use to whoever says by a \
flag, the environment or annotations where the broker is.";

const CLI_HEAD: &str = "\
# What the user of `ms2m migrate`, `ms2m drain`, `ms2m abort` and `ms2m status` needs. Generated from
# the table that the command checks before it changes anything (src/cluster/rights/table.rs).
#
# Change the group `ms2m-operators` and the namespace `default` below to fit; for the pods of all
# namespaces (`ms2m drain -A`) bind ms2m-cli with a ClusterRoleBinding instead. Who only has a
# controller do the work (`ms2m create`) needs none of this, but rbac-users.yaml.
#
# ms2m-cli-broker and ms2m-cli-discover are bound by hand, where they are needed:
#   kubectl create rolebinding ms2m-cli-broker -n NAMESPACE --clusterrole=ms2m-cli-broker --group=ms2m-operators
";

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

/// The roles of those who use the resource. Kubernetes adds their rules to its own roles `admin`,
/// `edit` and `view`.
#[must_use]
pub fn users_roles(labels: &BTreeMap<String, String>) -> [Role; 2] {
    let role = |name: &str, comment: &str, to: &[&str], front| {
        let mut labels = labels.clone();
        for to in to {
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
            labels.insert(label, "true".to_owned());
        }
        Role {
            kind: RoleKind::ClusterRole,
            name: name.to_owned(),
            comment: comment.to_owned(),
            labels,
            rules: rules(front, Scope::Namespace),
        }
    };
    [
        role("ms2m-admin", ADMIN, &["admin", "edit"], Front::Admin),
        role("ms2m-view", VIEW, &["view"], Front::View),
    ]
}

const ADMIN: &str = "For those who have pods moved. Part of the roles `admin` and `edit`: who may make and \
delete pods in a namespace may have them moved. It reaches no node and no Secret.";

const VIEW: &str = "For those who look. Part of the role `view`.";

/// The manifest of these roles.
#[must_use]
pub fn users_manifest() -> String {
    let [admin, view] = users_roles(&BTreeMap::new());
    format!("{USERS_HEAD}{}---\n{}", admin.yaml(), view.yaml())
}

const USERS_HEAD: &str = "\
# What the users of StatefulMigrations need. Generated (src/cluster/rights/table.rs). `ms2m install`
# brings it along unless it watches one namespace only.
";

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    fn documents(text: &str) -> Vec<Value> {
        serde_yaml::Deserializer::from_str(text)
            .map(|it| Value::deserialize(it).expect("YAML"))
            .collect()
    }

    #[test]
    fn the_manifest_of_the_command_line_has_its_roles_and_their_bindings() {
        let documents = documents(&rbac_manifest());
        let kinds: Vec<_> = documents.iter().map(|it| it["kind"].clone()).collect();
        assert_eq!(
            kinds,
            [
                "ClusterRole",
                "ClusterRole",
                "ClusterRole",
                "ClusterRole",
                "RoleBinding",
                "ClusterRoleBinding"
            ]
        );
        assert_eq!(documents[0]["rules"].as_array().map(Vec::len), Some(18));
    }

    #[test]
    fn the_roles_of_users_are_part_of_kubernetes_own() {
        let documents = documents(&users_manifest());
        let labels = |at: usize| documents[at]["metadata"]["labels"].to_string();
        assert!(labels(0).contains("aggregate-to-edit"));
        assert!(labels(1).contains("aggregate-to-view"));
        let verbs = documents[1]["rules"][0]["verbs"].to_string();
        assert!(!verbs.contains("patch"), "{verbs}");
    }
}
