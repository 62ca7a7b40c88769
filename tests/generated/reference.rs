//! The reference of the command line, from what clap knows and the tables of the program.

use std::fmt::Write as _;

use clap::{Arg, Command};
use ms2m::cli::exit::EXIT_CODES;
use ms2m::cli::settings::SETTINGS;

const HEAD: &str = "\
# `ms2m` on the command line

Generated from the program; `ms2m COMMAND --help` says the same.
";

const SETTINGS_HEAD: &str = "
## Where settings come from

Each setting of a migration is taken from the first place that has it: the flag, the environment
variable, the annotation on the pod, the configuration file, the default. `ms2m migrate POD --to
NODE --dry-run` shows every setting with its origin. The broker's URL is kept, shown and logged
without user and password.

| Setting | Flag | Environment | Annotation on the pod | Default |
|---|---|---|---|---|
";

const CONFIG: &str = "
The configuration file is `ms2m/config.yaml` in `$XDG_CONFIG_HOME` (`~/.config` if that is not set),
or the one that `--config` or `MS2M_CONFIG` names. Its keys are the names of the settings. What
stands under `contexts` counts for one context of the kubeconfig, and before the rest. An unknown
key is an error.

```yaml
repository: registry.example.com/checkpoints
replay-cutoff: 2m
contexts:
  staging:
    broker-url: amqp://mq.staging.example.com
    registry-plain-http: true
```

A duration is `120` (seconds), `120s`, `2m`, `1m30s` or `500ms`.
";

const QUESTIONS: &str = "
## On a terminal and off it

On a terminal (stdin and stderr) `ms2m migrate` shows the plan and asks before it changes anything;
`--yes` asks nothing. Off a terminal nothing is asked: the command was given by a script, which has
nobody to answer. Data goes to stdout, everything else to stderr: bars on a terminal, one line an
event otherwise, or as `--progress` says.

Every command with a result takes `-o table|wide|json|yaml|name`. With `-o json` stdout has one JSON
document, the result or `{\"error\": …}`; of `ms2m migrate`, `watch` and `retry --watch` one object a
line as it happens, the last of them `{\"event\":\"completed\",\"summary\":…}` or `{\"error\":…}`.
With `-o name` names only, a line each: of `ms2m check` the codes of what fails.

The first Ctrl-C (or SIGTERM, or a terminal that is closed) rolls the migration back, or finishes it
when it is past its commit point. The second ends the process at once and prints the commands that
undo what is left, or go on: `ms2m abort NAME` and `ms2m migrate --resume NAME`. Whoever waits for
another process in `ms2m abort` may stop waiting at any time.
";

/// The whole of it.
pub(crate) fn text() -> String {
    let mut root = ms2m::cli::command();
    root.build();
    let mut text = HEAD.to_owned();
    for command in root.get_subcommands() {
        section(&mut text, command);
    }
    text.push_str("\n## Global options\n\nOf every command.\n\n");
    let global: Vec<&Arg> = root
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .collect();
    options(&mut text, &global);
    settings(&mut text);
    text.push_str(QUESTIONS);
    text.push_str("\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n");
    for exit in EXIT_CODES {
        let _ = writeln!(text, "| {} | {} |", exit.code, exit.meaning);
    }
    text
}

fn section(text: &mut String, command: &Command) {
    if command.has_subcommands() {
        for command in command.get_subcommands() {
            section(text, command);
        }
        return;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = write!(text, "\n## `{name}`\n\n");
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "{}\n", paragraphs(&about));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = writeln!(text, "```text\n{usage}\n```\n");
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && arg.get_id() != "help" && arg.get_id() != "version")
        .collect();
    options(text, &own);
}

/// Sentences of the help, closed by a full stop where the help leaves it out.
fn paragraphs(about: &str) -> String {
    let close = |line: &str| {
        if line.ends_with(['.', '-']) {
            line.to_owned()
        } else {
            format!("{line}.")
        }
    };
    about
        .split("\n\n")
        .map(|paragraph| close(paragraph.trim()))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn options(text: &mut String, args: &[&Arg]) {
    text.push_str("| Option | Environment | Meaning |\n|---|---|---|\n");
    for arg in args {
        let env = arg
            .get_env()
            .map(|name| format!("`{}`", name.to_string_lossy()))
            .unwrap_or_default();
        let _ = writeln!(text, "| {} | {env} | {} |", spelling(arg), meaning(arg));
    }
}

/// As `-o`, `--output <FORMAT>`.
fn spelling(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map(|names| names.join(" "));
    let Some(long) = arg.get_long() else {
        return format!("`{}`", value.unwrap_or_default());
    };
    let optional = arg
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    let long = match value {
        Some(value) if optional => format!("`--{long}[={value}]`"),
        Some(value) => format!("`--{long} {value}`"),
        None => format!("`--{long}`"),
    };
    match arg.get_short() {
        Some(short) => format!("`-{short}`, {long}"),
        None => long,
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut text = help.replace('\n', " ").replace('|', "\\|");
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, ": {}", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, " [default: {}]", defaults.join(" "));
    }
    text
}

fn settings(text: &mut String) {
    text.push_str(SETTINGS_HEAD);
    for setting in SETTINGS {
        let default = match setting.default {
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
            None if setting.required => "none: required".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| {} | `{}` | `{}` | `{}` | {default} |",
            setting.name,
            setting.flag(),
            setting.env(),
            setting.annotation(),
        );
    }
    text.push_str(CONFIG);
}
