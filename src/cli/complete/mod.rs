//! Completion that asks the tool itself: the shell, or kubectl, runs `ms2m` with the line as far as it
//! is typed, and is answered with what may come next. What is in the cluster is in [`live`].
//!
//! Not the command that prints and installs the scripts: that is `commands/completion.rs`.

mod kubectl;
mod line;
mod live;

use std::ffi::OsString;
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;

pub(super) use kubectl::PLUGIN as KUBECTL_PLUGIN;
pub(super) use kubectl::{COMPLETER as KUBECTL_COMPLETER, is_plugin};
use line::Line;
use live::Sought;

use super::args::command;

/// Environment variable by which a shell asks; its value is the shell's name.
pub(super) const VARIABLE: &str = "COMPLETE";

/// Answers a shell, or kubectl, that asks what may come next; false if nobody does.
#[must_use]
pub(super) fn answered(args: &[OsString]) -> bool {
    if let Some(typed) = kubectl::asked(args) {
        kubectl::answer(typed);
        return true;
    }
    // A shell's question: its line stands behind `--`.
    let typed = args.iter().position(|arg| arg == "--");
    let typed = typed.map_or(&[][..], |at| &args[at + 1..]);
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| knowing(typed))
        .var(VARIABLE)
        .try_complete(args, here.as_deref())
        // Silent: an error would stand in the middle of the line that is being typed.
        .unwrap_or(true)
}

/// The command line, its arguments knowing where to look for their values.
fn knowing(typed: &[OsString]) -> Command {
    let line = Arc::new(Line::read(typed));
    equipped(command(), &line)
}

fn equipped(command: Command, line: &Arc<Line>) -> Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|arg| match sought(&name, arg.get_id().as_str()) {
            Some(sought) => looked_up(arg, sought, Arc::clone(line)),
            None => arg,
        })
        .mut_subcommands(|sub| equipped(sub, line))
}

fn looked_up(arg: Arg, sought: Sought, line: Arc<Line>) -> Arg {
    arg.add(ArgValueCandidates::new(move || {
        let names = live::names(&line, sought);
        names.into_iter().map(CompletionCandidate::new).collect()
    }))
}

/// What an argument names.
fn sought(command: &str, argument: &str) -> Option<Sought> {
    match (command, argument) {
        (_, "context") => Some(Sought::Contexts),
        (_, "namespace" | "watch_namespace" | "install_namespace" | "controller_namespace") => {
            Some(Sought::Namespaces)
        }
        (_, "to" | "node") => Some(Sought::Nodes),
        (_, "pod") => Some(Sought::Pods),
        (_, "resume")
        | (
            "status" | "watch" | "logs" | "abort" | "retry" | "delete" | "support-bundle",
            "name" | "names",
        ) => Some(Sought::Migrations),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        let last = words.len() - 1;
        let found = clap_complete::engine::complete(&mut knowing(&words), words, last, None);
        let found = found.expect("the line can be completed");
        found
            .iter()
            .map(|it| it.get_value().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn commands_flags_and_choices_need_no_cluster() {
        assert_eq!(offered(&["ms2m", "mig"]), ["migrate"]);
        assert_eq!(offered(&["ms2m", "migrate", "--strat"]), ["--strategy"]);
        assert_eq!(
            offered(&["ms2m", "migrate", "--output", "j"]),
            ["json"],
            "an enumeration"
        );
    }

    #[test]
    fn what_cannot_be_reached_is_silence() {
        let nowhere = ["ms2m", "--kubeconfig", "/nowhere", "migrate", "--to", ""];
        assert_eq!(offered(&nowhere), [""; 0]);
    }

    /// An argument that gets a new name must not lose its completion unnoticed.
    #[test]
    fn what_names_something_in_the_cluster_is_looked_up() {
        let root = command();
        for (name, argument) in [
            ("migrate", "pod"),
            ("migrate", "to"),
            ("migrate", "resume"),
            ("drain", "node"),
            ("create", "pod"),
            ("create", "to"),
            ("status", "name"),
            ("watch", "name"),
            ("logs", "name"),
            ("abort", "name"),
            ("abort", "pod"),
            ("retry", "name"),
            ("delete", "names"),
            ("support-bundle", "name"),
            ("install", "watch_namespace"),
        ] {
            let found = root.find_subcommand(name).expect("the command is there");
            let is_there = found.get_arguments().any(|it| it.get_id() == argument);
            assert!(is_there, "{name} has no {argument}");
            assert!(sought(name, argument).is_some(), "{name} {argument}");
        }
    }
}
