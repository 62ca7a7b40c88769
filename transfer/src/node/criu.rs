//! CRIU: its version, and the options that files give it. Pure.

use serde::{Deserialize, Serialize};

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criu {
    /// Its path on the node.
    pub path: String,
    /// Its version, as `4.2.1`, where the program tells.
    pub version: Option<String>,
}

/// The files in `/etc/criu`; `None` where there is no such file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriuFiles {
    /// `default.conf`, which CRIU reads first, whoever calls it.
    #[serde(default)]
    pub default: Option<CriuOptions>,
    /// `runc.conf`, which runc names, and crun too where it has none of its own.
    #[serde(default)]
    pub runc: Option<CriuOptions>,
    /// `crun.conf`, which crun names.
    #[serde(default)]
    pub crun: Option<CriuOptions>,
}

/// The options that a migration takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CriuOptions {
    /// Open connections are closed at the restore.
    pub tcp_close: bool,
    /// Connections that are just arriving are left out.
    pub skip_in_flight: bool,
}

impl CriuOptions {
    /// Reads a configuration file of CRIU: an option a line, without dashes, `#` begins a comment, and
    /// `no-` in front of one takes it back (criu(8), Configuration files).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut options = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            match line.split_whitespace().next() {
                Some("tcp-close") => options.tcp_close = true,
                Some("no-tcp-close") => options.tcp_close = false,
                Some("skip-in-flight") => options.skip_in_flight = true,
                Some("no-skip-in-flight") => options.skip_in_flight = false,
                _ => {}
            }
        }
        options
    }
}

/// The version of a CRIU program, from its own bytes: so it need not be run. It is the one text of
/// digits and points between two zeros, and stands before the format that `criu --version` prints it
/// with (seen in CRIU 3.17.1; compilers may part the two).
#[must_use]
pub fn version(program: &[u8]) -> Option<String> {
    let texts = || program.split(|byte| *byte == 0);
    let follows = texts()
        .zip(texts().skip(1))
        .find(|(text, next)| is_version(text) && next.starts_with(b"Version: %s"));
    let found = match follows {
        Some((text, _)) => text,
        None => {
            let mut all = texts().filter(|text| is_version(text));
            let one = all.next()?;
            if all.any(|other| other != one) {
                return None;
            }
            one
        }
    };
    String::from_utf8(found.to_vec()).ok()
}

/// `4.2` or `4.2.1`, each number of at most three digits.
fn is_version(text: &[u8]) -> bool {
    if !(3..=11).contains(&text.len()) {
        return false;
    }
    let numbers: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let is_number = |it: &&[u8]| (1..=3).contains(&it.len()) && it.iter().all(u8::is_ascii_digit);
    (2..=3).contains(&numbers.len()) && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_lines_and_the_last_word_counts() {
        let of = |text: &str| {
            let options = CriuOptions::parse(text);
            (options.tcp_close, options.skip_in_flight)
        };
        assert_eq!(of("tcp-close\nskip-in-flight\n"), (true, true));
        assert_eq!(of("  tcp-close # as ms2m asks\r\n"), (true, false));
        assert_eq!(of("# tcp-close\n"), (false, false));
        assert_eq!(of("tcp-established\nlog-file tcp-close\n"), (false, false));
        assert_eq!(of("tcp-close\nno-tcp-close\n"), (false, false));
        assert_eq!(of(""), (false, false));
    }

    #[test]
    fn a_version_is_read_from_the_program() {
        let of = |bytes: &[u8]| version(bytes);
        let real =
            b"\x7fELF\x8d5.3\x0b\0iptables\x003.17.1\0Version: %s\n\0Will allow\x00127.0.0.1\0";
        assert_eq!(of(real).as_deref(), Some("3.17.1"));
        assert_eq!(of(b"a\x004.2\0b\x004.2\0").as_deref(), Some("4.2"));
        assert_eq!(of(b"a\x004.2\0b\x005.3\0"), None, "either may be it");
        assert_eq!(
            of(b"a\x001.2\0b\x004.2\0Version: %s\n\0").as_deref(),
            Some("4.2")
        );
        assert_eq!(of(b""), None);
        assert_eq!(of(b"\0.1\x00001.\x001..2\x001.2.3.4\x002026.1\0"), None);
    }
}
