//! The blocks of code in the documents, and the commands in them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What is no document: built, or read by nobody.
const NOT_THERE: [&str; 3] = ["target", "node_modules", ".git"];

/// Every Markdown file by its path from the root, with its text.
pub(crate) fn documents() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    look(root, root, &mut found);
    assert!(found.contains_key("docs/operator.md"), "{:?}", found.keys());
    found
}

fn look(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).expect("a directory can be read") {
        let entry = entry.expect("an entry can be read");
        let path = entry.path();
        if entry.file_type().expect("it has a type").is_dir() {
            if !NOT_THERE.iter().any(|name| entry.file_name() == *name) {
                look(root, &path, found);
            }
        } else if path.extension().is_some_and(|it| it == "md") {
            let name = path.strip_prefix(root).expect("it is below");
            let text = std::fs::read_to_string(&path).expect("a document can be read");
            found.insert(name.display().to_string(), text);
        }
    }
}

/// A block between two fences.
pub(crate) struct Block {
    pub(crate) document: String,
    /// The line of its first fence.
    pub(crate) at: usize,
    pub(crate) language: String,
    /// Without the indentation of the fence.
    pub(crate) lines: Vec<String>,
}

/// A command, as it is typed.
pub(crate) struct Command {
    pub(crate) document: String,
    pub(crate) at: usize,
    /// With its further lines and its comment.
    pub(crate) text: String,
    /// The same as one line without a comment; of a here-document the first one.
    pub(crate) line: String,
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.document, self.at, self.line)
    }
}

/// The blocks of a document, in their order.
pub(crate) fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for (at, line) in text.lines().enumerate() {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        open = match (words.strip_prefix("```"), open) {
            (Some(language), None) => {
                let block = Block {
                    document: document.to_owned(),
                    at: at + 1,
                    language: language.trim().to_owned(),
                    lines: Vec::new(),
                };
                Some((indent, block))
            }
            (Some(_), Some((_, block))) => {
                blocks.push(block);
                None
            }
            (None, Some((fence, mut block))) => {
                block
                    .lines
                    .push(line.split_at(fence.min(indent)).1.to_owned());
                Some((fence, block))
            }
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "{document}: a block has no end");
    blocks
}

impl Block {
    /// Whether it has what somebody types.
    pub(crate) fn is_typed(&self) -> bool {
        ["sh", "bash", "shell", "console"].contains(&self.language.as_str())
    }

    /// Whether its first line begins with a program of the documents' readers.
    pub(crate) fn looks_typed(&self) -> bool {
        const PROGRAMS: [&str; 7] = ["ms2m", "kubectl", "curl", "cargo", "$", "export", "docker"];
        let first = self.lines.first().and_then(|it| it.split(' ').next());
        first.is_some_and(|word| PROGRAMS.contains(&word))
    }

    /// Its commands: each line of `sh`, and of `console` what comes after a prompt, with the lines on
    /// which it goes on.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut lines = self.lines.iter().zip(self.at + 1..);
        while self.is_typed()
            && let Some((line, at)) = lines.next()
        {
            let typed = match self.language.as_str() {
                "console" => line.strip_prefix("$ "),
                _ => Some(line.as_str()).filter(|it| !it.trim().is_empty()),
            };
            let Some(typed) = typed else { continue };
            let mut text = typed.to_owned();
            while text.ends_with('\\')
                && let Some((more, _)) = lines.next()
            {
                text = format!("{text}\n{more}");
            }
            let line = one_line(&text);
            if let Some(end) = here_document(&text) {
                for (more, _) in lines.by_ref() {
                    text = format!("{text}\n{more}");
                    if *more == end {
                        break;
                    }
                }
            }
            commands.push(Command {
                document: self.document.clone(),
                at,
                text,
                line,
            });
        }
        commands
    }
}

/// The command without its comment, and without the ends of its lines.
fn one_line(text: &str) -> String {
    let joined = text.replace("\\\n", " ");
    let command = joined.split(" #").next().unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    words.join(" ")
}

/// The word that ends the here-document which a command begins.
fn here_document(text: &str) -> Option<String> {
    let (_, word) = text.split_once("<<")?;
    Some(word.trim().trim_matches('\'').to_owned())
}

#[test]
fn commands_are_told_from_comments_and_what_is_shown() {
    let of = |text: &str| -> Vec<(String, String)> {
        let blocks = blocks("it", text);
        let commands = blocks.iter().flat_map(Block::commands);
        commands.map(|it| (it.line, it.text)).collect()
    };
    let console = "```console\n$ a 'b.#'  # why\nshown\n$ c \\\n    d\n```\n";
    let pair = |line: &str, text: &str| (line.to_owned(), text.to_owned());
    let expected = [
        pair("a 'b.#'", "a 'b.#'  # why"),
        pair("c d", "c \\\n    d"),
    ];
    assert_eq!(of(console), expected);
    let here = "1.\n   ```sh\n   cat > f <<'END'\n   [x]\n   END\n   next\n   ```\n";
    let expected = [
        pair("cat > f <<'END'", "cat > f <<'END'\n[x]\nEND"),
        pair("next", "next"),
    ];
    assert_eq!(of(here), expected);
    assert!(of("```\n$ a\n```\n```json\n{}\n```\n").is_empty());
}
