//! What a resource asks for, from what is seen of it. Pure.

use crate::api::{ENDED_LABEL, FINALIZER, StatefulMigration};
use kube::ResourceExt;

/// What is to be done about a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: it goes by itself, or it is being carried out.
    Nothing,
    /// To be begun.
    Begin,
    /// It was begun, and nobody works on it: to be gone on with.
    GoOn,
    /// To be ended without having been begun, or rolled back by somebody who has to take it up first.
    End,
    /// It is being carried out, and is to be rolled back.
    Stop,
    /// It has ended: the finalizer goes, and the label comes that keeps it out of the watch.
    Seal,
    /// It was never begun and is being deleted: the finalizer goes.
    LetGo,
}

/// What is seen of a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its phase is a final one.
    pub(super) ended: bool,
    /// Somebody has planned it.
    pub(super) begun: bool,
    /// Somebody deletes it.
    pub(super) deleting: bool,
    /// Its spec says that it is to be aborted.
    pub(super) abort: bool,
    /// It has the controller's finalizer.
    pub(super) held: bool,
    /// It has the label of those that have ended.
    pub(super) labelled: bool,
    /// This process works on it.
    pub(super) at_work: bool,
}

impl Seen {
    pub(super) fn of(found: &StatefulMigration, at_work: bool) -> Self {
        let status = found.status.as_ref();
        Self {
            ended: status.is_some_and(|it| it.phase.unwrap_or_default().is_final()),
            begun: status.is_some_and(|it| it.source_pod_uid.is_some()),
            deleting: found.metadata.deletion_timestamp.is_some(),
            abort: found.spec.abort == Some(true),
            held: found.finalizers().iter().any(|it| it == FINALIZER),
            labelled: found.labels().contains_key(ENDED_LABEL),
            at_work,
        }
    }
}

/// What a resource that is seen like this asks for.
pub(super) fn wish(seen: Seen) -> Wish {
    let unwanted = seen.abort || seen.deleting;
    if seen.ended {
        return if seen.held || !seen.labelled {
            Wish::Seal
        } else {
            Wish::Nothing
        };
    }
    if seen.at_work {
        return if unwanted { Wish::Stop } else { Wish::Nothing };
    }
    if seen.begun {
        return if unwanted { Wish::End } else { Wish::GoOn };
    }
    match (seen.deleting, seen.held) {
        (true, true) => Wish::LetGo,
        // Others may hold it yet; to the controller it is gone.
        (true, false) => Wish::Nothing,
        (false, _) if seen.abort => Wish::End,
        (false, _) => Wish::Begin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(words: &str) -> Seen {
        let has = |word: &str| words.split(' ').any(|it| it == word);
        Seen {
            ended: has("ended"),
            begun: has("begun"),
            deleting: has("deleting"),
            abort: has("abort"),
            held: has("held"),
            labelled: has("labelled"),
            at_work: has("at-work"),
        }
    }

    #[test]
    fn each_resource_gets_what_it_asks_for() {
        for (words, wanted) in [
            ("", Wish::Begin),
            ("held", Wish::Begin),
            ("held at-work", Wish::Nothing),
            ("begun held", Wish::GoOn),
            ("begun held at-work", Wish::Nothing),
            ("abort", Wish::End),
            ("begun held abort", Wish::End),
            ("begun held deleting", Wish::End),
            // Whoever removes the finalizer by hand does not end what is under way.
            ("begun deleting", Wish::End),
            ("begun held at-work abort", Wish::Stop),
            ("begun held at-work deleting", Wish::Stop),
            ("held at-work deleting", Wish::Stop),
            ("deleting", Wish::Nothing),
            ("held deleting", Wish::LetGo),
            ("ended begun held", Wish::Seal),
            ("ended begun held at-work", Wish::Seal),
            ("ended", Wish::Seal),
            ("ended held labelled deleting", Wish::Seal),
            ("ended labelled", Wish::Nothing),
        ] {
            assert_eq!(wish(seen(words)), wanted, "{words}");
        }
    }
}
