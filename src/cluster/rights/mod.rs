//! The rights that a migration takes: one table, from which the check before a migration and the
//! RBAC manifests are made, for the command line, for the controller and for the users of the
//! resource.

mod check;
mod manifest;
mod role;
mod table;

pub(super) use check::{missing, review, review_of_tunnel};
pub use manifest::{NODES_WARNING, rbac_manifest, users_manifest, users_roles};
pub use role::{Role, RoleKind, Rule};
pub use table::CONTROLLER_LEASE;
use table::RIGHTS;

/// Who asks the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// A person's `ms2m`.
    CommandLine,
    /// `ms2m controller`.
    Controller,
    /// Whoever has the controller move pods.
    Admin,
    /// Whoever only looks at that.
    View,
}

/// Where a right holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the namespaces of the pods.
    Namespace,
    /// In the cluster: nodes and volumes are in no namespace.
    Cluster,
    /// In the controller's own namespace.
    Own,
    /// In the namespace of a broker that is reached by port-forward.
    Broker,
    /// In the namespaces of the pods, for whoever has settings looked up there.
    Discovery,
}

/// How much a right matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No migration without it.
    Always,
    /// For the command line's journal: either all rights of the resource or all of the ConfigMap.
    Resource,
    /// See [`Need::Resource`].
    ConfigMap,
    /// For pods of an owner of this kind.
    Owner(&'static str),
    /// For direct transfers. Not asked about beforehand: nothing is changed yet when they are needed.
    Direct,
    /// For a broker inside the cluster, from a workstation. Asked about by the check of that alone.
    Tunnel,
    /// For `--discover`. Not asked about: what may not be read is told when it is needed.
    Discover,
    /// Only makes messages better, or the check before a migration.
    Helpful,
}

/// A row of the command line's rights, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// As kubectl names it: `jobs.batch`, `pods/log`.
    pub resource: String,
    /// The verbs that are needed.
    pub verbs: &'static [&'static str],
    /// Those of them that the caller lacks.
    pub missing: Vec<&'static str>,
    /// The namespace that they are needed in; none for the whole cluster.
    pub namespace: Option<String>,
    /// What ms2m needs them for.
    pub purpose: &'static str,
    /// How much they matter.
    pub needed: Needed,
}

/// How much a permission matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// No migration without it.
    Always,
    /// For pods of an owner of this kind.
    Owner(&'static str),
    /// For direct transfers.
    Direct,
    /// To reach a broker inside the cluster.
    Tunnel,
    /// Only makes messages better, or a check.
    Helpful,
}

/// One row: some verbs on one resource.
#[derive(Debug)]
struct Right {
    fronts: &'static [Front],
    scope: Scope,
    need: Need,
    group: &'static str,
    /// As in RBAC: `pods/log` names a subresource.
    resource: &'static str,
    verbs: &'static [&'static str],
    /// The objects that it is about; none for all.
    names: &'static [&'static str],
    purpose: &'static str,
}

/// The rows of one front.
fn of(front: Front) -> impl Iterator<Item = &'static Right> {
    RIGHTS
        .iter()
        .filter(move |right| right.fronts.contains(&front))
}

/// What `front` takes there, as rules of a role.
#[must_use]
pub fn rules(front: Front, scope: Scope) -> Vec<Rule> {
    of(front)
        .filter(|right| right.scope == scope)
        .map(|right| Rule {
            why: format!("To {}.{}", right.purpose, remark(right.need)),
            group: right.group,
            resource: right.resource,
            verbs: right.verbs,
            names: right.names,
        })
        .collect()
}

fn remark(need: Need) -> &'static str {
    match need {
        Need::Always | Need::ConfigMap | Need::Tunnel | Need::Discover => "",
        Need::Owner("StatefulSet") => " For pods of a StatefulSet alone.",
        Need::Owner(_) => " For pods of a ReplicaSet or Deployment alone.",
        Need::Direct => " For direct transfers alone.",
        Need::Resource => " Then the rights on ConfigMaps can go.",
        Need::Helpful => " Can be left out.",
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_named_as_kubectl_names_them() {
        let names: Vec<_> = RIGHTS.iter().map(full_name).collect();
        assert!(names.contains(&"jobs.batch".to_owned()));
        assert!(names.contains(&"statefulmigrations.migration.ms2m.io/status".to_owned()));
    }

    #[test]
    fn no_row_is_there_twice_or_asks_for_everything() {
        for (at, one) in RIGHTS.iter().enumerate() {
            assert!(
                !one.verbs.is_empty() && !one.verbs.contains(&"*"),
                "{one:?}"
            );
            assert!(!one.resource.contains('*') && one.group != "*", "{one:?}");
            for other in &RIGHTS[at + 1..] {
                let same = (one.scope, one.group, one.resource, one.names)
                    == (other.scope, other.group, other.resource, other.names);
                let shared = one.fronts.iter().any(|it| other.fronts.contains(it));
                // ConfigMaps: as a journal, and to keep a StatefulSet in.
                assert!(
                    !(same && shared) || one.need != other.need,
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn only_the_command_line_has_config_maps_for_a_journal() {
        let of_controller: Vec<_> = of(Front::Controller)
            .filter(|right| right.resource == "configmaps")
            .map(|right| right.need)
            .collect();
        assert_eq!(of_controller, [Need::Owner("StatefulSet")]);
    }
}
