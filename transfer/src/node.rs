//! What a node's own files say about checkpoints, which no API tells: CRIU and its options, the
//! runtime's switches, the room for archives. The report of `ms2m-transfer probe`, and pure readers
//! of the files. Whether that does for a migration is not decided here.

mod criu;
mod runtimes;

use serde::{Deserialize, Serialize};

pub use criu::{Criu, CriuFiles, CriuOptions, version};
pub use runtimes::{Containerd, Crio, parse};

/// The kubelet's directory of archives, unless its `--root-dir` is another one.
pub const ARCHIVES: &str = "/var/lib/kubelet/checkpoints";

/// No more files than so many are told of as unread, so that the report stays shorter than
/// [`crate::report::TERMINATION_MESSAGE_LIMIT`].
const UNREAD: usize = 4;

/// Nor more characters of any text.
const TEXT: usize = 100;

/// What was found on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// The program, where it was found.
    #[serde(default)]
    pub criu: Option<Criu>,
    /// Whether the library is there by which crun uses CRIU.
    #[serde(default)]
    pub libcriu: bool,
    /// The options that CRIU is given by files.
    #[serde(default)]
    pub options: CriuFiles,
    /// CRI-O's configuration, where there is any.
    #[serde(default)]
    pub crio: Option<Crio>,
    /// containerd's configuration, where there is any.
    #[serde(default)]
    pub containerd: Option<Containerd>,
    /// The file system of the archives.
    #[serde(default)]
    pub space: Option<Space>,
    /// What is there and could not be read, and why.
    #[serde(default)]
    pub unread: Vec<String>,
}

/// The room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// What can still be written.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

impl NodeReport {
    /// Notes that a file is there and could not be read.
    pub fn not_read(&mut self, path: &str, why: &str) {
        if self.unread.len() < UNREAD {
            self.unread.push(cut(&format!("{path}: {why}")));
        }
    }

    /// Reads a termination message.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(message: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(message.trim())
    }

    /// The report as a termination message: one line of JSON.
    #[must_use]
    pub fn to_termination_message(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and flags serialise")
    }
}

/// A text from a file of the node, as far as it is told.
fn cut(text: &str) -> String {
    // JSON would escape a control character as six bytes.
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(TEXT).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::TERMINATION_MESSAGE_LIMIT;

    #[test]
    fn the_longest_report_fits_into_the_termination_message() {
        let long = "\u{1}".repeat(9000);
        let toml = format!(
            "[crio.runtime]\ndefault_runtime = '''{}'''",
            "ü".repeat(9000)
        );
        let mut report = NodeReport {
            criu: Some(Criu {
                path: "/usr/local/sbin/criu".to_owned(),
                version: version(b"\x004.2.1\0"),
            }),
            crio: Some(Crio::of(&[parse(&toml).expect("TOML")])),
            ..NodeReport::default()
        };
        for _ in 0..99 {
            report.not_read("/etc/crio/crio.conf.d/x", &long);
        }
        let text = report.to_termination_message();
        assert!(text.len() < TERMINATION_MESSAGE_LIMIT, "{}", text.len());
        assert_eq!(NodeReport::parse(&text).expect("a report"), report);
        assert!(NodeReport::parse("OOMKilled").is_err());
        let empty = NodeReport::parse("{}").expect("nothing is required");
        assert_eq!(empty, NodeReport::default());
    }
}
