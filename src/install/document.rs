//! An object with the text that an export shows of it.

use serde::Serialize;
use serde_json::Value;

use super::{Options, documents};

/// An object, and its YAML with comments.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The object.
    pub object: Value,
    /// The same as YAML, with comments.
    pub text: String,
}

impl Document {
    /// Of a typed object. `comment` has its own `#`.
    pub(super) fn of(object: &impl Serialize, comment: &str) -> Self {
        // Types of Kubernetes have no map with other keys than strings, so neither can fail.
        let text = serde_yaml::to_string(object).unwrap_or_default();
        Self {
            object: serde_json::to_value(object).unwrap_or_default(),
            text: format!("{comment}{text}"),
        }
    }
}

/// All of it, as `ms2m install --export` prints it.
#[must_use]
pub fn yaml(options: &Options) -> String {
    let texts: Vec<String> = documents(options).into_iter().map(|it| it.text).collect();
    format!("{HEAD}{}", texts.join("---\n"))
}

const HEAD: &str = "\
# The controller of ms2m and everything that it needs, as `ms2m install --export` prints it. To apply:
#   kubectl apply --server-side -f FILE
";
