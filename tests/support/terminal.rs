//! A person at a terminal: the real `ms2m` on a pseudo-terminal, and a terminal emulator that shows what
//! that person sees. The emulator wraps lines anew when it is resized, as most terminals do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{World, binary};

/// What a shell does around a command: it survives its Ctrl-C, and then writes its prompt, here exit
/// code and whether the terminal writes `^C` again.
const SHELL: &str = r#"trap : INT; "$@"; echo "[exit $?, $(stty -a | grep -o -e '-*echoctl')]""#;

/// Ctrl-C.
pub(crate) const CTRL_C: &str = "\u{3}";

/// A terminal on which `ms2m` runs.
pub(crate) struct Terminal {
    child: tokio::process::Child,
    keys: OwnedWritePty,
    shown: Arc<Mutex<Shown>>,
    changed: watch::Receiver<usize>,
    reader: JoinHandle<()>,
    _home: tempfile::TempDir,
}

struct Shown {
    emulator: avt::Terminal,
    /// What was to be seen each time that something was written.
    frames: Vec<String>,
}

/// What stands there when everything has ended.
#[derive(Debug)]
pub(crate) struct Left {
    /// What there was before the prompt, lines that were wrapped as one.
    pub(crate) text: String,
    /// The same with colours, as `‹green›…‹›`.
    pub(crate) coloured: String,
    pub(crate) code: i32,
    pub(crate) frames: Vec<String>,
}

impl Terminal {
    /// Starts `ms2m` on a terminal of this size, with nothing of this process's environment.
    pub(crate) fn start(
        world: &World,
        (columns, rows): (u16, u16),
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let home = tempfile::tempdir().expect("a home directory");
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("it is resized");
        let ms2m = binary("ms2m");
        let child = pty_process::Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .arg(&ms2m)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/bash")
            .env("KUBECONFIG", &world.places.kubeconfig)
            .envs(environment.iter().copied())
            .current_dir(home.path())
            .kill_on_drop(true)
            .spawn(pts)
            .expect("a shell starts");
        let size = (usize::from(columns), usize::from(rows));
        let emulator = avt::Terminal::with_scrollback(size.0, size.1, None);
        let shown = Arc::new(Mutex::new(Shown {
            emulator: emulator.expect("it has a size"),
            frames: Vec::new(),
        }));
        let (tell, changed) = watch::channel(0);
        let (screen, keys) = pty.into_split();
        let reader = tokio::spawn(read(screen, Arc::clone(&shown), tell));
        Self {
            child,
            keys,
            shown,
            changed,
            reader,
            _home: home,
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be seen now.
    pub(crate) fn text(&self) -> String {
        seen(&self.shown().emulator)
    }

    /// Waits until `is` holds for what stands there.
    pub(crate) async fn await_text(&mut self, what: &str, is: impl Fn(&str) -> bool) {
        let mut changed = self.changed.clone();
        let seen = changed.wait_for(|_| is(&self.text()));
        let seen = tokio::time::timeout(super::DEADLINE, seen).await;
        let seen = seen.is_ok_and(|seen| seen.is_ok());
        assert!(
            seen,
            "waited in vain: {what}; there stands\n{}",
            self.text()
        );
    }

    /// Waits until these words stand there.
    pub(crate) async fn shows(&mut self, words: &str) {
        self.await_text(words, |text| text.contains(words)).await;
    }

    /// Makes it larger or smaller.
    pub(crate) fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.changed.mark_unchanged();
        let mut shown = self.shown();
        shown.emulator.resize(columns.into(), rows.into());
        let resized = self.keys.resize(Size::new(rows, columns));
        resized.expect("it is resized");
    }

    /// Waits until something was drawn since it was resized. One that is resized while a frame for its
    /// size before is on the way shows that frame as it comes, as every terminal does.
    pub(crate) async fn redrawn(&mut self) {
        let drawn = tokio::time::timeout(super::DEADLINE, self.changed.changed()).await;
        let drawn = drawn.is_ok_and(|drawn| drawn.is_ok());
        assert!(drawn, "it is not drawn anew:\n{}", self.text());
    }

    /// Presses keys.
    pub(crate) async fn press(&mut self, keys: &str) {
        let pressed = self.keys.write_all(keys.as_bytes()).await;
        pressed.expect("the terminal takes keys");
    }

    /// Waits for the end. Panics when the screen is left as it should not be: without a cursor, with a
    /// prompt behind other text, or with a terminal that behaves otherwise than before.
    pub(crate) async fn left(mut self) -> Left {
        let ended = tokio::time::timeout(super::DEADLINE, self.child.wait()).await;
        let text = self.text();
        ended
            .unwrap_or_else(|_| panic!("it does not end; there stands\n{text}"))
            .expect("the shell ends");
        self.reader.await.expect("the reader does not panic");
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = shown.emulator.cursor();
        let all = self::text(&shown.emulator);
        assert!(cursor.visible, "the cursor is gone:\n{all}");
        assert_eq!(cursor.col, 0, "a line is not ended:\n{all}");
        let (text, prompt) = all.rsplit_once('\n').unwrap_or(("", &all));
        let code = prompt
            .strip_prefix("[exit ")
            .and_then(|rest| rest.strip_suffix(", echoctl]"))
            .and_then(|code| code.parse().ok());
        let coloured = coloured(&shown.emulator);
        let coloured = coloured.rsplit_once('\n').map_or("", |(text, _)| text);
        Left {
            text: text.to_owned(),
            coloured: coloured.to_owned(),
            code: code.unwrap_or_else(|| panic!("the prompt is not as it should be:\n{all}")),
            frames: std::mem::take(&mut shown.frames),
        }
    }
}

async fn read(mut screen: OwnedReadPty, shown: Arc<Mutex<Shown>>, tell: watch::Sender<usize>) {
    let (mut bytes, mut rest) = ([0; 65_536], Vec::new());
    // Once nobody has it open any more, reading fails.
    while let Ok(count @ 1..) = screen.read(&mut bytes).await {
        rest.extend_from_slice(&bytes[..count]);
        // A character may be cut in two.
        let whole = match std::str::from_utf8(&rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        let text: Vec<u8> = rest.drain(..whole).collect();
        let mut it = shown.lock().unwrap_or_else(PoisonError::into_inner);
        it.emulator.feed(String::from_utf8_lossy(&text).as_ref());
        let frame = seen(&it.emulator);
        it.frames.push(frame);
        drop(it);
        tell.send_modify(|count| *count += 1);
    }
}

/// What stands there, what has scrolled away included, lines that were wrapped as one.
fn text(emulator: &avt::Terminal) -> String {
    let text = emulator.screen().text().join("\n");
    text.trim_end().to_owned()
}

/// What is to be seen of it.
fn seen(emulator: &avt::Terminal) -> String {
    let mut text = String::new();
    for line in emulator.screen().visible_lines() {
        let words = line.text();
        if line.is_wrapped() {
            text.push_str(&words);
        } else {
            text.push_str(words.trim_end());
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

/// What stands there, with marks where the colour changes.
fn coloured(emulator: &avt::Terminal) -> String {
    let (mut text, mut now) = (String::new(), String::new());
    for line in emulator.screen().all_lines() {
        let mut words = String::new();
        for chunk in line.chunks(|one, other| colour(one.pen()) != colour(other.pen())) {
            let part: String = chunk.iter().map(avt::Cell::char).collect();
            let next = chunk.first().map(|cell| colour(cell.pen()));
            let next = next.unwrap_or_default();
            if next != now && !part.trim().is_empty() {
                words.push_str(&format!("‹{next}›"));
                now = next;
            }
            words.push_str(&part);
        }
        if line.is_wrapped() {
            text.push_str(&words);
            continue;
        }
        text.push_str(words.trim_end());
        if !std::mem::take(&mut now).is_empty() {
            text.push_str("‹›");
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// The name of a colour.
fn colour(pen: &avt::Pen) -> String {
    const NAMES: [&str; 8] = [
        "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    ];
    let mut words = Vec::new();
    if let Some(avt::Color::Indexed(number)) = pen.foreground() {
        words.push(NAMES.get(usize::from(number)).copied().unwrap_or("colour"));
    }
    if pen.is_bold() {
        words.push("bold");
    }
    if pen.is_faint() {
        words.push("dim");
    }
    words.join(" ")
}
