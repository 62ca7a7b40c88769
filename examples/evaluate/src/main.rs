//! The evaluation's program: set-up and exit code, nothing else.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    ms2m_evaluate::cli::main()
}
