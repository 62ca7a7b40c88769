//! What can be typed, save the commands' own arguments. The doc comments are the help.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum};

use super::commands::abort::AbortArgs;
use super::commands::check::CheckArgs;
use super::commands::checkpoint::CheckpointArgs;
use super::commands::completion::CompletionArgs;
use super::commands::controller::ControllerArgs;
use super::commands::crd::CrdArgs;
use super::commands::create::CreateArgs;
use super::commands::delete::DeleteArgs;
use super::commands::drain::DrainArgs;
use super::commands::explain::ExplainArgs;
use super::commands::install::InstallArgs;
use super::commands::logs::LogsArgs;
use super::commands::man::ManArgs;
use super::commands::migrate::MigrateArgs;
use super::commands::plan::PlanArgs;
use super::commands::retry::RetryArgs;
use super::commands::status::StatusArgs;
use super::commands::support_bundle::SupportBundleArgs;
use super::commands::uninstall::UninstallArgs;
use super::commands::watch::WatchArgs;
use super::exit;

/// Move a running, stateful, message-driven pod from one Kubernetes node to another.
///
/// The pod's memory travels as a CRIU checkpoint in an OCI image, the messages that arrive
/// meanwhile wait in replay queues on the AMQP broker, and no message is lost or applied twice.
#[derive(Debug, Parser)]
#[command(
    name = "ms2m",
    bin_name = "ms2m",
    version,
    after_long_help = exit::help(),
    styles = STYLES,
    propagate_version = false,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
// Each one's help is the documentation of its arguments; here it would take its place.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(Box<CheckArgs>),
    Plan(Box<PlanArgs>),
    #[command(visible_alias = "move")]
    Migrate(Box<MigrateArgs>),
    Drain(Box<DrainArgs>),
    Create(Box<CreateArgs>),
    Status(StatusArgs),
    Watch(WatchArgs),
    Logs(LogsArgs),
    Abort(Box<AbortArgs>),
    Retry(RetryArgs),
    Delete(DeleteArgs),
    Checkpoint(CheckpointArgs),
    SupportBundle(Box<SupportBundleArgs>),
    Explain(ExplainArgs),
    Controller(ControllerArgs),
    Install(Box<InstallArgs>),
    Uninstall(UninstallArgs),
    Crd(CrdArgs),
    Completion(CompletionArgs),
    Man(ManArgs),
}

/// Flags of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Namespace of the pod [default: the context's]
    #[arg(
        short,
        long,
        global = true,
        env = "MS2M_NAMESPACE",
        hide_env_values = true
    )]
    pub namespace: Option<String>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, global = true, env = "MS2M_CONTEXT", hide_env_values = true)]
    pub context: Option<String>,

    /// Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MS2M_KUBECONFIG",
        hide_env_values = true
    )]
    pub kubeconfig: Option<PathBuf>,

    /// Path of ms2m's own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MS2M_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,

    /// How to show progress on stderr
    #[arg(
        long,
        visible_alias = "show-progress",
        global = true,
        value_name = "HOW",
        value_enum,
        default_value_t,
        env = "MS2M_PROGRESS",
        hide_env_values = true
    )]
    pub progress: ProgressMode,

    /// When to use colours; NO_COLOR is respected
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t = ColorChoice::Auto,
        env = "MS2M_COLOR",
        hide_env_values = true
    )]
    pub color: ColorChoice,

    /// What to log to stderr: error, warn, info, debug, trace, or a filter such as
    /// ms2m=debug,kube=info [default: $RUST_LOG, or nothing]
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "MS2M_LOG",
        hide_env_values = true
    )]
    pub log_level: Option<String>,

    /// How a log line looks
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "MS2M_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: LogFormat,

    /// Log more: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with_all = ["quiet", "log_level"])]
    pub verbose: u8,

    /// No progress, no warnings: nothing on stderr but errors and questions
    #[arg(short, long, global = true, env = "MS2M_QUIET", hide_env_values = true)]
    pub quiet: bool,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, lines otherwise
    #[default]
    Auto,
    /// Bars, redrawn in place; lines where there is no terminal
    #[value(alias = "bars")]
    Bar,
    /// One line that counts, redrawn in place; a line every two seconds where there is no terminal
    Counter,
    /// One plain line an event
    Lines,
    /// Nothing
    None,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The whole command line as clap knows it, for completions and for the reference.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_in_plain_words() {
        let root = command();
        for command in root.get_subcommands() {
            let about = command.get_about().map(ToString::to_string);
            let about = about.unwrap_or_else(|| panic!("{} has no help", command.get_name()));
            assert!(!about.contains("[`"), "{}: {about}", command.get_name());
        }
    }

    #[test]
    fn every_flag_has_an_environment_variable_named_after_it() {
        // What makes sense for one call only, or is a short form of another flag.
        const ONCE: &[&str] = &[
            "all",
            "follow",
            "new-name",
            "finished",
            "older-than",
            "force",
            "selector",
            "watch",
            "filename",
            "help",
            "version",
            "verbose",
            "dry-run",
            "output",
            "yes",
            "resume",
            "pod",
            "wait",
            "timeout",
            "partial",
            "probe",
            "keep-going",
            "all-namespaces",
            "export",
            "force-conflicts",
            "crd",
            "file",
            "static",
            "discover",
            "kubectl",
        ];
        let root = command();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let flag = arg.get_long().expect("every flag has a long form");
                let env = arg
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned());
                let expected = match flag {
                    "log-level" => "MS2M_LOG".to_owned(),
                    other => format!("MS2M_{}", other.replace('-', "_").to_uppercase()),
                };
                if !ONCE.contains(&flag) {
                    assert_eq!(env, Some(expected), "--{flag} of {}", command.get_name());
                    assert!(arg.is_hide_env_values_set(), "--{flag} may hold a secret");
                }
            }
        }
    }
}
