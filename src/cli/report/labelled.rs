//! A label before every line: for several migrations that share one terminal or log.

use std::io::Write;

/// Puts a label before every line, and writes each line at once: several of these may share one
/// terminal.
pub(super) struct Labelled {
    label: String,
    out: Box<dyn Write + Send>,
    line: Vec<u8>,
}

impl Labelled {
    /// To `out`.
    #[must_use]
    pub(super) fn new(label: String, out: Box<dyn Write + Send>) -> Self {
        Self {
            label,
            out,
            line: Vec::new(),
        }
    }
}

impl Write for Labelled {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let text = std::mem::take(&mut self.line);
        let mut labelled = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            labelled.extend_from_slice(self.label.as_bytes());
            labelled.extend_from_slice(line);
        }
        self.out.write_all(&labelled)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut writes = self.0.lock().expect("nobody panics with it");
            writes.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_has_the_label_and_a_flush_is_one_write() {
        let sink = Sink::default();
        let mut out = Labelled::new("worker-0 ".to_owned(), Box::new(sink.clone()));
        for part in ["one", " and\n", "two\n"] {
            out.write_all(part.as_bytes()).expect("it is kept");
        }
        out.flush().expect("it is written");
        let writes = sink.0.lock().expect("nobody panics with it").clone();
        assert_eq!(writes, [b"worker-0 one and\nworker-0 two\n".to_vec()]);
    }
}
