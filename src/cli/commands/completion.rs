//! `ms2m completion bash|zsh|fish|install`. What a script is answered with is in `cli::complete`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use color_eyre::eyre::WrapErr;
use etcetera::BaseStrategy;

use crate::cli::args::command;
use crate::cli::complete::{KUBECTL_COMPLETER, KUBECTL_PLUGIN, VARIABLE};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Ui;
use crate::migration::error::Error;

/// Complete commands, flags, pods, nodes, namespaces, contexts and migrations in the shell
///
/// The names come from the cluster that the line is about.
///
/// To install it: ms2m completion install
/// For this shell alone: source <(ms2m completion bash)
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CompletionCommand,
}

/// What to do with a script.
#[derive(Debug, Subcommand)]
pub enum CompletionCommand {
    /// Print the script for GNU Bash
    Bash(ScriptArgs),
    /// Print the script for the Z shell
    Zsh(ScriptArgs),
    /// Print the script for fish
    Fish(ScriptArgs),
    /// Write the script where the shell looks for it
    ///
    /// Nothing else is changed; what is left to do, if anything, is said.
    Install(InstallArgs),
}

/// What is printed.
#[derive(Debug, Args)]
pub struct ScriptArgs {
    /// A script that never runs ms2m: it knows commands and flags, and nothing of the cluster
    #[arg(long = "static")]
    pub fixed: bool,
}

/// What is installed.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The shell [default: that of $SHELL]
    #[arg(value_enum)]
    pub shell: Option<CompletionShell>,

    /// Make `kubectl ms2m` work too, with completion: two links beside ms2m itself
    #[arg(long)]
    pub kubectl: bool,
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
    /// Name of the file of a script that is generated.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "ms2m.bash",
            Self::Zsh => "_ms2m",
            Self::Fish => "ms2m.fish",
        }
    }

    /// Where the user's own scripts are looked for: by bash-completion and fish of themselves, by
    /// the Z shell once it is told.
    fn home(self, data: &Path, config: &Path) -> PathBuf {
        match self {
            Self::Bash => data.join("bash-completion/completions/ms2m"),
            Self::Zsh => data.join("zsh/site-functions/_ms2m"),
            Self::Fish => config.join("fish/completions/ms2m.fish"),
        }
    }

    /// The shell at `path`, as `$SHELL` names it.
    fn at(path: &Path) -> Option<Self> {
        Self::from_str(path.file_name()?.to_str()?, true).ok()
    }
}

/// The script of `shell` that knows no cluster.
#[must_use]
pub fn fixed(shell: CompletionShell) -> String {
    let generator = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut command(), "ms2m", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The script of `shell` that asks `ms2m`.
fn asking(shell: CompletionShell) -> color_eyre::Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "ms2m", "ms2m", "ms2m", &mut script)
        .wrap_err("failed to write the script")?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Prints or installs a script.
///
/// # Errors
/// Writing fails; the shell is none that there is a script for.
pub fn run(ui: &Ui, args: &CompletionArgs) -> Outcome {
    let (shell, script) = match &args.command {
        CompletionCommand::Bash(script) => (CompletionShell::Bash, script),
        CompletionCommand::Zsh(script) => (CompletionShell::Zsh, script),
        CompletionCommand::Fish(script) => (CompletionShell::Fish, script),
        CompletionCommand::Install(args) => return install(ui, args),
    };
    let script = if script.fixed {
        fixed(shell)
    } else {
        asking(shell)?
    };
    Ok(ui.data(&script)?)
}

fn install(ui: &Ui, args: &InstallArgs) -> Outcome {
    let shell = match args.shell {
        Some(shell) => shell,
        None => own_shell(std::env::var_os("SHELL"))?,
    };
    let base = etcetera::choose_base_strategy().wrap_err("failed to find the home directory")?;
    let path = shell.home(&base.data_dir(), &base.config_dir());
    write(&path, &asking(shell)?)?;
    ui.data(&format!("{} written\n", path.display()))?;
    match shell {
        CompletionShell::Bash => {
            ui.words("it works in the next shell, where the package bash-completion is installed");
        }
        CompletionShell::Fish => {}
        CompletionShell::Zsh => ui.words(&format!(
            "the Z shell finds it with this line in ~/.zshrc, before compinit:\n  fpath=({} $fpath)",
            path.parent().unwrap_or(&path).display()
        )),
    }
    if args.kubectl {
        for link in [KUBECTL_PLUGIN, KUBECTL_COMPLETER] {
            ui.data(&format!("{} written\n", linked(link)?.display()))?;
        }
    }
    Ok(())
}

fn own_shell(named: Option<OsString>) -> Result<CompletionShell, Failure> {
    let named = named.map(PathBuf::from);
    let shell = named.as_deref().and_then(CompletionShell::at);
    shell.ok_or_else(|| {
        let what = match &named {
            Some(path) => format!("there is no completion for {}", path.display()),
            None => "it is not known which shell this is: SHELL is not set".to_owned(),
        };
        Error::usage(what)
            .hint("name it: ms2m completion install bash, zsh or fish")
            .into()
    })
}

fn write(path: &Path, script: &str) -> color_eyre::Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, script))
        .wrap_err_with(|| format!("failed to write {}", path.display()))
}

/// A link of that name to this program, beside it. One that is there already and leads here stays.
fn linked(name: &str) -> color_eyre::Result<PathBuf> {
    let own = std::env::current_exe().wrap_err("failed to find ms2m itself")?;
    let link = own.with_file_name(name);
    if std::fs::canonicalize(&link).is_ok_and(|there| there == own) {
        return Ok(link);
    }
    std::os::unix::fs::symlink(&own, &link)
        .wrap_err_with(|| format!("failed to write {}", link.display()))?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_known_by_its_path() {
        let shell = |path: &str| own_shell(Some(path.into())).ok();
        assert_eq!(shell("/usr/bin/zsh"), Some(CompletionShell::Zsh));
        assert_eq!(shell("/bin/bash"), Some(CompletionShell::Bash));
        assert_eq!(shell("/bin/dash"), None);
        let Err(Failure::Known(error)) = own_shell(None) else {
            panic!("no shell, no script");
        };
        assert!(error.what.contains("SHELL"), "{error:?}");
    }

    #[test]
    fn each_shell_has_both_scripts() {
        for shell in CompletionShell::value_variants() {
            assert!(fixed(*shell).contains("migrate"));
            let asking = asking(*shell).expect("it can be written");
            assert!(asking.contains("COMPLETE"), "{asking}");
        }
    }
}
