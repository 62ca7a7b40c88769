//! The rule of dependencies: the engine knows no client library and no terminal.

use std::path::{Path, PathBuf};

/// What `src/migration` must not name. `crate::api` re-exports the few Kubernetes types that a
/// status is made of.
const FORBIDDEN: [&str; 11] = [
    "kube::",
    "k8s_openapi::",
    "lapin",
    "oci_client",
    "clap",
    "console::",
    "reqwest",
    "crate::cluster",
    "crate::broker",
    "crate::cli",
    "crate::controller",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The words of `text`'s code: comments may name what they explain.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn the_engine_knows_no_client_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/migration");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(
        files.len() > 10,
        "there is more of the engine than {files:?}"
    );
    let mut broken = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("it can be read");
        for (number, line) in code(&text) {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn adapters_know_neither_each_other_nor_the_command_line() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let adapters = ["cluster", "broker", "registry"];
    let mut broken = Vec::new();
    for adapter in adapters {
        let mut files = Vec::new();
        sources(&src.join(adapter), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).expect("it can be read");
            let others = adapters.iter().filter(|other| **other != adapter);
            for other in others.chain(&["cli", "controller"]) {
                let word = format!("crate::{other}");
                if code(&text).any(|(_, line)| line.contains(&word)) {
                    broken.push(format!("{}: {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
