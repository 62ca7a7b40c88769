//! `ms2m watch NAME`.

use std::time::Duration;

use clap::Args;

use super::which::{self, Which};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::follow::{Aim, Follow};
use crate::cli::output::Output;
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;

/// Follow a migration to its end, whoever carries it out
///
/// Shows its phases as ms2m migrate does, and ends with the same result and exit code. Ctrl-C only
/// stops watching.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The migration to follow; or a pod, for its latest one, as worker-0 or pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Which,

    /// How long to wait at most. What is waited for goes on [default: without a limit]
    #[arg(long, value_name = "DURATION", value_parser = value::long_duration)]
    pub timeout: Option<Duration>,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Follows it.
///
/// # Errors
/// As the migration has ended.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &WatchArgs) -> Outcome {
    runtime()?.block_on(Box::pin(async {
        let reached = Reached::connect(global).await?;
        let entries = reached
            .cluster
            .migrations(false)
            .list(None)
            .await
            .map_err(|error| refused("failed to read the migrations", &error))?;
        let which = args.name.clone().or_pod();
        let entry = which::find(&entries, &which, &reached.namespace)?.clone();
        let follow = Follow {
            ui,
            global,
            reached: &reached,
            output: args.output,
            aim: Aim::End,
            timeout: args.timeout,
        };
        follow.to_end(entry).await
    }))
}
