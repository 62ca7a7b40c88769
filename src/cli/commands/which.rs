//! Which migration is meant: by its name, or by its pod.

use std::borrow::Borrow;

use crate::cli::settings::value;
use crate::explain;
use crate::migration::error::Error;
use crate::migration::plan::closest;
use crate::migration::record::Record;

/// Which migration is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one of this name.
    Migration(String),
    /// The latest one of this pod.
    Pod(String),
    /// The one of this name, or else the latest one of the pod of this name.
    Either(String),
}

impl Which {
    /// A name that may be a pod's as well.
    #[must_use]
    pub fn or_pod(self) -> Self {
        match self {
            Self::Migration(name) => Self::Either(name),
            other => other,
        }
    }
}

/// Reads `NAME`, `sm/NAME` or `pod/POD`.
///
/// # Errors
/// It is no name.
pub fn parse(text: &str) -> Result<Which, String> {
    match text.split_once('/') {
        Some(("pod" | "pods" | "po", _)) => value::pod(text).map(Which::Pod),
        _ => value::migration(text).map(Which::Migration),
    }
}

/// The migration that is meant. Records are oldest first.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Refused`] with the nearest name: there is none.
pub fn find<'a, T: Borrow<Record>>(
    records: &'a [T],
    which: &Which,
    namespace: &str,
) -> Result<&'a T, Error> {
    let named = |name: &str| records.iter().find(|record| name_of(*record) == name);
    let found = match which {
        Which::Migration(name) => named(name),
        Which::Pod(pod) => latest_of(records, pod),
        Which::Either(name) => named(name).or_else(|| latest_of(records, name)),
    };
    found.ok_or_else(|| unknown(records, which, namespace))
}

fn name_of<T: Borrow<Record>>(record: &T) -> &str {
    &record.borrow().name
}

fn pod_of<T: Borrow<Record>>(record: &T) -> &str {
    &record.borrow().spec.source_pod
}

fn latest_of<'a, T: Borrow<Record>>(records: &'a [T], pod: &str) -> Option<&'a T> {
    records.iter().rev().find(|record| pod_of(*record) == pod)
}

fn unknown<T: Borrow<Record>>(records: &[T], which: &Which, namespace: &str) -> Error {
    let (what, wanted) = match which {
        Which::Migration(name) => (format!("there is no migration {name}"), name),
        Which::Pod(pod) => (format!("there is no migration of pod {pod}"), pod),
        Which::Either(name) => (
            format!("there is no migration {name} or of pod {name}"),
            name,
        ),
    };
    let error = Error::refused(format!("{what} in namespace {namespace}"))
        .code(&explain::MIGRATION_MISSING);
    let names = records.iter().map(|record| match which {
        Which::Migration(_) | Which::Either(_) => name_of(record),
        Which::Pod(_) => pod_of(record),
    });
    if let Some(name) = closest(wanted, names) {
        return error.hint(format!("did you mean {name}?"));
    }
    // A pod's name is what people have at hand.
    match latest_of(records, wanted) {
        Some(record) => error.hint(format!(
            "the latest migration of pod {wanted} is {}",
            name_of(record)
        )),
        None => error.hint("see all of them: ms2m status"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use jiff::Timestamp;

    use crate::api::{StatefulMigrationSpec, StatefulMigrationStatus};

    pub(crate) fn record(name: &str, pod: &str) -> Record {
        Record {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            spec: StatefulMigrationSpec::sample(pod),
            status: StatefulMigrationStatus::default(),
        }
    }

    #[test]
    fn a_migration_is_found_by_its_name_or_by_its_pod() {
        let records = [record("w-1", "w"), record("w-2", "w"), record("x-1", "x")];
        let name = |text: &str| {
            let which = parse(text).expect("it is a name");
            find(&records, &which, "default").map(|record| record.name.as_str())
        };
        assert_eq!(name("w-1"), Ok("w-1"));
        assert_eq!(name("sm/w-1"), Ok("w-1"));
        assert_eq!(name("pod/w"), Ok("w-2"));
        let either = |text: &str| {
            let which = parse(text).expect("it is a name").or_pod();
            find(&records, &which, "default").map(|record| record.name.as_str())
        };
        assert_eq!(either("w-1"), Ok("w-1"));
        assert_eq!(either("w"), Ok("w-2"));
        assert!(either("y").is_err());
    }

    #[test]
    fn an_unknown_name_comes_with_a_suggestion() {
        let records = [record("worker-0-abcde", "worker-0")];
        let hint = |text: &str| {
            let which = parse(text).expect("it is a name");
            let error = find(&records, &which, "default").expect_err("it is unknown");
            assert_eq!(error.kind.exit_code(), 3);
            error.hints.join("\n")
        };
        assert_eq!(hint("worker-0-abcdf"), "did you mean worker-0-abcde?");
        assert_eq!(hint("pod/worker-1"), "did you mean worker-0?");
        assert_eq!(hint("zzz"), "see all of them: ms2m status");
    }
}
