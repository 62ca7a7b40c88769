//! The configuration file: settings by name, at the top for every cluster and under `contexts`
//! for one.
//!
//! ```yaml
//! repository: registry.example.com/checkpoints
//! contexts:
//!   production:
//!     broker-url: amqps://mq.example.com
//! ```
//!
//! A key that nobody reads is refused: it is more likely a slip than meant to do nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde_yaml::Value;

use super::table::{SETTINGS, Setting};
use crate::migration::error::Error;
use crate::migration::plan::closest;

/// Settings by name.
type Values = BTreeMap<String, String>;

/// What the file says. Without a file it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Where it is, or would be.
    path: Option<PathBuf>,
    everywhere: Values,
    contexts: BTreeMap<String, Values>,
}

impl Config {
    /// Reads the file at `given`, which must be there, or else the one at its usual place, which
    /// need not.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`]: it cannot be read, is no YAML, or has an
    /// unknown key.
    pub fn load(given: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = given.map(Path::to_owned).or_else(usual_place) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => {
                Ok(Self {
                    path: Some(path),
                    ..Self::default()
                })
            }
            Err(error) => Err(Error::usage(format!(
                "failed to read the configuration {}",
                path.display()
            ))
            .because(error)),
        }
    }

    /// Reads `text`; `path` is for the messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| {
            Error::usage(format!("the configuration {} is wrong", path.display())).because(why)
        };
        let value: Value = serde_yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut config = Self {
            path: Some(path.to_owned()),
            ..Self::default()
        };
        for (key, value) in entries(value, "the file").map_err(wrong)? {
            if key == "contexts" {
                for (context, value) in entries(value, "contexts").map_err(wrong)? {
                    let place = format!("contexts.{context}");
                    let values = section(value, &place).map_err(wrong)?;
                    config.contexts.insert(context, values);
                }
            } else {
                let value = setting(&key, value, "").map_err(wrong)?;
                config.everywhere.insert(key, value);
            }
        }
        Ok(config)
    }

    /// What the file says about `setting`, and where in it: the section of the context counts
    /// before the top.
    #[must_use]
    pub fn get(&self, setting: &Setting, context: Option<&str>) -> Option<(&str, String)> {
        let own = context.and_then(|context| {
            let value = self.contexts.get(context)?.get(setting.name)?;
            Some((
                value.as_str(),
                format!("contexts.{context}.{}", setting.name),
            ))
        });
        own.or_else(|| {
            let value = self.everywhere.get(setting.name)?;
            Some((value.as_str(), setting.name.to_owned()))
        })
    }

    /// Where the file is, or would be looked for.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// `ms2m/config.yaml` in `$XDG_CONFIG_HOME` or `~/.config`; none without a home directory.
fn usual_place() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("ms2m").join("config.yaml"))
}

fn section(value: Value, place: &str) -> Result<Values, String> {
    entries(value, place)?
        .into_iter()
        .map(|(key, value)| {
            let value = setting(&key, value, &format!("{place}."))?;
            Ok((key, value))
        })
        .collect()
}

/// The pairs of a mapping, or of nothing. `place` names it in messages, which quote no value.
fn entries(value: Value, place: &str) -> Result<Vec<(String, Value)>, String> {
    let mapping = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Mapping(mapping) => mapping,
        _ => return Err(format!("{place} is not a mapping of names to values")),
    };
    mapping
        .into_iter()
        .map(|(key, value)| match key {
            Value::String(key) => Ok((key, value)),
            _ => Err(format!("{place} has a key that is not text")),
        })
        .collect()
}

fn setting(key: &str, value: Value, place: &str) -> Result<String, String> {
    if !SETTINGS.iter().any(|setting| setting.name == key) {
        return Err(unknown(key, place));
    }
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(format!("{place}{key} is not a single value")),
    }
}

fn unknown(key: &str, place: &str) -> String {
    let names = || SETTINGS.iter().map(|setting| setting.name);
    match closest(key, names()) {
        Some(name) => format!("unknown key {place}{key}; did you mean {name}?"),
        None => {
            let names: Vec<&str> = names().collect();
            format!(
                "unknown key {place}{key}; known are contexts, {}",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::table;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/c.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_context_s_own_section_counts_first() {
        let config = parse(
            "repository: reg/all\nreplay-cutoff: 30\nkeep-checkpoint: true\n\
             contexts:\n  prod:\n    repository: reg/prod\n  empty:\n",
        )
        .expect("it is right");
        let get = |setting, context| config.get(setting, context).map(|(value, _)| value);
        assert_eq!(get(&table::REPOSITORY, Some("prod")), Some("reg/prod"));
        assert_eq!(get(&table::REPOSITORY, Some("empty")), Some("reg/all"));
        assert_eq!(get(&table::REPOSITORY, Some("other")), Some("reg/all"));
        assert_eq!(get(&table::REPOSITORY, None), Some("reg/all"));
        assert_eq!(get(&table::REPLAY_CUTOFF, Some("prod")), Some("30"));
        assert_eq!(get(&table::KEEP_CHECKPOINT, None), Some("true"));
        assert_eq!(get(&table::QUEUE, None), None);
        let (_, place) = config
            .get(&table::REPOSITORY, Some("prod"))
            .expect("it is there");
        assert_eq!(place, "contexts.prod.repository");
    }

    #[test]
    fn an_empty_file_says_nothing() {
        for text in ["", "# only a comment\n", "contexts:\n"] {
            let config = parse(text).expect(text);
            assert_eq!(config.get(&table::QUEUE, Some("x")), None);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_key() {
        for (text, words) in [
            ("queu: x", "unknown key queu; did you mean queue?"),
            (
                "colour: red",
                "unknown key colour; known are contexts, container",
            ),
            (
                "contexts:\n  prod:\n    brokerUrl: x",
                "unknown key contexts.prod.brokerUrl; did you mean broker-url?",
            ),
            ("queue: [a]", "queue is not a single value"),
            ("queue:", "queue is not a single value"),
            ("- a", "the file is not a mapping"),
            ("contexts: x", "contexts is not a mapping"),
            ("contexts: {1: {}}", "contexts has a key that is not text"),
            ("a: b: c", "line 1"),
            ("queue: a\nqueue: b", "duplicate"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("/etc/c.yaml"), "{text}: {error}");
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("missing.yaml");
        let error = Config::load(Some(&path)).expect_err("it is missing");
        assert!(error.what.contains("missing.yaml"), "{error}");
        assert_eq!(error.kind.exit_code(), 2);
    }
}
