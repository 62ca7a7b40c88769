//! From arguments to exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind as ClapErrorKind;
use clap::{ArgMatches, ColorChoice, FromArgMatches};
use color_eyre::eyre::WrapErr;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use super::args::{Cli, Command, LogFormat, command};
use super::commands::checkpoint::CheckpointCommand;
use super::commands::logs::LogsOutput;
use super::commands::{
    abort, check, checkpoint, completion, controller, crd, create, delete, drain, explain, install,
    logs, man, migrate, plan, retry, status, support_bundle, uninstall, watch,
};
use super::complete;
use super::failure::{self, Failure, Outcome, Script};
use super::output::Output;
use super::ui::{Ui, without_userinfo};
use crate::migration::error::Error;

/// Reads `args`, does what they say, and answers with the process's exit code.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if complete::answered(&args) {
        return ExitCode::SUCCESS;
    }
    let color = early_color(&args);
    let known = if complete::is_plugin(&args) {
        command().bin_name("kubectl ms2m")
    } else {
        command()
    };
    let parsed = known
        .color(color)
        .try_get_matches_from(&args)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    match parsed {
        Ok((cli, matches)) => run(&cli, &matches),
        Err(error) => not_parsed(&error, color),
    }
}

fn run(cli: &Cli, matches: &ArgMatches) -> ExitCode {
    let ui = Ui::new(cli.global.color, cli.global.quiet);
    let outcome = log(&ui, cli).and_then(|()| dispatch(&ui, cli, matches));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure::tell(&ui, &failure, script(&cli.command));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(ui: &Ui, cli: &Cli, matches: &ArgMatches) -> Outcome {
    let own = matches.subcommand().map_or(matches, |(_, own)| own);
    match &cli.command {
        Command::Check(args) => check::run(ui, &cli.global, args, own),
        Command::Plan(args) => plan::run(ui, &cli.global, args, own),
        Command::Migrate(args) => migrate::run(ui, &cli.global, args, own),
        Command::Drain(args) => drain::run(ui, &cli.global, args, own),
        Command::Create(args) => create::run(ui, &cli.global, args, own),
        Command::Status(args) => status::run(ui, &cli.global, args),
        Command::Watch(args) => watch::run(ui, &cli.global, args),
        Command::Logs(args) => logs::run(ui, &cli.global, args),
        Command::Abort(args) => abort::run(ui, &cli.global, args, own),
        Command::Retry(args) => retry::run(ui, &cli.global, args),
        Command::Delete(args) => delete::run(ui, &cli.global, args),
        Command::Checkpoint(args) => checkpoint::run(ui, args),
        Command::SupportBundle(args) => support_bundle::run(ui, &cli.global, args, own),
        Command::Explain(args) => explain::run(ui, args),
        Command::Controller(args) => controller::run(&cli.global, args),
        Command::Install(args) => install::run(ui, &cli.global, args, own),
        Command::Uninstall(args) => uninstall::run(ui, &cli.global, args, own),
        Command::Crd(args) => crd::run(ui, args),
        Command::Completion(args) => completion::run(ui, args),
        Command::Man(args) => man::run(ui, args),
    }
}

/// How a failure is told to a script, if one listens.
fn script(command: &Command) -> Option<Script> {
    let (output, is_stream) = match command {
        Command::Check(args) => (args.output, false),
        Command::Plan(args) => (args.output, false),
        Command::Migrate(args) => (args.output, !args.dry_run),
        Command::Drain(args) => (args.output, false),
        Command::Create(args) => (args.output, false),
        Command::Status(args) => (args.output, args.watch),
        Command::Watch(args) => (args.output, true),
        Command::Logs(args) if args.output == LogsOutput::Json => (Output::Json, true),
        Command::Abort(args) => (args.output, false),
        Command::Install(args) => (args.manner.output, false),
        Command::Uninstall(args) => (args.manner.output, false),
        Command::Retry(args) => (args.output, args.watch),
        Command::Delete(args) => (args.output, false),
        Command::Checkpoint(args) => match &args.command {
            CheckpointCommand::Inspect(args) => (args.output, false),
        },
        Command::Explain(args) => (args.output, false),
        Command::Logs(_)
        | Command::Controller(_)
        | Command::Crd(_)
        | Command::Completion(_)
        | Command::Man(_)
        | Command::SupportBundle(_) => return None,
    };
    match output {
        Output::Json if is_stream => Some(Script::Line),
        Output::Json => Some(Script::Document),
        _ => None,
    }
}

/// Help, version, or what was typed wrong. Clap quotes what was typed, and a URL with a password
/// in it may have been typed in the wrong place.
fn not_parsed(error: &clap::Error, color: ColorChoice) -> ExitCode {
    let ui = Ui::new(color, false);
    let on_stdout = !error.use_stderr();
    let paint = if on_stdout {
        ui.out_paint()
    } else {
        ui.err_paint()
    };
    let text = if paint.0 {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    if on_stdout {
        return match ui.data(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(super::exit::UNEXPECTED),
        };
    }
    ui.insist(&without_userinfo(&text));
    let code = match error.kind() {
        ClapErrorKind::Io => super::exit::UNEXPECTED,
        _ => crate::migration::error::ErrorKind::Usage.exit_code(),
    };
    ExitCode::from(code)
}

/// `--color` before clap has read anything, since clap prints its own help and errors.
fn early_color(args: &[OsString]) -> ColorChoice {
    let mut words = args.iter().map(|arg| arg.to_string_lossy());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('=').map(|value| value.to_owned().into()),
            None => None,
        };
        if let Some(choice) = value.and_then(|value| value.parse().ok()) {
            return choice;
        }
    }
    ColorChoice::Auto
}

/// Log messages to stderr, if somebody wants them.
fn log(ui: &Ui, cli: &Cli) -> Result<(), Failure> {
    let global = &cli.global;
    let directives = match (&global.log_level, global.verbose) {
        (Some(filter), _) => filter.clone(),
        (None, 1) => "ms2m=info".to_owned(),
        (None, 2) => "ms2m=debug".to_owned(),
        (None, 3..) => "ms2m=trace,kube=debug,lapin=debug".to_owned(),
        (None, 0) => match std::env::var("RUST_LOG") {
            Ok(filter) if !filter.is_empty() => filter,
            // Nobody sits before it: what it does stands in its log.
            _ if matches!(cli.command, Command::Controller(_)) => "ms2m=info,kube=warn".to_owned(),
            _ => return Ok(()),
        },
    };
    // A lone level means ms2m's own messages: those of libraries are for a filter that names them.
    let directives = match directives.as_str() {
        level @ ("off" | "error" | "warn" | "info" | "debug" | "trace") => format!("ms2m={level}"),
        _ => directives,
    };
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| Error::usage("the log filter cannot be read").because(error))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Told on stderr too, with a panic where that is closed: a lost line is no reason to end.
        .log_internal_errors(false);
    match global.log_format {
        LogFormat::Text => log.with_ansi(ui.err_paint().0).try_init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(|error| color_eyre::eyre::eyre!("failed to set up logging: {error}").into())
}

/// The runtime, for commands that talk to somebody. Made as late as this so that `--help` and
/// completions are instant.
pub(super) fn runtime() -> color_eyre::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .wrap_err("failed to start the runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_is_known_before_the_rest() {
        let early = |words: &[&str]| {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            early_color(&args)
        };
        assert_eq!(
            early(&["ms2m", "--color", "never", "x"]),
            ColorChoice::Never
        );
        assert_eq!(early(&["ms2m", "x", "--color=always"]), ColorChoice::Always);
        assert_eq!(early(&["ms2m", "--color", "purple"]), ColorChoice::Auto);
        assert_eq!(early(&["ms2m", "--color"]), ColorChoice::Auto);
    }
}
