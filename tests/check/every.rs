//! Every check that is shown has a case in which it holds and one in which it does not, here among
//! these tests: what they expect is read from their own text.

use std::collections::BTreeMap;
use std::path::Path;

use crate::shown::{Shown, check};
use crate::support::cli::start;
use crate::support::{App, Options};

/// Checks that no sandbox can spoil or mend, and where they are seen instead.
const ELSEWHERE: &[(&str, &str)] = &[
    // The disk is this machine's own: src/check/probe/tests.rs.
    ("there is room for a checkpoint", ""),
    // The sandbox has one version: src/check/cluster.rs.
    ("its version can checkpoint containers", "fail"),
    // Shown where nothing names an image: probe.rs.
    ("a pod can look at the nodes' files", ""),
];

/// What these tests expect: parts of names, each with outcomes.
fn expected() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let constant = regex::Regex::new(r#"const ([A-Z_]+): &str =\s*"([^"]*)""#).expect("right");
    // `.expect("Group", "part", "outcome")` and `.check("Group", "part")["outcome"] == "outcome"`.
    let word = r#"(?:"[^"]*"|&?\w+)"#;
    let call = regex::Regex::new(&format!(
        r#"(?:expect|check|told)\(\s*(?:{word},\s*)?("[^"]*"|[A-Z_]+)(?:,\s*"(\w+)",?\s*\)|\)\["outcome"\]\s*==\s*"(\w+)")"#
    ))
    .expect("right");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it is there").flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else {
            continue;
        };
        let constants: BTreeMap<_, _> = constant
            .captures_iter(&text)
            .map(|it| (it[1].to_owned(), it[2].to_owned()))
            .collect();
        for it in call.captures_iter(&text) {
            let part = it[1].trim_matches('"');
            let part = constants.get(part).map_or(part, String::as_str);
            let outcome = it.get(2).or_else(|| it.get(3)).expect("one of them");
            found.push((part.to_owned(), outcome.as_str().to_owned()));
        }
    }
    assert!(found.len() > 60, "{found:?}");
    found
}

/// The names of all checks, and whether each passed.
fn names(shown: &Shown) -> Vec<(String, bool)> {
    let groups = shown.document["groups"].as_array().into_iter().flatten();
    groups
        // One by one, by one test for all of them: rights.rs.
        .filter(|group| group["name"] != "Permissions")
        .flat_map(|group| group["checks"].as_array().into_iter().flatten())
        .filter_map(|it| Some((it["name"].as_str()?.to_owned(), it["outcome"] == "pass")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_has_a_case_for_either_outcome() {
    let app = App::start("every", &Options::default()).await;
    let of_pod = check(&app, &["--probe"]).await;
    let own = app.environment();
    let environment: Vec<_> = own.iter().map(|(name, it)| (*name, it.as_str())).collect();
    let words = ["check", "--probe", "-n", &app.namespace, "-o", "json"];
    let of_cluster = start(app.world, &words, &environment).outcome().await;
    let mut names = [names(&of_pod), names(&Shown::of(&of_cluster))].concat();
    names.sort();
    names.dedup();
    let expected = expected();
    let mut without = Vec::new();
    for (name, passed) in names {
        let elsewhere = |side: &str| {
            let mut all = ELSEWHERE.iter();
            all.any(|(part, of)| name.contains(part) && (of.is_empty() || *of == side))
        };
        let has = |outcomes: &[&str]| {
            let mut all = expected.iter();
            all.any(|(part, outcome)| name.contains(part) && outcomes.contains(&outcome.as_str()))
        };
        // This run is a case, too.
        if !passed && !has(&["pass"]) && !elsewhere("pass") {
            without.push(format!("passes: {name}"));
        }
        if !has(&["fail", "warn"]) && !elsewhere("fail") {
            without.push(format!("fails: {name}"));
        }
    }
    assert_eq!(without, Vec::<String>::new());
    app.end().await;
}
