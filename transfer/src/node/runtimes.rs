//! The configuration of container runtimes, as far as it matters to checkpoints. Pure. Switches and
//! where they stand: the sources of CRI-O 1.36 and containerd 2.3.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::cut;

/// The low-level runtime that both start by unless they are told otherwise, with containerd.
const RUNC: &str = "runc";

/// Names of containerd's CRI plugin, in its configuration of version 3 and of version 2.
const PLUGINS: [&str; 2] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];

/// What CRI-O is told. `None` where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Crio {
    /// `[crio.runtime] enable_criu_support`.
    #[serde(default)]
    pub enable_criu_support: Option<bool>,
    /// `[crio.checkpoint_restore] container_level_enabled`, of later patch releases.
    #[serde(default)]
    pub container_level_enabled: Option<String>,
    /// The low-level runtime of pods without a runtime class, by the name of its program.
    #[serde(default)]
    pub low_level: Option<String>,
}

/// What containerd is told. `None` where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Containerd {
    /// `enable_criu` of the CRI plugin.
    #[serde(default)]
    pub enable_criu: Option<bool>,
    /// `enable_experimental_restore_via_create` of the CRI plugin.
    #[serde(default)]
    pub restore_via_create: Option<bool>,
    /// The low-level runtime of pods without a runtime class, by the name of its program.
    #[serde(default)]
    pub low_level: Option<String>,
}

/// Reads a file of a runtime's configuration.
///
/// # Errors
/// It is no TOML: why, in one line without what is in the file.
pub fn parse(text: &str) -> Result<Table, String> {
    toml::from_str(text).map_err(|error| format!("it is no TOML: {}", error.message()))
}

impl Crio {
    /// What the files say, in the order in which CRI-O reads them: the last word counts.
    #[must_use]
    pub fn of(files: &[Table]) -> Self {
        let at = |path: &[&str]| last(files, path);
        let text = |path: &[&str]| at(path).and_then(Value::as_str);
        let name = text(&["crio", "runtime", "default_runtime"]);
        let program = name
            .and_then(|name| text(&["crio", "runtime", "runtimes", name, "runtime_path"]))
            .filter(|path| !path.is_empty())
            .map(base);
        Self {
            enable_criu_support: at(&["crio", "runtime", "enable_criu_support"])
                .and_then(Value::as_bool),
            container_level_enabled: text(&[
                "crio",
                "checkpoint_restore",
                "container_level_enabled",
            ])
            .map(cut),
            low_level: program.or(name).map(cut),
        }
    }
}

impl Containerd {
    /// What the files say, in the order in which containerd reads them: the last word counts.
    #[must_use]
    pub fn of(files: &[Table]) -> Self {
        let at = |path: &[&str]| {
            PLUGINS.iter().find_map(|plugin| {
                let path = [&["plugins", *plugin], path].concat();
                last(files, &path)
            })
        };
        let text = |path: &[&str]| at(path).and_then(Value::as_str);
        let flag = |name: &str| at(&[name]).and_then(Value::as_bool);
        let name = text(&["containerd", "default_runtime_name"]).unwrap_or(RUNC);
        let program = text(&["containerd", "runtimes", name, "options", "BinaryName"])
            .filter(|path| !path.is_empty())
            .map(base);
        let kind = text(&["containerd", "runtimes", name, "runtime_type"]);
        let of_runc =
            kind.is_none_or(|kind| kind.is_empty() || kind.starts_with("io.containerd.runc."));
        Self {
            enable_criu: flag("enable_criu"),
            restore_via_create: flag("enable_experimental_restore_via_create"),
            low_level: Some(cut(program.unwrap_or(if of_runc { RUNC } else { name }))),
        }
    }
}

/// The value at `path` in the last of the files that has one.
fn last<'a>(files: &'a [Table], path: &[&str]) -> Option<&'a Value> {
    let (name, tables) = path.split_last()?;
    files.iter().rev().find_map(|file| {
        let table = tables
            .iter()
            .try_fold(file, |table, name| table.get(*name)?.as_table())?;
        table.get(*name)
    })
}

/// The name of a program, without its directory.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Vec<Table> {
        texts.iter().map(|it| parse(it).expect("TOML")).collect()
    }

    #[test]
    fn of_several_files_the_last_word_counts() {
        let crio = Crio::of(&files(&[
            "[crio.runtime]\nenable_criu_support = false\ndefault_runtime = 'runc'",
            "[crio.runtime]\nenable_criu_support = true\n[crio.checkpoint_restore]\ncontainer_level_enabled = 'checkpoint'",
            "[crio.runtime]\ndefault_runtime = 'fast'\n[crio.runtime.runtimes.fast]\nruntime_path = '/opt/bin/crun'",
        ]));
        assert_eq!(crio.enable_criu_support, Some(true));
        assert_eq!(crio.container_level_enabled.as_deref(), Some("checkpoint"));
        assert_eq!(crio.low_level.as_deref(), Some("crun"));
        assert_eq!(Crio::of(&[]), Crio::default());
        let odd = Crio::of(&files(&["crio = 7", "[crio]\nruntime = []"]));
        assert_eq!(odd, Crio::default());
    }

    #[test]
    fn the_plugin_of_containerd_has_two_names() {
        let newer = Containerd::of(&files(&[
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\nenable_criu = false\n\
             enable_experimental_restore_via_create = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nBinaryName = '/usr/bin/crun'",
        ]));
        assert_eq!(newer.enable_criu, Some(false));
        assert_eq!(newer.restore_via_create, Some(true));
        assert_eq!(newer.low_level.as_deref(), Some("crun"));
        let older = Containerd::of(&files(&[
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'kata'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\nruntime_type = 'io.containerd.kata.v2'",
        ]));
        assert_eq!(older.restore_via_create, None);
        assert_eq!(older.low_level.as_deref(), Some("kata"));
        assert_eq!(Containerd::of(&[]).low_level.as_deref(), Some("runc"));
    }

    #[test]
    fn what_is_no_toml_is_said_without_its_text() {
        let error = parse("password = hunter2 hunter2").expect_err("no TOML");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
