//! Text that is redrawn in place on a terminal: lines that stay, and below them lines that change.
//!
//! Between two frames the cursor is at the beginning of the line below, so whatever comes next, be it
//! a prompt after `kill -9`, begins on a line of its own. Lines that change are cut to the width of
//! the terminal; those that stay are left to it, which wraps them, and wraps them again when it is
//! resized. It draws what it is given and decides nothing about it.

use std::io::{self, Write};

use console::{measure_text_width, truncate_str};

use super::ui;

/// Columns and rows of a terminal that does not say how many it has.
const UNKNOWN: Size = Size {
    columns: 80,
    rows: 24,
};

/// Size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What was drawn last, and where.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> Option<Size> + Send>,
    /// Columns of each of the lines that change, as they were drawn.
    drawn: Vec<usize>,
}

impl Screen {
    /// Draws on stdout.
    pub(super) fn on_stdout() -> Self {
        Self::on(Box::new(io::stdout()), Box::new(|| ui::size(io::stdout())))
    }

    /// Draws on stderr.
    pub(super) fn on_stderr() -> Self {
        Self::on(Box::new(io::stderr()), Box::new(|| ui::size(io::stderr())))
    }

    /// Draws on `out`, a terminal of that size.
    pub(super) fn on(
        out: Box<dyn Write + Send>,
        size: Box<dyn Fn() -> Option<Size> + Send>,
    ) -> Self {
        Self {
            out,
            size,
            drawn: Vec::new(),
        }
    }

    /// Its size now.
    pub(super) fn size(&self) -> Size {
        (self.size)().unwrap_or(UNKNOWN)
    }

    /// Draws `changing` over what it was last, below `kept`, lines that stay from now on.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub(super) fn draw(&mut self, kept: &[String], changing: &[String]) -> io::Result<()> {
        let size = self.size();
        let changing = fitting(changing, size);
        let frame = frame(rows(&self.drawn, size.columns), kept, &changing);
        self.drawn = changing
            .iter()
            .map(|line| measure_text_width(line))
            .collect();
        // In one piece, since half a frame that is shown flickers.
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

/// What of `lines` fits, the cursor's own row left free: a line that wrapped would be two the next
/// time, and what has scrolled away cannot be drawn over.
fn fitting(lines: &[String], size: Size) -> Vec<String> {
    let cut = |line: &String| truncate_str(line, size.columns, "").into_owned();
    let room = size.rows.saturating_sub(1).max(1);
    lines.iter().take(room).map(cut).collect()
}

/// Rows that lines of these widths take in a terminal of so many columns. A terminal that was made
/// narrower has wrapped them, as most do (xterm and screen cut them instead).
fn rows(widths: &[usize], columns: usize) -> usize {
    let of = |width: &usize| width.div_ceil(columns.max(1)).max(1);
    widths.iter().map(of).sum()
}

/// What draws both over the `before` rows above the cursor.
fn frame(before: usize, kept: &[String], changing: &[String]) -> String {
    let mut frame = String::new();
    if before > 0 {
        frame.push_str(&format!("\u{1b}[{before}A"));
    }
    frame.push('\r');
    if !kept.is_empty() {
        // One that wraps would leave what is right of its end.
        frame.push_str("\u{1b}[J");
    }
    for line in kept {
        frame.push_str(&format!("{line}\n"));
    }
    for line in changing {
        // Before the line: behind one that fills its row this would take the last character.
        frame.push_str(&format!("\u{1b}[K{line}\n"));
    }
    frame.push_str("\u{1b}[J");
    frame
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use super::*;

    /// A terminal in memory, which wraps its lines anew when it is resized.
    #[derive(Clone)]
    pub(in crate::cli) struct Memory(Arc<Mutex<avt::Terminal>>);

    impl Memory {
        pub(in crate::cli) fn new(columns: usize, rows: usize) -> Self {
            let terminal = avt::Terminal::with_scrollback(columns, rows, None);
            Self(Arc::new(Mutex::new(terminal.expect("it has a size"))))
        }

        fn terminal(&self) -> MutexGuard<'_, avt::Terminal> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(in crate::cli) fn screen(&self) -> Screen {
            let it = self.clone();
            let size = move || {
                let (columns, rows) = it.terminal().size();
                Some(Size { columns, rows })
            };
            Screen::on(Box::new(self.clone()), Box::new(size))
        }

        pub(in crate::cli) fn resize(&self, columns: usize, rows: usize) {
            self.terminal().resize(columns, rows);
        }

        /// What stands on it, lines that it has wrapped as one.
        pub(in crate::cli) fn text(&self) -> String {
            let text = self.terminal().screen().text().join("\n");
            text.trim_end().to_owned()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).replace('\n', "\r\n");
            self.terminal().feed(text.as_str());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn draw(screen: &mut Screen, kept: &[&str], changing: &[&str]) {
        let drawn = screen.draw(&lines(kept), &lines(changing));
        drawn.expect("memory can be written");
    }

    #[test]
    fn lines_that_stay_push_those_that_change_down() {
        let memory = Memory::new(10, 5);
        let mut screen = memory.screen();
        draw(&mut screen, &[], &["a long line that is cut", "second"]);
        assert_eq!(memory.text(), "a long lin\nsecond");
        draw(&mut screen, &["stays, and is wrapped"], &["1"]);
        assert_eq!(memory.text(), "stays, and is wrapped\n1");
        draw(&mut screen, &["one"], &["2", "3"]);
        assert_eq!(memory.text(), "stays, and is wrapped\none\n2\n3");
        draw(&mut screen, &[], &[]);
        assert_eq!(memory.text(), "stays, and is wrapped\none");
    }

    #[test]
    fn a_resize_leaves_no_rests() {
        let memory = Memory::new(20, 6);
        let mut screen = memory.screen();
        draw(&mut screen, &["kept"], &["twelve chars", "x"]);
        for (columns, rows, expected) in [
            (12, 6, "kept\ntwelve chars\nx"),
            (30, 6, "kept\ntwelve chars\nx"),
        ] {
            memory.resize(columns, rows);
            draw(&mut screen, &[], &["twelve chars", "x"]);
            assert_eq!(memory.text(), expected, "{columns} columns, {rows} rows");
        }
    }

    #[test]
    fn what_would_scroll_away_is_left_out() {
        let size = Size {
            columns: 9,
            rows: 3,
        };
        assert_eq!(fitting(&lines(&["1", "2", "3"]), size), ["1", "2"]);
    }

    #[test]
    fn lines_that_a_narrower_terminal_has_wrapped_take_more_rows() {
        assert_eq!(rows(&[12, 0, 1], 12), 3);
        assert_eq!(rows(&[12, 0, 1], 5), 5);
    }

    #[test]
    fn colours_take_no_room_and_end_where_a_line_is_cut() {
        let size = Size {
            columns: 4,
            rows: 9,
        };
        let cut = fitting(&lines(&["\u{1b}[32mgreen\u{1b}[0m"]), size);
        assert_eq!(cut, ["\u{1b}[32mgree\u{1b}[0m"]);
    }
}
