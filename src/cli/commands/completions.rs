//! `ms2m completions SHELL`.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::cli::args::command;
use crate::cli::failure::Outcome;
use crate::cli::ui::Ui;

/// Print the completion script of a shell
///
/// For bash: ms2m completions bash > ~/.local/share/bash-completion/completions/ms2m
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: CompletionShell,
}

/// The shells that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl CompletionShell {
    /// Name of the file that the shell looks for.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "ms2m.bash",
            Self::Zsh => "_ms2m",
            Self::Fish => "ms2m.fish",
        }
    }
}

/// The completion script of `shell`.
#[must_use]
pub fn script(shell: CompletionShell) -> String {
    let generator = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut command(), "ms2m", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints it.
///
/// # Errors
/// Writing to stdout fails.
pub fn run(ui: &Ui, args: &CompletionsArgs) -> Outcome {
    Ok(ui.data(&script(args.shell))?)
}
