//! The real `ms2m` where it needs no cluster: help, usage errors, configuration, exit codes.
//!
//! Hermetic: nothing of this process's environment, a home directory of its own.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A machine with nothing on it.
struct Machine {
    home: TempDir,
}

/// What came of a run.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

const PASSWORD: &str = "hunter2";

impl Machine {
    fn new() -> Self {
        Self {
            home: TempDir::new().expect("a temporary directory can be made"),
        }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        let directory = path.parent().expect("a file is in a directory");
        std::fs::create_dir_all(directory).expect("the directory can be made");
        std::fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_ms2m"))
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .envs(environment.iter().copied())
            .output()
            .expect("ms2m can be run");
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("the output is text");
            text.replace(&self.home.path().display().to_string(), "HOME")
        };
        let run = Run {
            code: output.status.code().expect("it was not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.contains(PASSWORD), "a password is shown: {output}");
        }
        run
    }
}

/// A kubeconfig of a cluster that nobody answers for.
fn kubeconfig(machine: &Machine) -> String {
    machine.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         contexts: [{name: lab, context: {cluster: lab, user: me}}]\n\
         clusters: [{name: lab, cluster: {server: 'http://127.0.0.1:1'}}]\n\
         users: [{name: me, user: {token: t}}]\n",
    )
}

#[test]
fn help_names_commands_and_exit_codes() {
    let run = Machine::new().run(&["--help"]);
    assert_eq!(run.code, 0);
    assert_eq!(run.stderr, "");
    for word in [
        "migrate",
        "status",
        "crd",
        "completion",
        "support-bundle",
        "Exit codes:",
        "130",
    ] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
}

#[test]
fn the_version_is_the_package_s() {
    let run = Machine::new().run(&["--version"]);
    assert_eq!(run.code, 0);
    assert_eq!(run.stdout, format!("ms2m {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_shows_no_value_of_the_environment() {
    let url = format!("amqp://u:{PASSWORD}@mq");
    let run = Machine::new().run_with(
        &["migrate", "--help"],
        &[("MS2M_BROKER_URL", &url), ("MS2M_QUEUE", "orders")],
    );
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.contains("[env: MS2M_BROKER_URL]"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("orders"), "{}", run.stdout);
}

#[test]
fn what_was_typed_wrong_is_a_usage_error() {
    let machine = Machine::new();
    for (args, words) in [
        (&[][..], "Usage: ms2m"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["migrate"], "<POD>"),
        (&["migrate", "deployment/worker"], "only a pod can be moved"),
        (
            &["migrate", "w", "--replay-cutoff", "soon"],
            "it is a duration such as",
        ),
        (
            &["migrate", "w", "--strategy", "fast"],
            "ShadowPod or Sequential",
        ),
        (
            &["migrate", "w", "--compression", "zip"],
            "zstd, gzip, none or auto",
        ),
        (
            &["migrate", "w", "--repository", "https://reg/x"],
            "leave the scheme out",
        ),
        (
            &["migrate", "w", "--broker-url", "mq:5672"],
            "must begin with amqp://",
        ),
        (&["migrate", "w", "--management-url", "mq"], "malformed"),
        (&["migrate", "w", "--to"], "a value is required"),
        (
            &["migrate", "w", "-o", "xml"],
            "possible values: table, wide, json, yaml, name",
        ),
        (
            &["check", "--to", "node-b"],
            "--to takes a pod that would be moved there",
        ),
        (
            &["create", "-f", "m.yaml", "--to", "node-b"],
            "--to cannot be used with --filename",
        ),
        (
            &["create", "-f", "m.yaml", "--name", "other"],
            "--name cannot be used with --filename",
        ),
        (&["status", "-o", "tree"], "possible values"),
        (&["status", "Not_A_Name"], "lower-case"),
        (&["crd", "--log-level", "ms2m=loud"], "log filter"),
        (&["crd", "-v", "-q"], "cannot be used with"),
    ] {
        let run = machine.run(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
}

/// A manifest names its own node; what the environment has for flags says nothing about it.
#[test]
fn a_manifest_is_checked_whatever_the_environment_has_for_flags() {
    let machine = Machine::new();
    let manifest = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/manifests/migration.yaml"
    );
    let run = machine.run_with(
        &["create", "-f", manifest, "--dry-run=client"],
        &[("MS2M_TO", "node-z"), ("MS2M_NAME", "other")],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stdout.contains("other"), "{}", run.stdout);
}

#[test]
fn no_password_is_repeated_wherever_it_was_typed() {
    let machine = Machine::new();
    let kubeconfig = kubeconfig(&machine);
    let good = format!("amqp://u:{PASSWORD}@mq");
    for url in [
        good.clone(),
        format!("amqp://u:{PASSWORD}@"),
        format!("amqp://u:{PASSWORD}@mq:port"),
        format!("http://u:{PASSWORD}@mq"),
        format!("u:{PASSWORD}@mq"),
        PASSWORD.to_owned(),
    ] {
        // Each run checks its output for the password.
        let typed = machine.run(&["migrate", "w", "--broker-url", &url]);
        let told = machine.run_with(&["migrate", "w"], &[("MS2M_BROKER_URL", &url)]);
        machine.run(&["migrate", "w", "--management-url", &url]);
        if url != good {
            assert_eq!((typed.code, told.code), (2, 2), "{}", typed.stderr);
            assert!(
                typed.stderr.contains("given by --broker-url"),
                "{}",
                typed.stderr
            );
            assert!(
                told.stderr.contains("given by $MS2M_BROKER_URL"),
                "{}",
                told.stderr
            );
        }
    }
    for args in [
        &["migrate", "w", &good][..],
        &["migrate", &good],
        &["migrate", "w", "--queue-url", &good],
        &["migrate", "w", "--replay-cutoff", &good],
        &["migrate", "w", "--repository", &good],
        &[
            "migrate",
            "w",
            "-vvv",
            "--kubeconfig",
            &kubeconfig,
            "--broker-url",
            &good,
        ],
    ] {
        let run = machine.run(args);
        assert!(run.code == 2 || run.code == 3, "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused_before_anything_else() {
    let machine = Machine::new();
    machine.write("config/ms2m/config.yaml", "queu: orders\n");
    let run = machine.run(&["migrate", "w", "--to", "node-b"]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr, @r"
    error: the configuration HOME/config/ms2m/config.yaml is wrong
      because: unknown key queu; did you mean queue?
      see: ms2m explain usage
    ");
    let path = machine.path("missing.yaml");
    let run = machine.run_with(&["migrate", "w"], &[("MS2M_CONFIG", &path)]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr, @r"
    error: failed to read the configuration HOME/missing.yaml
      because: No such file or directory (os error 2)
      see: ms2m explain usage
    ");
}

#[test]
fn without_a_kubeconfig_it_is_refused() {
    let machine = Machine::new();
    for args in [&["status"][..], &["migrate", "w", "--to", "node-b"]] {
        let run = machine.run(args);
        assert_eq!(run.code, 3, "{args:?}: {}", run.stderr);
        assert_eq!(run.stdout, "");
        assert!(
            run.stderr
                .starts_with("error: failed to find the cluster\n"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("nothing was changed"), "{}", run.stderr);
    }
}

#[test]
fn an_unknown_context_is_refused_with_those_that_are_known() {
    let machine = Machine::new();
    kubeconfig(&machine);
    let run = machine.run(&["status", "--context", "prod"]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("lab"), "{}", run.stderr);
}

#[test]
fn scripts_get_their_errors_as_json() {
    let machine = Machine::new();
    for args in [
        &["migrate", "w", "--to", "node-b", "-o", "json"][..],
        &["status", "-o", "json"],
    ] {
        let run = machine.run(args);
        assert_eq!(run.code, 3);
        let value: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
        assert_eq!(value["error"]["kind"], "refused");
        assert_eq!(value["error"]["exitCode"], 3);
        assert_eq!(value["error"]["what"], "failed to find the cluster");
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    let machine = Machine::new();
    let escape = '\u{1b}';
    assert!(!machine.run(&["status"]).stderr.contains(escape));
    assert!(
        machine
            .run(&["status", "--color", "always"])
            .stderr
            .contains(escape)
    );
    assert!(
        machine
            .run(&["--color=always", "--help"])
            .stdout
            .contains(escape)
    );
    assert!(
        !machine
            .run(&["--color", "never", "migrate"])
            .stderr
            .contains(escape)
    );
}

#[test]
fn the_crd_is_the_same_in_both_formats() {
    let machine = Machine::new();
    let yaml = machine.run(&["crd"]);
    let json = machine.run(&["crd", "-o", "json"]);
    assert_eq!((yaml.code, json.code), (0, 0));
    let from_yaml: serde_json::Value = serde_yaml::from_str(&yaml.stdout).expect("it is YAML");
    let from_json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(from_yaml, from_json);
    assert_eq!(
        from_yaml["metadata"]["name"],
        "statefulmigrations.migration.ms2m.io"
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let machine = Machine::new();
    let directory = machine.write("man", "");
    std::fs::remove_file(&directory).expect("it was made just now");
    let run = machine.run(&["man", &directory]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for (page, words) in [
        ("ms2m.1", "Exit codes"),
        ("ms2m-migrate.1", "strategy"),
        ("ms2m-checkpoint-inspect.1", "FILE"),
    ] {
        let text = std::fs::read_to_string(format!("{directory}/{page}")).expect("it is there");
        assert!(
            text.starts_with(".ie") && text.contains(words),
            "{page}: {text}"
        );
    }
}

#[test]
fn every_shell_has_a_completion_script_that_it_can_read() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish"] {
        for arguments in [
            &["completion", shell][..],
            &["completion", shell, "--static"],
        ] {
            let run = machine.run(arguments);
            assert_eq!(run.code, 0);
            assert!(run.stdout.contains("ms2m"), "{shell}");
        }
    }
    // Bash is everywhere that tests run.
    let script = machine.write("ms2m.bash", &machine.run(&["completion", "bash"]).stdout);
    let read = std::process::Command::new("bash")
        .args(["-n", &script])
        .status()
        .expect("bash can be run");
    assert!(read.success());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bin = env!("CARGO_BIN_EXE_ms2m");
    let status = std::process::Command::new("bash")
        .args([
            "-c",
            "set -o pipefail; \"$0\" crd | head -n 1 > /dev/null",
            bin,
        ])
        .status()
        .expect("bash can be run");
    assert!(status.success(), "{status}");
    assert!(Path::new(bin).exists());
}

/// Made with CRIU's own tool: `fuzz/seeds.sh`.
const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/archive/crio.tar");

#[test]
fn an_archive_is_shown_to_people_and_to_scripts() {
    let machine = Machine::new();
    let table = machine.run(&["checkpoint", "inspect", ARCHIVE]);
    assert_eq!(table.code, 0, "{}", table.stderr);
    for word in [
        "shop/worker-0",
        "CRI-O",
        "runc",
        "helper",
        "LISTEN",
        "/data/state.db",
        "@ctl",
    ] {
        assert!(table.stdout.contains(word), "{word}: {}", table.stdout);
    }
    let json = machine.run(&["checkpoint", "inspect", "-o", "json", ARCHIVE]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(json["processes"][1]["command"], "helper");
    assert_eq!(json["connections"][1]["remote"], "[fd00::5672]:5672");
    let yaml = machine.run(&["checkpoint", "inspect", "-o", "yaml", ARCHIVE]);
    let yaml: serde_json::Value = serde_yaml::from_str(&yaml.stdout).expect("it is YAML");
    assert_eq!(yaml, json);
}

#[test]
fn an_archive_that_is_not_whole_is_refused_with_the_reason() {
    let machine = Machine::new();
    let whole = std::fs::read(ARCHIVE).expect("it is in the repository");
    let cut = machine.path("cut.tar");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("the file can be written");
    let run = machine.run(&["checkpoint", "inspect", &cut]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("cut.tar"), "{}", run.stderr);
    assert!(run.stderr.contains("complete"), "{}", run.stderr);
    let run = machine.run(&["checkpoint", "inspect", &machine.path("nowhere.tar")]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("No such file"), "{}", run.stderr);
}

#[test]
fn every_error_code_is_explained() {
    let machine = Machine::new();
    let list = machine.run(&["explain"]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let codes = machine.run(&["explain", "-o", "json"]);
    let codes: serde_json::Value = serde_json::from_str(&codes.stdout).expect("it is JSON");
    let codes = codes.as_array().expect("it is a list");
    for it in codes {
        let code = it["code"].as_str().expect("it has a code");
        assert!(list.stdout.contains(&format!("  {code} ")), "{code}");
    }
    let one = machine.run(&["explain", "image-not-known"]);
    assert_eq!(one.code, 0);
    assert!(one.stdout.contains("What to do\n  1. "), "{}", one.stdout);
    let mistyped = machine.run(&["explain", "image-not-know"]);
    assert_eq!(mistyped.code, 2);
    assert!(
        mistyped.stderr.contains("did you mean image-not-known?"),
        "{}",
        mistyped.stderr
    );
    let completed = machine.run(&["completion", "bash", "--static"]);
    assert!(completed.stdout.contains("image-not-known"));
}

#[test]
fn an_error_ends_with_its_code() {
    let machine = Machine::new();
    let run = machine.run(&["migrate", "w", "--config", "missing.yaml"]);
    assert_eq!(run.code, 2);
    let last = run.stderr.lines().last();
    assert_eq!(last, Some("  see: ms2m explain usage"), "{}", run.stderr);
    kubeconfig(&machine);
    let run = machine.run(&["status", "-o", "json"]);
    let error: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(error["error"]["code"], "api-unreachable", "{}", run.stdout);
}

/// The formats of each command. `ms2m logs` is lines of others, a CRD is a manifest; what has no result
/// has no format.
#[test]
fn the_formats_of_each_command_are_known() {
    fn formats(command: &clap::Command) -> String {
        let argument = command.get_arguments().find(|it| it.get_id() == "output");
        let values = argument
            .map(|it| it.get_possible_values())
            .unwrap_or_default();
        let names = values.iter().map(|it| it.get_name().to_owned());
        names.collect::<Vec<_>>().join("|")
    }
    let all = "table|wide|json|yaml|name";
    for command in ms2m::cli::command().get_subcommands() {
        let expected = match command.get_name() {
            "logs" => "text|json",
            "crd" => "yaml|json",
            "controller" | "completion" | "man" | "support-bundle" | "checkpoint" => "",
            _ => all,
        };
        assert_eq!(formats(command), expected, "{}", command.get_name());
        if let Some(inspect) = command.find_subcommand("inspect") {
            assert_eq!(formats(inspect), all);
        }
    }
}

/// Data goes to stdout and words to stderr: of what fails at once, a script reads nothing but the error.
#[test]
fn words_never_reach_stdout() {
    let machine = Machine::new();
    kubeconfig(&machine);
    let commands = [
        &["check", "w", "--to", "b"][..],
        &["plan", "w", "--to", "b"],
        &["migrate", "w", "--to", "b"],
        &["drain", "a"],
        &["create", "w", "--to", "b"],
        &["status"],
        &["watch", "m"],
        &["abort", "m"],
        &["retry", "m"],
        &["delete", "m"],
        &["uninstall"],
    ];
    let machine = &machine;
    std::thread::scope(|threads| {
        for command in commands {
            threads.spawn(move || says_why_on_stderr(machine, command));
        }
    });
}

fn says_why_on_stderr(machine: &Machine, command: &[&str]) {
    for format in ["name", "json"] {
        let run = machine.run(&[command, &["-o", format]].concat());
        assert_ne!(run.code, 0, "{command:?}");
        if command[0] == "check" {
            // Its results are data, whatever they are.
            assert_eq!(run.stderr, "", "{command:?}");
            continue;
        }
        if format == "json" {
            let error: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
            assert_eq!(error["error"]["exitCode"], run.code, "{command:?}");
        } else {
            assert_eq!(run.stdout, "", "{command:?}");
        }
        assert!(
            run.stderr.contains("see: ms2m explain "),
            "{command:?} -o {format}: {}",
            run.stderr
        );
    }
}

/// Each code of the table is what some real run of the tests ends with.
#[test]
fn every_exit_code_is_seen_in_a_test() {
    fn sources(directory: &Path, text: &mut String) {
        for entry in std::fs::read_dir(directory).expect("the directory is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("it can be read"));
            }
        }
    }
    let mut text = String::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"),
        &mut text,
    );
    for exit in ms2m::cli::exit::EXIT_CODES {
        let expected = format!("expect_code({})", exit.code);
        assert!(text.contains(&expected), "nothing ends with {}", exit.code);
    }
}
