//! The check before a migration: which of the command line's rights the caller lacks. The controller
//! was given its own when it was installed, and asks about nothing.

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::{Front, Need, Needed, Permission, Right, Scope, full_name, of};
use crate::cluster::retry::Retry;
use crate::migration::ports::{MissingPermission, PortResult};

/// Which rights the caller lacks in `namespace`: those that every migration takes, or those that
/// pods of an owner of a kind take on top.
pub(in crate::cluster) async fn missing(
    client: &Client,
    retry: &Retry,
    namespace: &str,
    owner: Option<&str>,
) -> PortResult<Vec<MissingPermission>> {
    let wanted: Vec<_> = of(Front::CommandLine)
        .filter(|right| match (right.need, owner) {
            (Need::Helpful | Need::Direct | Need::Tunnel | Need::Discover, _) => false,
            (Need::Owner(kind), owner) => owner == Some(kind),
            (_, owner) => owner.is_none(),
        })
        .collect();
    let answers = ask(client, retry, namespace, &wanted).await?;
    let lacking: Vec<_> = answers
        .into_iter()
        .filter(|(_, _, has)| !has)
        .map(|(right, verb, _)| (right, verb))
        .collect();
    Ok(relevant(&lacking, namespace))
}

/// Every right of the command line, and whether the caller has it.
pub(in crate::cluster) async fn review(
    client: &Client,
    retry: &Retry,
    namespace: &str,
) -> PortResult<Vec<Permission>> {
    let all = of(Front::CommandLine);
    let rows: Vec<_> = all
        .filter(|row| !matches!(row.need, Need::Tunnel | Need::Discover))
        .collect();
    let answers = ask(client, retry, namespace, &rows).await?;
    Ok(permissions(&rows, &answers, namespace))
}

/// The rights that a tunnel to a Service in `namespace` takes, and whether the caller has them.
pub(in crate::cluster) async fn review_of_tunnel(
    client: &Client,
    retry: &Retry,
    namespace: &str,
) -> PortResult<Vec<Permission>> {
    let all = of(Front::CommandLine);
    let rows: Vec<_> = all.filter(|row| row.need == Need::Tunnel).collect();
    let answers = ask(client, retry, namespace, &rows).await?;
    Ok(permissions(&rows, &answers, namespace))
}

/// A row, a verb of it, and whether the caller has that right.
type Answer = (&'static Right, &'static str, bool);

async fn ask(
    client: &Client,
    retry: &Retry,
    namespace: &str,
    rows: &[&'static Right],
) -> PortResult<Vec<Answer>> {
    let mut asked = Vec::new();
    for right in rows {
        asked.extend(right.verbs.iter().map(|verb| (*right, *verb)));
    }
    // Administrators may do everything, and one question is enough to know.
    if rows.is_empty() || allowed(client, retry, None, "*", "*", "*").await? {
        let all = asked.into_iter();
        return Ok(all.map(|(right, verb)| (right, verb, true)).collect());
    }
    try_join_all(asked.into_iter().map(|(right, verb)| async move {
        let place = (right.scope != Scope::Cluster).then_some(namespace);
        let has = allowed(client, retry, place, right.group, right.resource, verb).await?;
        PortResult::Ok((right, verb, has))
    }))
    .await
}

/// The rows with what is missing of each. Of the two journals one that is complete is enough, and
/// without either it is the ConfigMaps that are missed.
fn permissions(rows: &[&'static Right], answers: &[Answer], namespace: &str) -> Vec<Permission> {
    let missing = |row: &'static Right| -> Vec<&'static str> {
        answers
            .iter()
            .filter(|(right, _, has)| std::ptr::eq(*right, row) && !has)
            .map(|(_, verb, _)| *verb)
            .collect()
    };
    let complete = |need| {
        let mut of_need = rows.iter().filter(|row| row.need == need);
        of_need.all(|row| missing(row).is_empty())
    };
    let (resource, config_map) = (complete(Need::Resource), complete(Need::ConfigMap));
    rows.iter()
        .filter(|row| match row.need {
            Need::Resource => resource,
            Need::ConfigMap => config_map || !resource,
            _ => true,
        })
        .map(|row| Permission {
            resource: full_name(row),
            verbs: row.verbs,
            missing: missing(row),
            namespace: (row.scope != Scope::Cluster).then(|| namespace.to_owned()),
            purpose: row.purpose,
            needed: match row.need {
                Need::Always | Need::Resource | Need::ConfigMap => Needed::Always,
                Need::Owner(kind) => Needed::Owner(kind),
                Need::Direct => Needed::Direct,
                Need::Tunnel => Needed::Tunnel,
                Need::Helpful | Need::Discover => Needed::Helpful,
            },
        })
        .collect()
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
            Need::Resource | Need::Helpful | Need::Direct | Need::Tunnel | Need::Discover => false,
        })
        .map(|(right, verb)| MissingPermission {
            what: format!("{verb} {}", full_name(right)),
            namespace: (right.scope == Scope::Namespace).then(|| namespace.to_owned()),
            purpose: right.purpose,
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(needs: &[Need]) -> Vec<MissingPermission> {
        let rows: Vec<_> = of(Front::CommandLine)
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
    fn of_two_journals_one_is_shown_and_missed() {
        let rows: Vec<_> = of(Front::CommandLine).collect();
        let with = |has: &dyn Fn(Need) -> bool| {
            let answers: Vec<_> = rows
                .iter()
                .flat_map(|row| row.verbs.iter().map(|verb| (*row, *verb, has(row.need))))
                .collect();
            permissions(&rows, &answers, "shop")
        };
        let journal = |found: &[Permission], resource: &str| {
            let purpose = "remember";
            let mut of = found.iter().filter(|it| it.purpose.starts_with(purpose));
            of.any(|it| it.resource.starts_with(resource))
        };
        let neither = with(&|need| !matches!(need, Need::Resource | Need::ConfigMap));
        assert!(journal(&neither, "configmaps") && !journal(&neither, "statefulmigrations"));
        let resource = with(&|need| need != Need::ConfigMap);
        assert!(!journal(&resource, "configmaps") && journal(&resource, "statefulmigrations"));
        assert!(resource.iter().all(|it| it.missing.is_empty()));
        assert_eq!(
            neither.iter().filter(|it| !it.missing.is_empty()).count(),
            1
        );
    }

    #[test]
    fn what_holds_in_the_cluster_has_no_namespace() {
        let missed = lacking(&[Need::Always]);
        let proxy = missed.iter().find(|it| it.what == "create nodes/proxy");
        assert_eq!(proxy.expect("needed").namespace, None);
    }
}
