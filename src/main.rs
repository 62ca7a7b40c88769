//! Entry point: set-up and exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One provider for the whole process, before anything may open a connection. It can only
    // fail when there is one already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // The same for the hooks that print a panic or an unexpected error.
    let _ = color_eyre::install();
    ms2m::cli::main(std::env::args_os())
}
