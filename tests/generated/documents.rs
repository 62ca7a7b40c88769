//! Command lines of `ms2m` in the documents: each is one that the program takes. What they do is tested
//! elsewhere.

use std::path::{Path, PathBuf};

/// Where documents are, besides those at the top.
const PLACES: [&str; 5] = ["docs", "examples", "transfer", "tests", "benches"];

/// The Markdown files under `directory`, what was built left out.
fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

/// The lines that somebody would type: those of `sh`, and those after a prompt of `console`.
fn typed(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut language, mut goes_on) = (None, false);
    for line in text.lines().map(str::trim) {
        if let Some(fence) = line.strip_prefix("```") {
            language = language.is_none().then(|| fence.to_owned());
            goes_on = false;
            continue;
        }
        let line = match language.as_deref() {
            Some("sh") => Some(line),
            Some("console") if goes_on => Some(line),
            Some("console") => line.strip_prefix("$ "),
            _ => None,
        };
        let Some(line) = line else { continue };
        let (line, continued) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some(last) if goes_on => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
        goes_on = continued;
    }
    lines
}

/// The arguments of each `ms2m` in a line.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("a quote is open: {line}"));
    words
        .split(|word| matches!(word.as_str(), "|" | "&&" | ";" | ">"))
        .filter_map(|words| {
            let words = match words {
                [kubectl, rest @ ..] if kubectl == "kubectl" => rest,
                words => words,
            };
            (words.first()? == "ms2m").then(|| words.to_vec())
        })
        .collect()
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for place in PLACES {
        documents(&root.join(place), &mut files);
    }
    let mut count = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a document can be read");
        // What completion is asked for is no word yet.
        let whole = typed(&text)
            .into_iter()
            .filter(|line| !line.contains("<Tab>"));
        for line in whole {
            for words in commands(&line) {
                count += 1;
                if let Err(error) = ms2m::cli::command().try_get_matches_from(words) {
                    panic!("{}: {line}\n{error}", file.display());
                }
            }
        }
    }
    assert!(count > 40, "only {count} were found");
}
