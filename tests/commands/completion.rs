//! Completion: what a shell, or kubectl, is answered while a line is being typed.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::stage::{Stage, manifest};
use crate::support::World;
use crate::support::cli::start;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ms2m");

/// What bash makes of `line`, its last word unfinished, with the script that `ms2m` prints.
fn bash(world: &World, line: &str) -> Vec<String> {
    let script = r#"
        source <(ms2m completion bash)
        read -ra COMP_WORDS <<< "$1"
        [[ "$1" != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
        _clap_complete_ms2m ms2m "${COMP_WORDS[COMP_CWORD]}" "" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let beside = Path::new(PROGRAM).parent().expect("it is in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", script, "bash", line]);
    shell.env("PATH", format!("{}:{path}", beside.display()));
    printed(world, shell)
}

/// What kubectl makes of `kubectl ms2m` and `words`, the last one unfinished, when its own completion
/// script asks it. The links are those that `completion install --kubectl` makes.
fn kubectl(world: &World, words: &[&str]) -> Vec<String> {
    let place = TempDir::new().expect("a directory");
    for name in ["kubectl-ms2m", "kubectl_complete-ms2m"] {
        std::os::unix::fs::symlink(PROGRAM, place.path().join(name)).expect("a link");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("kubectl");
    command.args([&["__complete", "ms2m"], words].concat());
    command.env("PATH", format!("{}:{path}", place.path().display()));
    let mut lines = printed(world, command);
    // kubectl's own last line, which its script takes away.
    lines.retain(|line| !line.starts_with("Completion ended"));
    lines
}

fn printed(world: &World, mut command: Command) -> Vec<String> {
    command.env("KUBECONFIG", &world.places.kubeconfig);
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|it| it.trim_end().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_from_the_cluster() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m-resource")).await;
    stage
        .config_map("m-remembered", serde_json::json!({"phase": "Completed"}))
        .await;
    let world = stage.world;
    let namespace = &stage.namespace;
    let line = |words: &str| bash(world, &format!("ms2m {words}"));

    assert_eq!(line("mig"), ["migrate"]);
    assert_eq!(line("migrate --to node-"), ["node-a", "node-b", "node-c"]);
    assert_eq!(
        line(&format!("-n {namespace} status m-")),
        ["m-remembered", "m-resource"]
    );
    let part = &namespace[..namespace.len() - 1];
    assert!(line(&format!("status -n {part}")).contains(namespace));
    assert_eq!(line("status --context sand"), ["sandbox"]);

    // kubectl asks of its own accord, in its own way.
    let all = kubectl(world, &["abort", "-n", namespace, "m-"]);
    assert_eq!(all, ["m-remembered", "m-resource", ":4"]);
    let helped = kubectl(world, &["statu"]);
    assert!(helped[0].starts_with("status\t"), "{helped:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_silence() {
    let world = World::get();
    assert_eq!(
        bash(world, "ms2m --kubeconfig /nowhere migrate --to "),
        [""]
    );
    assert_eq!(bash(world, "ms2m --context nobody-s migrate --to "), [""]);
    let nothing = kubectl(world, &["--kubeconfig", "/nowhere", "migrate", "--to", ""]);
    assert_eq!(nothing, [":0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_installed_where_the_shell_looks() {
    let world = World::get();
    let home = TempDir::new().expect("a home");
    let at = home.path().to_str().expect("UTF-8");
    for (shell, path) in [
        ("bash", ".local/share/bash-completion/completions/ms2m"),
        ("zsh", ".local/share/zsh/site-functions/_ms2m"),
        ("fish", ".config/fish/completions/ms2m.fish"),
    ] {
        let shell_path = format!("/usr/bin/{shell}");
        let environment = [("HOME", at), ("SHELL", &shell_path)];
        let done = start(world, &["completion", "install"], &environment);
        let done = done.outcome().await.expect_code(0);
        let written = home.path().join(path);
        assert!(
            done.stdout.contains(&written.display().to_string()),
            "{done:?}"
        );
        let script = std::fs::read_to_string(written).expect("it is there");
        assert!(script.contains("COMPLETE"), "{script}");
    }
    let unknown = [("HOME", at), ("SHELL", "/bin/dash")];
    let refused = start(world, &["completion", "install"], &unknown);
    let refused = refused.outcome().await.expect_code(2);
    assert!(
        refused.stderr.contains("ms2m completion install bash"),
        "{refused:?}"
    );
}
