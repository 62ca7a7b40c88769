//! Files that are generated and committed: they must be what the program says today.
//!
//! `MS2M_UPDATE=1 cargo test -p ms2m --test generated` writes them anew.

mod monitoring;
mod reference;

use std::path::Path;

use ms2m::cli::commands::completion::{CompletionShell, fixed};
use ms2m::cli::commands::crd;

/// Fails if the file at `path` is not `text`, or writes it if that is asked for.
#[track_caller]
fn check(path: &str, text: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MS2M_UPDATE").is_some() {
        let directory = full.parent().expect("a file is in a directory");
        std::fs::create_dir_all(directory).expect("the directory can be made");
        std::fs::write(&full, text).expect("the file can be written");
        return;
    }
    let committed = std::fs::read_to_string(&full).unwrap_or_default();
    if committed == text {
        return;
    }
    let line = committed
        .lines()
        .zip(text.lines())
        .position(|(old, new)| old != new)
        .unwrap_or_else(|| committed.lines().count().min(text.lines().count()));
    panic!(
        "{path} is not what the program says today (line {}): \
         MS2M_UPDATE=1 cargo test -p ms2m --test generated",
        line + 1
    );
}

#[test]
fn completions() {
    for shell in [
        CompletionShell::Bash,
        CompletionShell::Zsh,
        CompletionShell::Fish,
    ] {
        check(&format!("completions/{}", shell.file_name()), &fixed(shell));
    }
}

#[test]
fn custom_resource_definition() {
    let yaml = crd::yaml().expect("the CRD can be written");
    check("examples/manifests/crd.yaml", &yaml);
}

#[test]
fn rights_of_people() {
    check(
        "examples/manifests/rbac-cli.yaml",
        &ms2m::cluster::rights::rbac_manifest(),
    );
    check(
        "examples/manifests/rbac-users.yaml",
        &ms2m::cluster::rights::users_manifest(),
    );
}

#[test]
fn what_an_install_makes() {
    let yaml = ms2m::install::yaml(&ms2m::install::Options::default());
    check("examples/manifests/controller.yaml", &yaml);
}

/// The README's figures are those of the evaluation's report.
#[test]
fn figures_of_the_evaluation() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).expect("it can be read")
    };
    let (readme, report) = (read("README.md"), read("examples/evaluate/README.md"));
    let begin = readme.split_once("<!-- lines of examples/evaluate/README.md -->");
    let lines = begin.and_then(|(_, rest)| rest.split_once("<!-- end of lines -->"));
    let (lines, _) = lines.expect("the README has the marks");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 8, "only {} lines", lines.len());
    for line in lines {
        let is_there = report.lines().any(|it| it == line);
        assert!(is_there, "the report has no such line: {line}");
    }
}

#[test]
fn command_line_reference() {
    check("CLI.md", &reference::text());
}
