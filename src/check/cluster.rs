//! The API server, and what a namespace admits.

use super::{Check, Group};
use crate::cluster::Answer;
use crate::explain;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The first minor version of Kubernetes 1 with `ContainerCheckpoint` on by default.
const BY_DEFAULT: u64 = 30;

/// The first one with `ContainerCheckpoint` at all.
const AT_ALL: u64 = 25;

/// The group of the API server: whether it answers, and its version.
#[must_use]
pub fn api(version: &PortResult<String>) -> Group {
    const ANSWERS: &str = "the API server answers";
    let checks = match version {
        Ok(version) => vec![Check::pass(ANSWERS), of_version(version)],
        // It has answered: with a refusal.
        Err(PortError::Denied(words)) => vec![
            Check::fail(ANSWERS, &explain::NO_CREDENTIALS, words.clone())
                .hint("check who you are: kubectl config view --minify, kubectl auth whoami"),
        ],
        Err(error) => vec![
            Check::fail(ANSWERS, &explain::API_UNREACHABLE, error.to_string())
                .hint("check the address in the kubeconfig (kubectl cluster-info), or name another context with --context"),
        ],
    };
    Group::new("Kubernetes API", checks)
}

fn of_version(version: &str) -> Check {
    let name = format!("its version can checkpoint containers ({version})");
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map(|it| it.trim_end_matches(|it: char| !it.is_ascii_digit()).parse());
    let (Some(Ok(1)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Check::warn(name, "nobody has tried ms2m on such a version");
    };
    match minor {
        BY_DEFAULT.. => Check::pass(name),
        AT_ALL.. => Check::warn(
            name,
            format!("ContainerCheckpoint is off by default before Kubernetes 1.{BY_DEFAULT}"),
        )
        .hint("put `featureGates: {ContainerCheckpoint: true}` into each kubelet's configuration, then: systemctl restart kubelet"),
        _ => Check::fail(
            name,
            &explain::KUBERNETES_TOO_OLD,
            format!("kubelets take checkpoints since Kubernetes 1.{AT_ALL}"),
        )
        .hint(format!("upgrade the cluster to Kubernetes 1.{BY_DEFAULT} or later")),
    }
}

/// Whether the namespace admits a pod, by a dry run; `pod` as `the transfer's pod`.
#[must_use]
pub fn admission(namespace: &str, pod: &str, answer: &Answer) -> Check {
    let name = format!("namespace {namespace} admits {pod}");
    match answer {
        Answer::Yes => Check::pass(name),
        Answer::No { words, remedies } => Check {
            remedies: remedies.clone(),
            ..Check::fail(name, &explain::NAMESPACE_ADMISSION, words.clone())
        },
        Answer::Unknown(why) => Check::skipped(name, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    #[test]
    fn versions_are_told_apart() {
        let outcome = |version: &str| of_version(version).outcome;
        assert_eq!(outcome("v1.36.2"), Outcome::Pass);
        assert_eq!(outcome("v1.30.0-eks-1"), Outcome::Pass);
        assert_eq!(outcome("v1.29.9"), Outcome::Warn);
        assert_eq!(outcome("v1.24.0"), Outcome::Fail);
        assert_eq!(outcome("v2.0.0"), Outcome::Warn);
        assert_eq!(outcome("what"), Outcome::Warn);
    }

    #[test]
    fn what_admission_could_not_be_asked_is_not_passed() {
        let check = admission("shop", "the pod", &Answer::Unknown("no right".to_owned()));
        assert_eq!(check.outcome, Outcome::Skipped);
    }
}
