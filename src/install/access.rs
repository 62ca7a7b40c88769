//! What the controller may do: roles from the one table of rights, bound to its service account.

use k8s_openapi::api::rbac::v1::Subject;

use super::names::{CONTROLLER, in_cluster};
use super::{Document, Options, labels};
use crate::cluster::rights::{
    Front, NODES_WARNING, Role, RoleKind, Rule, Scope, rules, users_roles,
};

/// The roles with their bindings.
pub(super) fn roles(options: &Options) -> Vec<Document> {
    let mut all = Vec::new();
    for role in of_controller(options) {
        let subject = Subject {
            kind: "ServiceAccount".to_owned(),
            name: CONTROLLER.to_owned(),
            namespace: Some(options.namespace.clone()),
            ..Subject::default()
        };
        let binding = role.binding(subject);
        all.push(Document {
            object: role.object(),
            text: role.yaml(),
        });
        all.push(Document::of(&binding, ""));
    }
    // Roles of the whole cluster, which an installation for one namespace does without.
    if options.watch.is_none() {
        let mut users = users_roles(&labels(options));
        for role in &mut users {
            role.name = in_cluster(&role.name, options);
        }
        all.extend(users.map(|role| Document {
            object: role.object(),
            text: role.yaml(),
        }));
    }
    all
}

fn of_controller(options: &Options) -> Vec<Role> {
    let role = |kind: RoleKind, name: &str, comment: &str, rules: Vec<Rule>| Role {
        name: match kind {
            RoleKind::ClusterRole => in_cluster(name, options),
            RoleKind::Role(_) => name.to_owned(),
        },
        kind,
        comment: comment.to_owned(),
        labels: labels(options),
        rules,
    };
    let pods = rules(Front::Controller, Scope::Namespace);
    let nodes = role(
        RoleKind::ClusterRole,
        "ms2m-controller-nodes",
        &format!("{NODES_WARNING}\n{NOT_NAMESPACED}"),
        rules(Front::Controller, Scope::Cluster),
    );
    let Some(watched) = &options.watch else {
        let pods = role(RoleKind::ClusterRole, CONTROLLER, EVERYWHERE, pods);
        return vec![pods, nodes];
    };
    let kind = RoleKind::Role(watched.clone());
    let mut all = vec![role(kind, CONTROLLER, HERE, pods)];
    if *watched != options.namespace {
        // Where the pods are it has rights on Leases anyway.
        let own = rules(Front::Controller, Scope::Own);
        let kind = RoleKind::Role(options.namespace.clone());
        all.push(role(kind, "ms2m-controller-lease", OWN, own));
    }
    all.push(nodes);
    all
}

const EVERYWHERE: &str = "In the namespaces of the pods, which are all of them: `--watch-namespace` installs the \
controller for one alone.";

const HERE: &str = "In the namespace of the pods, and in no other.";

const OWN: &str = "In the controller's own namespace.";

const NOT_NAMESPACED: &str = "Nodes and volumes are in no namespace, so a Role cannot do it, whatever the controller \
watches.";
