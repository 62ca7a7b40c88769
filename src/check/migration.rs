//! A migration: what the rules of its plan have found, arranged by what they are about.

use super::{Check, Outcome};
use crate::explain;
use crate::migration::error::Error;
use crate::migration::plan::{Finding, Found, Subject};
use crate::migration::ports::PortResult;

/// The checks of the findings about `subject`.
#[must_use]
pub fn findings(found: &[Finding], subject: Subject) -> Vec<Check> {
    found
        .iter()
        .filter(|finding| finding.rule.subject() == subject)
        .map(check)
        .collect()
}

fn check(finding: &Finding) -> Check {
    let name = finding.rule.title();
    match &finding.found {
        Found::Held(warnings) if warnings.is_empty() => Check::pass(name),
        Found::Held(warnings) => Check {
            meaning: warnings.clone(),
            ..Check::new(Outcome::Warn, name)
        },
        Found::Refused(error) => Check::refused(name, error),
        Found::Unseen(why) => Check::skipped(name, *why),
    }
}

/// The check of a part of the world that could not be seen at all, if it could not.
#[must_use]
pub fn unseen<T>(name: &str, seen: &Result<T, Error>) -> Option<Check> {
    seen.as_ref().err().map(|error| Check::refused(name, error))
}

/// Whether the target node has the container's image, which a restore never pulls by itself.
#[must_use]
pub fn base_image(
    namespace: &str,
    node: &str,
    image: &str,
    there: &PortResult<Option<bool>>,
) -> Check {
    let name = format!("node {node} has the image that the container was made of");
    match there {
        Ok(Some(true)) => Check::pass(name),
        Ok(Some(false)) => Check::warn(name, format!("{image} is not there yet"))
            .because(
                "a migration pulls it before the checkpoint, and takes so much longer to begin",
            )
            .hint(format!(
                "kubectl run ms2m-pull-{node} -n {namespace} --restart=Never --image={image} \
                 --overrides='{{\"spec\":{{\"nodeName\":\"{node}\"}}}}' --command -- true"
            ))
            .hint(format!(
                "and once it is pulled: kubectl delete pod ms2m-pull-{node} -n {namespace}"
            )),
        Ok(None) if !image.contains('@') => Check::skipped(name, "its digest is not known"),
        Ok(None) => Check::skipped(name, "the node does not tell of all of its images"),
        Err(error) => Check::skipped(name, error.to_string()),
    }
}

/// Whether the ports of the node that the pod asks for are free on the target node.
#[must_use]
pub fn ports(node: &str, taken: &PortResult<Vec<String>>) -> Check {
    let name = format!("the ports that it asks for are free on node {node}");
    match taken {
        Ok(taken) if taken.is_empty() => Check::pass(name),
        Ok(taken) => Check::fail(
            name,
            &explain::PORTS_TAKEN,
            format!("other pods have {}", taken.join(", ")),
        )
        .because("the scheduler would find no place for the target pod")
        .hint("name another node with --to"),
        Err(error) => Check::skipped(name, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::plan::Rule;

    #[test]
    fn findings_become_checks_of_their_subject() {
        let found = [
            Finding {
                rule: Rule::Pod,
                found: Found::Held(Vec::new()),
            },
            Finding {
                rule: Rule::Stays,
                found: Found::Held(vec!["one".to_owned(), "two".to_owned()]),
            },
            Finding {
                rule: Rule::Queue,
                found: Found::Refused(Error::refused("no queue")),
            },
            Finding {
                rule: Rule::Limits,
                found: Found::Unseen("not told"),
            },
        ];
        let outcomes = |subject| {
            let checks = findings(&found, subject);
            checks.iter().map(|it| it.outcome).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(Subject::Pod), [Outcome::Pass, Outcome::Warn]);
        assert_eq!(outcomes(Subject::Nodes), []);
        assert_eq!(outcomes(Subject::Broker), [Outcome::Fail, Outcome::Skipped]);
    }
}
