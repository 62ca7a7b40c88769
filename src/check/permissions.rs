//! The caller's rights, one by one.

use super::{Check, Group, Outcome};
use crate::api::GROUP;
use crate::cluster::rights::{Needed, Permission};
use crate::explain;
use crate::migration::ports::PortResult;

/// Which rights matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The kind of the pod's owner; `None` when no pod is named.
    pub owner: Option<&'a str>,
    /// Whether a pod is named, so that rights for other owners do not matter.
    pub of_pod: bool,
    /// Whether the checkpoint goes without a registry.
    pub direct: bool,
}

/// The group of the caller's rights. `user` is the caller's name, where it is known.
#[must_use]
pub fn permissions(
    found: &PortResult<Vec<Permission>>,
    user: Option<&str>,
    wanted: Wanted<'_>,
) -> Group {
    let checks = match found {
        Err(error) => vec![Check::skipped("your permissions", error.to_string())],
        Ok(found) => found
            .iter()
            .filter_map(|permission| {
                let weight = weight(permission.needed, wanted)?;
                Some(check(permission, weight, user))
            })
            .collect(),
    };
    Group::new("Permissions", checks)
}

/// What it comes to when such a right is missing; nothing where it does not matter.
fn weight(needed: Needed, wanted: Wanted<'_>) -> Option<Outcome> {
    match needed {
        Needed::Always | Needed::Tunnel => Some(Outcome::Fail),
        Needed::Owner(kind) if wanted.owner == Some(kind) => Some(Outcome::Fail),
        Needed::Direct if wanted.direct => Some(Outcome::Fail),
        Needed::Owner(_) | Needed::Direct if wanted.of_pod => None,
        Needed::Owner(_) | Needed::Direct | Needed::Helpful => Some(Outcome::Warn),
    }
}

fn check(permission: &Permission, weight: Outcome, user: Option<&str>) -> Check {
    let name = format!(
        "{} {}{}",
        permission.verbs.join(","),
        permission.resource,
        remark(permission.needed)
    );
    if permission.missing.is_empty() {
        return Check::pass(name);
    }
    let what = format!(
        "you may not {}, which is needed to {}",
        permission.missing.join(", "),
        permission.purpose
    );
    Check {
        code: Some(&explain::RIGHTS_MISSING),
        remedies: remedies(permission, user),
        ..Check::new(weight, name).because(what)
    }
}

fn remark(needed: Needed) -> String {
    match needed {
        Needed::Always => String::new(),
        Needed::Tunnel => " (to reach the broker by port-forward)".to_owned(),
        Needed::Owner(kind) => format!(" (for pods of a {kind})"),
        Needed::Direct => " (for --direct)".to_owned(),
        Needed::Helpful => " (can be left out)".to_owned(),
    }
}

/// A role with just what is missing, and its binding, as an administrator can type them. It is the
/// caller's own, so that nobody else's is in its way.
fn remedies(permission: &Permission, user: Option<&str>) -> Vec<String> {
    let user = user.filter(|user| !user.is_empty()).unwrap_or("YOU");
    let plain = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let role: String = format!(
        "ms2m-{user}-{}-{}",
        permission.missing.join("-"),
        permission.resource
    )
    .to_lowercase()
    .chars()
    .map(|it| if plain(it) { it } else { '-' })
    .collect();
    let (kind, place) = match &permission.namespace {
        Some(namespace) => ("role", format!(" -n {namespace}")),
        None => ("clusterrole", String::new()),
    };
    // kubectl knows no resource of a CRD that is not there.
    let remark = if permission.resource.contains(GROUP) {
        "  # once the CRD is there: ms2m crd | kubectl apply -f -"
    } else {
        ""
    };
    vec![
        format!(
            "kubectl create {kind} {role}{place} --verb={} --resource={}{remark}",
            permission.missing.join(","),
            permission.resource
        ),
        format!(
            "kubectl create {kind}binding {role}{place} --{kind}={role} --user={}",
            quoted(user)
        ),
    ]
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:@=,+".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(missing: &[&'static str]) -> Permission {
        Permission {
            resource: "nodes/proxy".to_owned(),
            verbs: &["create"],
            missing: missing.to_vec(),
            namespace: None,
            purpose: "ask the source node's kubelet for the checkpoint",
            needed: Needed::Always,
        }
    }

    #[test]
    fn a_missing_right_comes_with_the_commands_that_give_it() {
        let group = permissions(
            &Ok(vec![proxy(&["create"])]),
            Some("jane doe"),
            Wanted::default(),
        );
        let check = &group.checks[0];
        assert_eq!(check.outcome, Outcome::Fail);
        assert_eq!(
            check.remedies,
            [
                "kubectl create clusterrole ms2m-jane-doe-create-nodes-proxy --verb=create --resource=nodes/proxy",
                "kubectl create clusterrolebinding ms2m-jane-doe-create-nodes-proxy \
                 --clusterrole=ms2m-jane-doe-create-nodes-proxy --user='jane doe'",
            ]
        );
    }

    #[test]
    fn rights_for_other_owners_do_not_matter_to_a_pod() {
        let of_set = Permission {
            needed: Needed::Owner("StatefulSet"),
            ..proxy(&["create"])
        };
        let found = Ok(vec![of_set]);
        let outcomes = |wanted| {
            let group = permissions(&found, None, wanted);
            group.checks.iter().map(|it| it.outcome).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(Wanted::default()), [Outcome::Warn]);
        let of_pod = Wanted {
            of_pod: true,
            ..Wanted::default()
        };
        assert_eq!(outcomes(of_pod), []);
        let its_own = Wanted {
            owner: Some("StatefulSet"),
            ..of_pod
        };
        assert_eq!(outcomes(its_own), [Outcome::Fail]);
    }
}
