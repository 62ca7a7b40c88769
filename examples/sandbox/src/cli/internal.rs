//! Commands that the sandbox calls itself with. They run without threads and without anything
//! set up, and speak to nobody but the sandbox.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::eyre::Result;

use crate::node::runtime::container_init;
use crate::process::guard;
use crate::sandbox::{check_namespaces, janitor};

#[derive(Debug, Subcommand)]
pub(super) enum Internal {
    /// Be the first process of a container.
    #[command(hide = true)]
    ContainerInit {
        /// File with the container's configuration.
        config: PathBuf,
    },
    /// Become a program that dies with the sandbox.
    #[command(hide = true)]
    Guard {
        /// The sandbox's process id.
        parent: u32,
        /// The program.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Remove a directory when standard input is closed.
    #[command(hide = true)]
    Janitor {
        /// The directory.
        directory: PathBuf,
    },
    /// Try whether containers can be run.
    #[command(hide = true)]
    CheckNamespaces,
}

pub(super) fn run(command: &Internal) -> Result<ExitCode> {
    let done = match command {
        Internal::ContainerInit { config } => {
            // It comes back only when the program could not be run, having said why.
            container_init(config)?;
            return Ok(ExitCode::from(127));
        }
        Internal::Guard {
            parent,
            program,
            arguments,
        } => guard(*parent, program, arguments),
        Internal::Janitor { directory } => janitor(directory),
        Internal::CheckNamespaces => check_namespaces(),
    };
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            writeln!(std::io::stderr(), "{error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
