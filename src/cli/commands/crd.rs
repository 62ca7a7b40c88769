//! `ms2m crd`.

use clap::{Args, ValueEnum};
use color_eyre::eyre::WrapErr;

use crate::api;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Ui;

/// Print the CustomResourceDefinition of StatefulMigration
///
/// To install it: ms2m crd | kubectl apply --server-side -f -
#[derive(Debug, Args)]
pub struct CrdArgs {
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: CrdOutput,
}

/// Formats of a manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CrdOutput {
    /// YAML
    #[default]
    Yaml,
    /// JSON
    Json,
}

/// The manifest as YAML.
///
/// # Errors
/// It cannot be serialised, which would be a bug.
pub fn yaml() -> color_eyre::Result<String> {
    serde_yaml::to_string(&api::crd()).wrap_err("failed to write the CRD as YAML")
}

/// Prints it.
///
/// # Errors
/// Writing to stdout fails.
pub fn run(ui: &Ui, args: &CrdArgs) -> Outcome {
    match args.output {
        CrdOutput::Yaml => Ok(ui.data(&yaml().map_err(Failure::from)?)?),
        CrdOutput::Json => Ok(ui.json(&api::crd())?),
    }
}
