//! Manifests of `StatefulMigration` resources: read from files, cleaned of passwords, checked.
//! Nothing here talks to a cluster.

pub mod validate;
#[cfg(test)]
mod validate_tests;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

use crate::api::StatefulMigration;
use crate::cli::ui::public_url;
use crate::migration::error::Error;

/// One manifest, and where it stands.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// As `document 2 of migrations.yaml`.
    pub place: String,
    /// What stands there, without passwords.
    pub value: Value,
    /// The fields that a password was left out of.
    pub secrets: Vec<&'static str>,
}

impl Manifest {
    /// One that was made of flags.
    #[must_use]
    pub fn of_flags(resource: &StatefulMigration) -> Self {
        Self::new(
            "the resource".to_owned(),
            serde_json::to_value(resource).unwrap_or_default(),
        )
    }

    fn new(place: String, mut value: Value) -> Self {
        let secrets = take_secrets(&mut value);
        Self {
            place,
            value,
            secrets,
        }
    }

    /// Its name, or what the API server makes it of; empty when it has neither.
    #[must_use]
    pub fn name(&self) -> String {
        let metadata = &self.value["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        match (text("name"), text("generateName")) {
            (name, prefix) if name.is_empty() && !prefix.is_empty() => format!("{prefix}*"),
            (name, _) => name,
        }
    }

    /// A field of its spec, where it is text.
    #[must_use]
    pub fn spec(&self, field: &str) -> &str {
        self.value["spec"][field].as_str().unwrap_or_default()
    }

    /// The resource.
    ///
    /// # Errors
    /// It is not valid.
    pub fn resource(&self) -> Result<StatefulMigration, Error> {
        serde_json::from_value(self.value.clone())
            .map_err(|error| Error::usage(format!("{} cannot be read", self.place)).because(error))
    }
}

/// The URLs that people leave a password in.
const URLS: [(&str, &str); 2] = [
    (
        "/spec/messageQueueConfig/brokerUrl",
        "spec.messageQueueConfig.brokerUrl",
    ),
    (
        "/spec/messageQueueConfig/managementUrl",
        "spec.messageQueueConfig.managementUrl",
    ),
];

/// Takes user and password out of the URLs, and tells which had any.
fn take_secrets(value: &mut Value) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (pointer, field) in URLS {
        let Some(Value::String(url)) = value.pointer_mut(pointer) else {
            continue;
        };
        let clean = public_url(url);
        if clean != *url {
            *url = clean;
            found.push(field);
        }
    }
    found
}

/// Reads the manifests of `files`, of which `-` is standard input: each document of YAML or JSON,
/// each item of a list.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: a file cannot be read, or is no YAML, or there is
/// no manifest in any.
pub fn read(files: &[PathBuf]) -> Result<Vec<Manifest>, Error> {
    let mut found = Vec::new();
    for file in files {
        let name = name_of(file);
        let text = text_of(file)
            .map_err(|error| Error::usage(format!("{name} cannot be read")).because(error))?;
        found.extend(parse(&text, &name)?);
    }
    if found.is_empty() {
        let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
        return Err(Error::usage(format!(
            "there is no manifest in {}",
            names.join(", ")
        )));
    }
    Ok(found)
}

fn name_of(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn text_of(file: &Path) -> std::io::Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str, file: &str) -> Result<Vec<Manifest>, Error> {
    let mut values = Vec::new();
    for (at, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value = Value::deserialize(document).map_err(|error| {
            // The library's words quote nothing of the text.
            Error::usage(format!("document {} of {file} is no YAML", at + 1)).because(error)
        })?;
        match value {
            Value::Null => {}
            list if list["kind"] == "List" && list["items"].is_array() => {
                values.extend(list["items"].as_array().cloned().unwrap_or_default());
            }
            other => values.push(other),
        }
    }
    let many = values.len() > 1;
    let manifests = values.into_iter().enumerate().map(|(at, value)| {
        let place = if many {
            format!("document {} of {file}", at + 1)
        } else {
            file.to_owned()
        };
        Manifest::new(place, value)
    });
    Ok(manifests.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_and_every_item_is_one() {
        let text = "# nothing\n---\nmetadata: {name: a}\n---\n---\nkind: List\nitems:\n\
                    - metadata: {name: b}\n- metadata: {generateName: c-}\n";
        let found = parse(text, "f.yaml").expect("it is YAML");
        let names: Vec<String> = found.iter().map(Manifest::name).collect();
        assert_eq!(names, ["a", "b", "c-*"]);
        assert_eq!(found[2].place, "document 3 of f.yaml");
        let error = parse("a: b: c", "f.yaml").expect_err("it is no YAML");
        assert_eq!(error.what, "document 1 of f.yaml is no YAML");
    }

    #[test]
    fn a_password_is_taken_out_wherever_it_stands() {
        let text = "spec:\n  messageQueueConfig:\n    brokerUrl: amqp://u:hun/t@er2@mq/v\n    \
                    managementUrl: http://mq:15672\n";
        let found = parse(text, "f").expect("it is YAML");
        assert_eq!(found[0].secrets, ["spec.messageQueueConfig.brokerUrl"]);
        assert_eq!(
            found[0].value["spec"]["messageQueueConfig"]["brokerUrl"],
            "amqp://mq/v"
        );
    }
}
