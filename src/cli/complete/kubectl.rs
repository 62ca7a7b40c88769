//! `ms2m` as kubectl's plugin: `kubectl ms2m …` runs `kubectl-ms2m`, and asks `kubectl_complete-ms2m`
//! what may come next (kubectl's documentation, "Extend kubectl with plugins"; the answer is Cobra's:
//! one candidate a line with its help behind a tab, then a colon and a number of flags).
//! Both are `ms2m` under another name.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap_complete::engine::{CompletionCandidate, complete};

use super::knowing;

/// Name of the plugin.
pub(in crate::cli) const PLUGIN: &str = "kubectl-ms2m";

/// Name of the program that kubectl asks.
pub(in crate::cli) const COMPLETER: &str = "kubectl_complete-ms2m";

/// Cobra's `ShellCompDirectiveDefault`: the shell may go on with names of files.
const DEFAULT: u8 = 0;

/// Cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: u8 = 4;

fn called(args: &[OsString]) -> Option<&OsStr> {
    Path::new(args.first()?).file_name()
}

/// Whether kubectl runs this process as its plugin.
#[must_use]
pub(in crate::cli) fn is_plugin(args: &[OsString]) -> bool {
    called(args).is_some_and(|name| name == PLUGIN)
}

/// What kubectl asks about: all that is typed behind `kubectl ms2m`, the last word unfinished.
pub(super) fn asked(args: &[OsString]) -> Option<&[OsString]> {
    called(args)
        .filter(|name| *name == COMPLETER)
        .map(|_| &args[1..])
}

/// Answers; silent when there is nothing to say.
pub(super) fn answer(typed: &[OsString]) {
    let mut words = vec![OsString::from("ms2m")];
    words.extend_from_slice(typed);
    if words.len() == 1 {
        words.push(OsString::new());
    }
    let last = words.len() - 1;
    let here = std::env::current_dir().ok();
    let mut command = knowing(&words);
    let found = complete(&mut command, words, last, here.as_deref()).unwrap_or_default();
    let _ = std::io::stdout().write_all(text(&found).as_bytes());
}

fn text(found: &[CompletionCandidate]) -> String {
    let mut text = String::new();
    for one in found.iter().filter(|it| !it.is_hide_set()) {
        let value = one.get_value().to_string_lossy();
        // The first line of the help; writing to a string cannot fail.
        let help = one.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = match help.lines().next() {
            Some(help) => writeln!(text, "{value}\t{help}"),
            None => writeln!(text, "{value}"),
        };
    }
    let flags = if found.is_empty() { DEFAULT } else { NO_FILES };
    let _ = writeln!(text, ":{flags}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cobra_can_read_it() {
        let helped = CompletionCandidate::new("migrate").help(Some("Move a pod\nmore".into()));
        let found = [helped, CompletionCandidate::new("worker-0")];
        assert_eq!(text(&found), "migrate\tMove a pod\nworker-0\n:4\n");
        assert_eq!(text(&[]), ":0\n");
    }

    #[test]
    fn the_name_decides() {
        let args = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let question = args(&["/bin/kubectl_complete-ms2m", "status", ""]);
        assert_eq!(asked(&question), Some(&question[1..]));
        assert!(asked(&args(&["ms2m", "status"])).is_none());
        assert!(is_plugin(&args(&["kubectl-ms2m", "status"])));
        assert!(!is_plugin(&args(&["ms2m"])));
    }
}
