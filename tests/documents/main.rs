//! The command lines of the documents, run as they stand by `bash` on a sandbox that has what the
//! documents speak of: `worker-0`, its queue, nodes, a broker, a registry.
//!
//! Each document has one shell and one sandbox, and is gone through from its beginning. `cases` says
//! what has to be there before a command and how it ends, where that is not 0; `not_run` which commands
//! are not run, and why. Neither may speak of a command that no document has.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod cases;
mod names;
mod not_run;
mod scenes;
mod shell;

use std::collections::BTreeMap;

use blocks::{Block, Command, blocks, documents};
use cases::{CASES, Case};
use not_run::NOT_RUN;
use scenes::Scene;
use shell::Shell;

/// What becomes of a command.
enum Fate {
    Run(Case),
    NotRun,
}

/// The commands of a document with what becomes of each. Cases of one command are taken in their order.
fn fates(document: &str, blocks: &[Block]) -> Vec<(Command, Fate)> {
    let mut cases: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
    for case in CASES.iter().filter(|case| case.document == document).rev() {
        cases.entry(case.command).or_default().push(*case);
    }
    let listed = |command: &Command| {
        let is = |(it, line, _): &&(&str, &str, &str)| *it == document && *line == command.line;
        NOT_RUN.iter().find(is).is_some()
    };
    let fates: Vec<(Command, Fate)> = blocks
        .iter()
        .flat_map(Block::commands)
        .map(|command| {
            let fate = match cases.get_mut(command.line.as_str()).and_then(Vec::pop) {
                // The list is of what the cases leave.
                Some(case) => Fate::Run(case),
                None if listed(&command) => Fate::NotRun,
                None => Fate::Run(Case::plain()),
            };
            (command, fate)
        })
        .collect();
    let left: Vec<&Case> = cases.values().flatten().collect();
    assert!(left.is_empty(), "{document} has no such command: {left:#?}");
    fates
}

/// The commands that are not run are in the documents, and what a reader would type is marked as such.
#[test]
fn the_lists_are_of_commands_that_are_there() {
    let mut count = 0;
    let all = documents();
    for (document, text) in &all {
        let blocks = blocks(document, text);
        let fates = fates(document, &blocks);
        count += fates.len();
        if !DOCUMENTS.iter().any(|of| of.contains(&document.as_str())) {
            for (command, fate) in fates {
                let not_run = matches!(fate, Fate::NotRun);
                assert!(not_run, "{command}: nobody runs it, and it is not listed");
            }
        }
    }
    for (document, line, reason) in NOT_RUN {
        let commands = all.get(*document).map(|text| blocks(document, text));
        let mut commands = commands.iter().flatten().flat_map(Block::commands);
        let is_there = commands.any(|command| command.line == *line);
        assert!(is_there, "{document} no longer has: {line} ({reason})");
    }
    for case in CASES {
        let is_there = all.contains_key(case.document);
        assert!(is_there, "there is no {}", case.document);
    }
    assert!(count > 80, "only {count} commands were found");
}

/// Nothing that is to be typed hides in a block that does not say so.
#[test]
fn what_is_typed_is_marked() {
    for (document, text) in documents() {
        for block in blocks(&document, &text) {
            let hides = !block.is_typed() && block.lines.iter().any(|it| it.starts_with("$ "));
            assert!(!hides, "{document}:{}: say sh or console", block.at);
            let says = !block.language.is_empty() || !block.looks_typed();
            assert!(says, "{document}:{}: say sh, console or text", block.at);
        }
    }
}

/// Also what is not run is something that a shell reads.
#[test]
fn every_block_is_one_that_a_shell_reads() {
    for (document, text) in documents() {
        for block in blocks(&document, &text).iter().filter(|it| it.is_typed()) {
            let commands = block.commands().into_iter().map(|it| it.text);
            // A key is none of them.
            let typed: Vec<String> = commands.filter(|it| !it.contains("<Tab>")).collect();
            let bash = ["-n", "-c", &typed.join("\n")];
            let bash = std::process::Command::new("bash").args(bash).output();
            let bash = bash.expect("bash runs");
            let words = String::from_utf8_lossy(&bash.stderr);
            let reads = bash.status.success() && words.is_empty();
            assert!(reads, "{document}:{}: {words}", block.at);
        }
    }
}

/// The documents that are run, those of one sandbox together.
const DOCUMENTS: [&[&str]; 3] = [
    &["README.md"],
    &["docs/operator.md"],
    &[
        "docs/developer.md",
        "examples/worker/README.md",
        "examples/sandbox/README.md",
        "examples/evaluate/README.md",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn the_readme() {
    go_through(DOCUMENTS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_guide() {
    go_through(DOCUMENTS[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_developers_guide_and_the_examples() {
    go_through(DOCUMENTS[2]).await;
}

async fn go_through(names: &[&str]) {
    let all = documents();
    let sandbox = scenes::sandbox().await;
    for name in names {
        let scene = Scene::open(sandbox, name).await;
        let mut shell = Shell::start(&scene);
        for (command, fate) in fates(name, &blocks(name, &all[*name])) {
            if let Fate::Run(case) = fate {
                scenes::run(&scene, &mut shell, &command, &case).await;
            }
        }
    }
}
