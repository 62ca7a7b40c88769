//! The file itself: what was collected, and a note of what was not.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::ui::without_userinfo;
use crate::migration::ports::PortResult;

/// Texts by name, in the order in which they came.
pub(super) struct Bundle {
    directory: String,
    time: Timestamp,
    files: Vec<(String, String)>,
    missing: Vec<String>,
}

impl Bundle {
    pub(super) fn new(migration: &str, time: Timestamp) -> Self {
        Self {
            directory: format!("ms2m-{migration}"),
            time,
            files: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds a text, or says why it is missing.
    pub(super) fn add(&mut self, name: &str, text: PortResult<String>) {
        match text {
            // The words of others may quote an address with a password.
            Ok(text) => {
                let text = without_userinfo(&text).into_owned();
                self.files.push((name.to_owned(), text));
            }
            Err(error) => self.missing(name, &error.to_string()),
        }
    }

    pub(super) fn missing(&mut self, name: &str, why: &str) {
        self.missing
            .push(format!("{name}: {}", without_userinfo(why)));
    }

    pub(super) fn yaml(&mut self, name: &str, value: &impl Serialize) {
        match serde_yaml::to_string(value) {
            Ok(text) => self.add(name, Ok(text)),
            Err(error) => self.missing(name, &error.to_string()),
        }
    }

    pub(super) fn part(&mut self, name: &str, value: PortResult<Value>) {
        match value {
            Ok(value) => self.yaml(name, &value),
            Err(error) => self.missing(name, &error.to_string()),
        }
    }

    /// The same of something that may be gone.
    pub(super) fn found(&mut self, name: &str, value: PortResult<Option<Value>>) {
        match value.transpose() {
            Some(value) => self.part(name, value),
            None => self.missing(name, "it is not there, or not any more"),
        }
    }

    /// Writes the archive, readable by its owner alone, and tells what is missing.
    pub(super) fn write(mut self, path: &Path) -> std::io::Result<Vec<String>> {
        self.files.insert(0, ("about.txt".to_owned(), self.about()));
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        // One that was there already has the mode that it had.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            header.set_mtime(u64::try_from(self.time.as_second()).unwrap_or_default());
            let inside = format!("{}/{name}", self.directory);
            archive.append_data(&mut header, inside, text.as_bytes())?;
        }
        archive.into_inner()?.finish()?.flush()?;
        Ok(self.missing)
    }

    fn about(&self) -> String {
        let mut text = format!(
            "Collected by ms2m {} at {}.\nNo Secret was read; passwords in URLs are replaced by ***.\n",
            env!("CARGO_PKG_VERSION"),
            self.time
        );
        if !self.missing.is_empty() {
            text.push_str("\nNot in it:\n");
        }
        for line in &self.missing {
            text.push_str(&format!("- {line}\n"));
        }
        text
    }
}
