//! `ms2m-evaluate report`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use crate::report::make;

/// Make tables and plots of the results.
///
/// They are written into the directory of the results: summary.md, and plots/ with each plot as SVG
/// and PNG.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Directory of the results.
    #[arg(long, default_value = "evaluation")]
    out: PathBuf,
    /// Write the results into this document as well, between its marks, and the plots into plots/
    /// beside it: examples/evaluate/README.md.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The run whose messages are shown over time, by its name in series/ [default: a Deployment's at
    /// the rate nearest to 60].
    #[arg(long, value_name = "RUN")]
    series: Option<String>,
}

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let written = make(&args.out, args.document.as_deref(), args.series.as_deref())?;
    for path in written {
        writeln!(std::io::stdout(), "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
