//! The formats of what goes to stdout: one type for all commands, and one way to show a result.

use clap::ValueEnum;
use color_eyre::eyre::WrapErr;
use serde::Serialize;

use super::failure::{Failure, Outcome};
use super::ui::Ui;

/// Formats of a result. Errors are words on stderr in all of them, and with JSON also {"error": …}.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// For people, with more columns where there are any
    Wide,
    /// JSON; of what takes a while, one object a line as it happens
    Json,
    /// YAML
    Yaml,
    /// Names only, a line each
    Name,
}

impl Output {
    /// Whether people read it.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// Shows a result: `value` for scripts, `name` for loops of a shell, `text` for people.
///
/// # Errors
/// Writing to stdout fails.
pub fn show(
    ui: &Ui,
    output: Output,
    value: &impl Serialize,
    name: impl FnOnce() -> String,
    text: impl FnOnce() -> String,
) -> Outcome {
    match output {
        Output::Table | Output::Wide => ui.data(&text())?,
        Output::Json => ui.json(value)?,
        Output::Yaml => ui.data(&yaml(value)?)?,
        Output::Name => names(ui, &name())?,
    }
    Ok(())
}

/// Names, a line each; of none there is no line.
fn names(ui: &Ui, names: &str) -> std::io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    ui.data(names)
}

/// `value` as YAML.
///
/// # Errors
/// It cannot be serialised, which would be a mistake in the program.
pub fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_yaml::to_string(value).wrap_err("failed to write YAML")?;
    Ok(text)
}
