//! `ms2m man DIRECTORY`.

use std::path::PathBuf;

use clap::Args;
use color_eyre::eyre::WrapErr;

use crate::cli::args::command;
use crate::cli::failure::Outcome;
use crate::cli::ui::Ui;

/// Write the manual pages, one for each command
///
/// To read one: ms2m man /tmp/man && man -l /tmp/man/ms2m-migrate.1
/// To install them: ms2m man ~/.local/share/man/man1
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where to write them; it is made if it is not there
    #[arg(value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// Writes them.
///
/// # Errors
/// The directory cannot be written to.
pub fn run(ui: &Ui, args: &ManArgs) -> Outcome {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command(), directory))
        .wrap_err_with(|| format!("failed to write manual pages to {}", directory.display()))?;
    Ok(ui.data(&format!(
        "manual pages written to {}\n",
        directory.display()
    ))?)
}
