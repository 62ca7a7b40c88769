//! What `ms2m explain` tells: every error has a code, a word or two that never change, and every code
//! has a text. The words of kubelets, runtimes and CRIU are recognised here too, so that the cause and
//! the remedy come before them.
//!
//! A leaf: it knows nothing of the rest, and decides nothing. Which error has which code is said where
//! the error is made.

mod call;
mod ends;
mod handoff;
mod nodes;
mod pod;
mod queue;
mod restore;
mod tool;

use serde::{Serialize, Serializer};

pub use call::*;
pub use ends::*;
pub use handoff::*;
pub use nodes::*;
pub use pod::*;
pub use queue::*;
pub use restore::*;
pub use tool::*;

/// What there is to know about one kind of error.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The code: lower case, stable.
    pub code: &'static str,
    /// What has happened, in a few words.
    pub title: &'static str,
    /// What it means: the cause, as one sentence without a full stop.
    pub means: &'static str,
    /// What the causes usually are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub causes: &'static [&'static str],
    /// What to do, in this order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub next: &'static [&'static str],
    /// Words of kubelets, runtimes, brokers and so on that say it: parts of their texts, with `…` for
    /// what may stand between.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub says: &'static [&'static str],
    /// Where this is known from; empty for ms2m's own rules.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source: &'static str,
}

impl Explanation {
    /// Nothing yet, for the fields that a text leaves out.
    const NOTHING: Self = Self {
        code: "",
        title: "",
        means: "",
        causes: &[],
        next: &[],
        says: &[],
        source: "",
    };

    /// Whether `text` is what is said in this case.
    #[must_use]
    pub fn is_said_in(&self, text: &str) -> bool {
        self.says.iter().any(|words| {
            let mut rest = Some(text);
            for part in words.split('…') {
                rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
            }
            rest.is_some()
        })
    }

    /// What to type to read it.
    #[must_use]
    pub fn command(&self) -> String {
        format!("{COMMAND}{}", self.code)
    }
}

/// A code, with all that there is to know about it.
pub type Code = &'static Explanation;

/// How [`Explanation::command`] begins.
const COMMAND: &str = "ms2m explain ";

/// Before the command that explains an error, in a text of one line.
const SEE: &str = "; see: ";

/// Defines the texts of a file, and the list of them, so that none can be left out of the list.
macro_rules! explanations {
    ($list:ident; $($name:ident = $code:literal, $title:literal { $($field:ident: $value:expr),* $(,)? })*) => {
        $(
            #[doc = concat!("`", $code, "`: ", $title, ".")]
            #[allow(clippy::needless_update, reason = "some texts have all fields")]
            pub static $name: $crate::explain::Explanation = $crate::explain::Explanation {
                code: $code,
                title: $title,
                $($field: $value,)*
                ..$crate::explain::Explanation::NOTHING
            };
        )*
        pub(super) static $list: &[$crate::explain::Code] = &[$(&$name),*];
    };
}
use explanations;

/// All texts, by subject.
#[must_use]
pub fn all() -> [(&'static str, &'static [Code]); 8] {
    [
        ("How a command ends", ENDS),
        ("The pod and its owner", POD),
        ("Nodes and namespace", NODES),
        ("Broker, exchange and queue", QUEUE),
        ("The checkpoint", CALL),
        ("Transfer and restore", RESTORE),
        ("The handoff", HANDOFF),
        ("The cluster and ms2m itself", TOOL),
    ]
}

/// All codes.
pub fn codes() -> impl Iterator<Item = Code> {
    all().into_iter().flat_map(|(_, of)| of.iter().copied())
}

/// The text of `code`.
#[must_use]
pub fn find(code: &str) -> Option<Code> {
    codes().find(|it| it.code == code)
}

/// The code of an error that somebody else has put into words: one that names it, or else the first
/// whose words are in it. The more particular ones stand before the general ones.
#[must_use]
pub fn recognise(text: &str) -> Option<Code> {
    let named = text.rsplit_once(COMMAND).and_then(|(_, code)| {
        let end = code.find(|it: char| !(it.is_ascii_lowercase() || it == '-'));
        find(&code[..end.unwrap_or(code.len())])
    });
    named.or_else(|| codes().find(|it| it.is_said_in(text)))
}

/// `text` with the command that explains it, for places that have one line.
#[must_use]
pub fn with_command(text: &str, code: Code) -> String {
    format!("{text}{SEE}{}", code.command())
}

/// What [`with_command`] was given.
#[must_use]
pub fn without_command(text: &str) -> &str {
    match text.rsplit_once(SEE) {
        Some((before, after)) if after.starts_with(COMMAND) => before,
        _ => text,
    }
}

/// A code as it stands in JSON.
///
/// # Errors
/// As the serializer.
pub fn as_code<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.code)
}

#[cfg(test)]
mod tests;
