//! The check before a migration: which of the command line's rights the caller lacks. The controller
//! was given its own when it was installed, and asks about nothing.

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::{Front, Need, Right, Scope, full_name, of};
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
            (Need::Helpful | Need::Direct, _) => false,
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
            Need::Resource | Need::Helpful | Need::Direct => false,
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
    fn what_holds_in_the_cluster_has_no_namespace() {
        let missed = lacking(&[Need::Always]);
        let proxy = missed.iter().find(|it| it.what == "create nodes/proxy");
        assert_eq!(proxy.expect("needed").namespace, None);
    }
}
