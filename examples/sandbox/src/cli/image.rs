//! `ms2m-sandbox image`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use color_eyre::eyre::Result;

use crate::image::{PackOptions, pack};

/// Make images without a container engine.
#[derive(Debug, Args)]
pub(super) struct Image {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    Pack(Pack),
}

/// Pack a static binary as an image with nothing else in it, into an OCI archive.
#[derive(Debug, Args)]
struct Pack {
    /// The binary.
    #[arg(long)]
    binary: PathBuf,
    /// Its absolute path in the image, which is also the entrypoint.
    #[arg(long, value_parser = absolute)]
    entrypoint: String,
    /// The name of the image in the archive.
    #[arg(long)]
    reference: String,
    /// The archive to write.
    #[arg(long)]
    output: PathBuf,
    /// User and group, as numbers, that the image runs as.
    #[arg(long, default_value = "65532:65532")]
    user: String,
    /// A file that comes along under the same path, such as certificates. Can be repeated.
    #[arg(long = "add", value_name = "FILE", value_parser = absolute)]
    files: Vec<String>,
}

fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') && !path.ends_with('/') && !path.contains("/../") {
        return Ok(path.to_owned());
    }
    Err("an absolute path of a file is needed".to_owned())
}

pub(super) async fn run(image: Image) -> Result<ExitCode> {
    let ImageCommand::Pack(options) = image.command;
    tokio::task::spawn_blocking(move || {
        pack(&PackOptions {
            binary: options.binary,
            entrypoint: options.entrypoint,
            reference: options.reference,
            user: options.user,
            files: options.files.into_iter().map(PathBuf::from).collect(),
        })?
        .write(&options.output)
    })
    .await??;
    Ok(ExitCode::SUCCESS)
}
