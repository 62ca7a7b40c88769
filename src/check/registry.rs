//! The registry that checkpoints travel by, seen from where ms2m runs.

use super::{Check, Group};
use crate::explain;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The group of the registry: what came of beginning an upload to `repository`.
#[must_use]
pub fn registry(repository: &str, pushed: &PortResult<()>) -> Group {
    let host = repository.split('/').next().unwrap_or(repository);
    let answers = format!("{host} answers from here");
    let writable = format!("{repository} can be pushed to");
    let checks = match pushed {
        Ok(()) => vec![Check::pass(answers), Check::pass(writable)],
        Err(error @ PortError::Denied(_)) => vec![
            Check::pass(answers),
            Check::fail(writable, &explain::REGISTRY_UNUSABLE, error.to_string())
                .hint(format!("docker login {host}"))
                .hint("and give the transfer a Secret that may push: --registry-secret"),
        ],
        Err(error @ PortError::NotFound(_)) => vec![
            Check::pass(answers),
            Check::fail(writable, &explain::REGISTRY_UNUSABLE, error.to_string())
                .hint("check the path that checkpoints are pushed to (--repository); some registries want it made first"),
        ],
        // The nodes may reach what cannot be reached from here; only the image's deletion needs it.
        Err(error) => vec![
            Check::warn(answers, error.to_string())
                .because("the nodes push and pull; from here only the deletion of the image is asked for, and would be left undone")
                .hint("check the registry's address (--repository); one without TLS needs --registry-plain-http"),
            Check::skipped(writable, "it does not answer from here"),
        ],
    };
    Group::new("Registry", checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    #[test]
    fn what_the_nodes_may_reach_is_no_failure_here() {
        let outcomes = |pushed: PortResult<()>| {
            let group = registry("reg:5000/cp", &pushed);
            group.checks.iter().map(|it| it.outcome).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(Ok(())), [Outcome::Pass; 2]);
        let denied = Err(PortError::Denied("401".to_owned()));
        assert_eq!(outcomes(denied), [Outcome::Pass, Outcome::Fail]);
        let away = Err(PortError::Unreachable("refused".to_owned()));
        assert_eq!(outcomes(away), [Outcome::Warn, Outcome::Skipped]);
    }
}
