//! Text that is redrawn in place on stdout, a terminal.

use std::io::{self, Write};

use super::ui::Ui;

/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;

/// What was drawn last.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: usize,
}

impl Screen {
    /// Rows of the terminal.
    pub(super) fn rows() -> usize {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        size.map(|size| usize::from(size.ws_row))
            .filter(|rows| *rows > 0)
            .unwrap_or(ROWS)
    }

    /// Draws `text` over what was drawn last.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub(super) fn show(&mut self, ui: &Ui, text: &str) -> io::Result<()> {
        let drawn = drawing(self.lines, text, usize::from(ui.columns()));
        self.lines = text.lines().count();
        let mut out = io::stdout().lock();
        out.write_all(drawn.as_bytes())?;
        out.flush()
    }
}

/// What draws `text` over `before` lines: each line cut to the width, since one that wraps would be
/// two the next time.
fn drawing(before: usize, text: &str, columns: usize) -> String {
    let mut drawn = String::new();
    if before > 0 {
        drawn.push_str(&format!("\u{1b}[{before}A"));
    }
    for line in text.lines() {
        let line: String = line.chars().take(columns).collect();
        drawn.push_str(&format!("\r{line}\u{1b}[K\n"));
    }
    // What was below.
    drawn.push_str("\u{1b}[J");
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_text_takes_the_place_of_a_longer_one() {
        assert_eq!(
            drawing(0, "abcdef\ng", 4),
            "\rabcd\u{1b}[K\n\rg\u{1b}[K\n\u{1b}[J"
        );
        assert_eq!(drawing(2, "x", 4), "\u{1b}[2A\rx\u{1b}[K\n\u{1b}[J");
    }
}
