//! Every byte of output: data to stdout, words to stderr.
//!
//! The one place that knows whether these are terminals, how wide, and whether in colour. It
//! decides nothing about content, save that no text with `scheme://user:password@` in it gets out
//! whole.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};

use super::screen::Size;

/// Columns where there is no terminal to ask.
const COLUMNS: u16 = 100;

/// What a piece of text is for; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It stands out.
    Strong,
    /// It stands back.
    Dim,
    /// All is well.
    Good,
    /// Look here.
    Warning,
    /// Something failed.
    Bad,
}

/// Where output goes and how it may look.
#[derive(Debug, Clone)]
pub struct Ui {
    stdin_terminal: bool,
    stdout: Stream,
    stderr: Stream,
    quiet: bool,
}

/// One of the two streams.
#[derive(Debug, Clone, Copy)]
struct Stream {
    terminal: bool,
    colour: bool,
}

impl Stream {
    fn new(terminal: bool, choice: ColorChoice) -> Self {
        let colour = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && colours_welcome(),
        };
        Self { terminal, colour }
    }
}

/// `NO_COLOR` (<https://no-color.org>) and terminals without colours.
fn colours_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// Whether the terminal understands nothing but text.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Ui {
    /// For this process's own streams.
    #[must_use]
    pub fn new(color: ColorChoice, quiet: bool) -> Self {
        Self {
            stdin_terminal: io::stdin().is_terminal(),
            stdout: Stream::new(io::stdout().is_terminal(), color),
            stderr: Stream::new(io::stderr().is_terminal(), color),
            quiet,
        }
    }

    /// Prints data to stdout, with a line end if it has none. A reader that has gone away
    /// (`ms2m … | head`) is no error.
    ///
    /// # Errors
    /// Whatever writing fails with, a full disk for instance.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| {
                if text.ends_with('\n') {
                    Ok(())
                } else {
                    out.write_all(b"\n")
                }
            })
            .and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Prints `value` to stdout as indented JSON.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn json(&self, value: &impl serde::Serialize) -> io::Result<()> {
        self.data(&serde_json::to_string_pretty(value)?)
    }

    /// Prints words to stderr, unless the user wants quiet.
    pub fn words(&self, text: &str) {
        if !self.quiet {
            self.insist(text);
        }
    }

    /// Prints words to stderr in any case. A stderr that is gone (the terminal was closed) must
    /// not stop a roll-back, so failures are ignored.
    pub fn insist(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{}", without_userinfo(text.trim_end_matches('\n')));
        let _ = err.flush();
    }

    /// Asks a question that `y` or `yes` affirms. `None` when there is nobody to ask.
    #[must_use]
    pub fn confirm(&self, question: &str) -> Option<bool> {
        if !self.stdin_terminal || !self.stderr.terminal {
            return None;
        }
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Whether there is somebody to ask.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.stdin_terminal && self.stderr.terminal
    }

    /// Whether stdout is a terminal on which text can be redrawn in place.
    #[must_use]
    pub fn can_redraw_stdout(&self) -> bool {
        self.stdout.terminal && !is_dumb()
    }

    /// Whether stderr is a terminal on which text can be redrawn in place.
    #[must_use]
    pub fn can_redraw_stderr(&self) -> bool {
        self.stderr.terminal && !is_dumb()
    }

    /// Whether the user wants nothing on stderr but errors and questions.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How text on stdout may look.
    #[must_use]
    pub fn out_paint(&self) -> Paint {
        Paint(self.stdout.colour)
    }

    /// How text on stderr may look.
    #[must_use]
    pub fn err_paint(&self) -> Paint {
        Paint(self.stderr.colour)
    }

    /// Columns of stdout: the terminal's, or else `COLUMNS`, or else a hundred.
    #[must_use]
    pub fn columns(&self) -> u16 {
        let asked = self.stdout.terminal.then(|| size(io::stdout())).flatten();
        let asked = asked.and_then(|size| u16::try_from(size.columns).ok());
        let told = || std::env::var("COLUMNS").ok()?.parse().ok();
        asked.or_else(told).unwrap_or(COLUMNS).max(20)
    }
}

/// Size of the terminal behind a stream. One that does not know it says 0, and has none here.
pub(super) fn size(stream: impl AsFd) -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some(Size { columns, rows })
}

/// Puts colours on text, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// `text` in the colour of `tone`.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Strong => Style::new().bold(),
            Tone::Dim => Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
        };
        format!("{}{text}{}", style.render(), style.render_reset())
    }
}

/// `text` with the user info of every URL in it replaced by `***`.
///
/// No message of ours holds one. This is for the words of others: a parser that quotes what was
/// typed, a client that quotes its address.
#[must_use]
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    if !(text.contains("://") && text.contains('@')) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = url
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'))
            .unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        // A password that was not encoded may hold '/' and '@' itself, so everything up to the
        // last '@' goes; that of a digest is not one.
        match url
            .rfind('@')
            .filter(|at| !url[*at..].starts_with("@sha256:"))
        {
            Some(at) => {
                clean.push_str("***");
                clean.push_str(&url[at..]);
            }
            None => clean.push_str(url),
        }
        rest = after;
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// A URL without user and password.
#[must_use]
pub fn public_url(url: &str) -> String {
    without_userinfo(url).replace("://***@", "://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_taken_out_of_every_url() {
        for (text, clean) in [
            ("plain words, a@b", "plain words, a@b"),
            ("amqp://u:hunter2@mq/v and more", "amqp://***@mq/v and more"),
            (
                "'amqp://u:hun/ter@2@mq' x http://a:b@c",
                "'amqp://***@mq' x http://***@c",
            ),
            ("http://reg/x@sha256:00 y", "http://reg/x@sha256:00 y"),
            ("http://mq no at sign", "http://mq no at sign"),
        ] {
            assert_eq!(without_userinfo(text), clean);
        }
    }

    #[test]
    fn paint_leaves_text_alone_without_colours() {
        assert_eq!(Paint(false).tone(Tone::Bad, "x"), "x");
        assert_eq!(Paint(true).tone(Tone::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
