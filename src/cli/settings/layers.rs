//! Resolves settings: the first layer that says something counts, and where it was said is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::{Serialize, Serializer};

use super::config::Config;
use super::table::Setting;
use super::value::Secret;
use crate::explain;
use crate::migration::error::Error;

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, by this flag.
    Flag(String),
    /// In this environment variable.
    Environment(String),
    /// In this annotation of the pod.
    Annotation(String),
    /// In this file, under this key.
    Config(PathBuf, String),
    /// In the record of the unfinished migration of this name.
    Record(String),
    /// By nobody: it was found there.
    Found(String),
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Annotation(key) => write!(f, "annotation {key}"),
            Self::Config(path, key) => write!(f, "{key} in {}", path.display()),
            Self::Record(name) => write!(f, "unfinished migration {name}"),
            Self::Found(place) => write!(f, "found in {place}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A setting that is settled. The value is as it may be shown: without user and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// Which setting.
    #[serde(rename = "setting", serialize_with = "setting_name")]
    pub setting: &'static Setting,
    /// Its value; none where it follows from the pod or from other settings.
    pub value: Option<String>,
    /// Where it was said.
    pub origin: Origin,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn setting_name<S: Serializer>(
    setting: &&'static Setting,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(setting.name)
}

/// The layers below the command line, and what was resolved so far.
#[derive(Debug)]
pub struct Layers<'a> {
    /// What clap knows of the command.
    pub matches: &'a ArgMatches,
    /// The pod's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The configuration file.
    pub config: &'a Config,
    /// The kubeconfig's context in use.
    pub context: Option<String>,
    /// Settings of an unfinished migration of this pod, and its name.
    pub record: Option<(String, BTreeMap<&'static str, String>)>,
    /// What was found out about the pod, and where, for whoever has agreed to that.
    pub found: BTreeMap<&'static str, (Secret, String)>,
    /// What was resolved so far.
    pub resolved: Vec<Resolved>,
    /// Required settings that no layer has.
    pub missing: Vec<&'static Setting>,
}

impl<'a> Layers<'a> {
    /// Layers that say nothing but what is in `matches` and `config`.
    #[must_use]
    pub fn new(matches: &'a ArgMatches, config: &'a Config) -> Self {
        Self {
            matches,
            annotations: BTreeMap::new(),
            config,
            context: None,
            record: None,
            found: BTreeMap::new(),
            resolved: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Settles `setting`: `typed` is what clap has read from flag or environment, `read` reads
    /// the other layers, `show` makes a text without secrets.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`] with the layer whose value cannot be read.
    pub fn pick<T>(
        &mut self,
        setting: &'static Setting,
        typed: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<Option<T>, Error> {
        let (value, origin) = match typed {
            Some(value) => (Some(value), self.typed_origin(setting)),
            None => self.below(setting, &read)?,
        };
        if value.is_none() && setting.required {
            self.missing.push(setting);
        }
        self.resolved.push(Resolved {
            setting,
            value: value.as_ref().map(show),
            origin,
        });
        Ok(value)
    }

    fn below<T>(
        &self,
        setting: &'static Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(Option<T>, Origin), Error> {
        let Some((text, origin)) = self.said(setting) else {
            return Ok((None, Origin::Default));
        };
        let value = read(&text).map_err(|why| unreadable(setting, &origin, &why))?;
        Ok((Some(value), origin))
    }

    /// What the layers below the command line say, first one first.
    fn said(&self, setting: &'static Setting) -> Option<(String, Origin)> {
        let annotation = setting.annotation();
        if let Some(text) = self.annotations.get(&annotation) {
            return Some((text.clone(), Origin::Annotation(annotation)));
        }
        if let Some((text, key)) = self.config.get(setting, self.context.as_deref()) {
            let path = self
                .config
                .path()
                .map(ToOwned::to_owned)
                .unwrap_or_default();
            return Some((text.to_owned(), Origin::Config(path, key)));
        }
        // Before the record, which has no passwords.
        if let Some((text, place)) = self.found.get(setting.name) {
            return Some((text.0.clone(), Origin::Found(place.clone())));
        }
        if let Some((name, values)) = &self.record
            && let Some(text) = values.get(setting.name)
        {
            return Some((text.clone(), Origin::Record(name.clone())));
        }
        let default = setting.default?;
        Some((default.to_owned(), Origin::Default))
    }

    /// Whether anybody says something of `setting`: a default is nobody's word. A record is one, save
    /// for what it cannot hold.
    #[must_use]
    pub fn is_said(&self, setting: &'static Setting, secret: bool) -> bool {
        let id = setting.id();
        // Not every command has every flag.
        let is_flag = self.matches.try_contains_id(&id).is_ok();
        if is_flag && self.matches.value_source(&id).is_some() {
            return true;
        }
        match self.said(setting) {
            None | Some((_, Origin::Default)) => false,
            Some((_, Origin::Record(_))) => !secret,
            Some(_) => true,
        }
    }

    /// Whether a value that clap has was typed or stood in the environment.
    #[must_use]
    pub fn typed_origin(&self, setting: &Setting) -> Origin {
        match self.matches.value_source(&setting.id()) {
            Some(ValueSource::EnvVariable) => Origin::Environment(setting.env()),
            _ => Origin::Flag(setting.flag()),
        }
    }

    /// The error about required settings that no layer has: each with all the ways to give it.
    #[must_use]
    pub fn incomplete(&self) -> Error {
        let names: Vec<&str> = self.missing.iter().map(|setting| setting.name).collect();
        let file = self.config.path().map_or_else(
            || "the configuration file".to_owned(),
            |path| path.display().to_string(),
        );
        let mut error = Error::usage(format!(
            "{} missing: {}",
            if names.len() == 1 {
                "a setting is"
            } else {
                "settings are"
            },
            names.join(", ")
        ))
        .code(&explain::SETTING_MISSING);
        for setting in &self.missing {
            error = error.hint(format!(
                "nothing says {}: give {}, {}, the annotation {} on the pod, or {}: in {file}",
                setting.what,
                setting.flag(),
                setting.env(),
                setting.annotation(),
                setting.name,
            ));
        }
        error
    }
}

/// A value that cannot be read, and where it was said. `why` quotes no secret.
#[must_use]
pub fn unreadable(setting: &Setting, origin: &Origin, why: &str) -> Error {
    Error::usage(format!(
        "the {} given by {origin} cannot be read",
        setting.name
    ))
    .because(why)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::command;
    use crate::cli::settings::{table, value};

    fn matches(args: &[&str]) -> ArgMatches {
        let line = ["ms2m", "migrate", "worker-0"].iter().chain(args);
        let matches = command()
            .try_get_matches_from(line)
            .expect("the test's arguments are right");
        matches
            .subcommand_matches("migrate")
            .expect("the command was given")
            .clone()
    }

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (format!("migration.ms2m.io/{key}"), (*value).to_owned()))
            .collect()
    }

    fn queue(layers: &mut Layers<'_>) -> (Option<String>, Origin) {
        let typed = layers.matches.get_one::<String>("queue").cloned();
        let value = layers
            .pick(&table::QUEUE, typed, value::name, Clone::clone)
            .expect("it can be read");
        let origin = layers.resolved.pop().expect("it was kept").origin;
        (value, origin)
    }

    #[test]
    fn the_first_layer_that_says_something_counts() {
        let config = Config::parse(
            "queue: file\ncontexts: {prod: {queue: prod}}",
            Path::new("c.yaml"),
        )
        .expect("it is right");
        let matches_with = matches(&["--queue", "flag"]);
        let matches_without = matches(&[]);
        let mut layers = Layers::new(&matches_with, &config);
        layers.annotations = annotations(&[("queue", "pod")]);
        layers.context = Some("prod".to_owned());
        layers.record = Some((
            "m-1".to_owned(),
            BTreeMap::from([("queue", "record".to_owned())]),
        ));

        let (value, origin) = queue(&mut layers);
        assert_eq!(
            (value.as_deref(), origin.to_string().as_str()),
            (Some("flag"), "--queue")
        );

        layers.matches = &matches_without;
        let (value, origin) = queue(&mut layers);
        assert_eq!(value.as_deref(), Some("pod"));
        assert_eq!(origin.to_string(), "annotation migration.ms2m.io/queue");

        layers.annotations.clear();
        let (value, origin) = queue(&mut layers);
        assert_eq!(value.as_deref(), Some("prod"));
        assert_eq!(origin.to_string(), "contexts.prod.queue in c.yaml");

        layers.context = None;
        let (value, origin) = queue(&mut layers);
        assert_eq!(value.as_deref(), Some("file"));
        assert_eq!(origin.to_string(), "queue in c.yaml");

        let nothing = Config::default();
        layers.config = &nothing;
        let (value, origin) = queue(&mut layers);
        assert_eq!(value.as_deref(), Some("record"));
        assert_eq!(origin.to_string(), "unfinished migration m-1");

        layers.record = None;
        let (value, origin) = queue(&mut layers);
        assert_eq!((value, origin), (None, Origin::Default));
        assert_eq!(layers.missing, [&table::QUEUE]);
    }

    #[test]
    fn a_default_is_read_like_any_other_value() {
        let matches = matches(&[]);
        let config = Config::default();
        let mut layers = Layers::new(&matches, &config);
        let value = layers
            .pick(
                &table::MAX_PAUSE,
                None,
                value::duration,
                value::show_duration,
            )
            .expect("it can be read");
        assert_eq!(value, Some(std::time::Duration::from_secs(1)));
        assert_eq!(
            serde_json::to_value(&layers.resolved[0]).expect("it is JSON"),
            serde_json::json!({"setting": "max-pause", "value": "1s", "origin": "default"})
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named_with_its_place() {
        let matches = matches(&[]);
        let config = Config::default();
        let mut layers = Layers::new(&matches, &config);
        layers.annotations = annotations(&[("replay-cutoff", "soon")]);
        let error = layers
            .pick(
                &table::REPLAY_CUTOFF,
                None,
                value::duration,
                value::show_duration,
            )
            .expect_err("soon is no duration");
        assert_eq!(
            error.to_string(),
            "the replay-cutoff given by annotation migration.ms2m.io/replay-cutoff cannot be \
             read: it is a duration such as 120, 120s, 2m or 1m30s"
        );
    }

    #[test]
    fn what_is_missing_is_named_with_all_ways_to_give_it() {
        let matches = matches(&[]);
        let config = Config::parse("", Path::new("/home/a/.config/ms2m/config.yaml"))
            .expect("an empty file is right");
        let mut layers = Layers::new(&matches, &config);
        for setting in [&table::QUEUE, &table::EXCHANGE] {
            layers
                .pick(setting, None, value::name, Clone::clone)
                .expect("nothing is there to be read");
        }
        let error = layers.incomplete();
        insta::assert_snapshot!(
            crate::cli::failure::text(&error, crate::cli::ui::Paint(false)),
            @r"
        error: settings are missing: queue, exchange
          next: nothing says which queue the pod consumes: give --queue, MS2M_QUEUE, the annotation migration.ms2m.io/queue on the pod, or queue: in /home/a/.config/ms2m/config.yaml
          next: nothing says to which exchange the producers publish: give --exchange, MS2M_EXCHANGE, the annotation migration.ms2m.io/exchange on the pod, or exchange: in /home/a/.config/ms2m/config.yaml
          see: ms2m explain setting-missing
        "
        );
    }
}
