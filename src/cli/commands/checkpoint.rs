//! `ms2m checkpoint inspect FILE`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ms2m_transfer::archive::ScanError;
use ms2m_transfer::checkpoint;

use crate::cli::failure::Outcome;
use crate::cli::output::{Output, show};
use crate::cli::ui::Ui;
use crate::cli::view::checkpoint as view;
use crate::explain;
use crate::migration::error::Error;

/// Look into checkpoint archives
#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// What to do with one.
    #[command(subcommand)]
    pub command: CheckpointCommand,
}

/// What can be done with an archive.
#[derive(Debug, Subcommand)]
// Its help is the documentation of its arguments.
#[allow(missing_docs)]
pub enum CheckpointCommand {
    Inspect(InspectArgs),
}

/// Show what is in a checkpoint archive: whose it is, its processes, and what they had open
///
/// Reads the whole archive once and says so if it is cut off or was tampered with. The process's
/// memory is in there with all of its secrets; none of it is shown.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The archive, as the kubelet leaves it in /var/lib/kubelet/checkpoints, or - for stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Does it.
///
/// # Errors
/// See [`checkpoint::inspect`].
pub fn run(ui: &Ui, args: &CheckpointArgs) -> Outcome {
    let CheckpointCommand::Inspect(args) = &args.command;
    let archive = open(&args.file).map_err(|error| unreadable(&args.file, &error))?;
    let found = checkpoint::inspect(archive).map_err(|error| refused(&args.file, &error))?;
    let name = || found.container.clone().unwrap_or_default();
    show(ui, args.output, &found, name, || view::text(&found))
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run it as root: the kubelet's archives are readable by root only"
        }
        _ => "check the path, and that this is the node that the checkpoint was taken on",
    };
    Error::refused(format!("{} cannot be read", path.display()))
        .code(&explain::ARCHIVE_UNREADABLE)
        .because(error)
        .hint(hint)
}

fn refused(path: &Path, error: &ScanError) -> Error {
    match error {
        ScanError::Read(error) => unreadable(path, error),
        ScanError::Invalid(_) | ScanError::Stopped(_) => Error::refused(format!(
            "{} is not a complete checkpoint archive",
            path.display()
        ))
        .code(&explain::ARCHIVE_UNREADABLE)
        .because(error)
        .hint("take a new checkpoint; whoever made this one may have been interrupted"),
    }
}
