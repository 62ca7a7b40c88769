//! The results file: one line a run, and nothing lost when it is interrupted.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use color_eyre::eyre::{Result, WrapErr as _};
use serde::{Deserialize, Serialize};

use crate::matrix::{Case, Configuration, Run, Way};

/// What came of one run. Times are seconds; what was not to be had is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "README.md has the meaning of each column")]
pub struct Row {
    pub configuration: Configuration,
    pub way: Way,
    pub rate: u32,
    pub processing_ms: u64,
    pub state_bytes: u64,
    pub backlog: u64,
    pub repetition: u32,
    pub seed: u64,
    pub commit: String,
    pub world: String,
    pub started: String,
    pub outcome: Outcome,
    pub reason: String,
    pub exit_code: Option<i32>,
    pub total: Option<f64>,
    pub wall: Option<f64>,
    pub pending: Option<f64>,
    pub checkpointing: Option<f64>,
    pub transferring: Option<f64>,
    pub restoring: Option<f64>,
    pub replaying: Option<f64>,
    pub finalizing: Option<f64>,
    pub downtime: Option<f64>,
    pub unavailable: Option<f64>,
    pub unavailable_longest: Option<f64>,
    pub probes: Option<u64>,
    pub probes_unanswered: Option<u64>,
    pub gap: Option<f64>,
    pub gap_before: Option<f64>,
    pub age_before_p50: Option<f64>,
    pub age_before_p99: Option<f64>,
    pub age_before_max: Option<f64>,
    pub age_during_p50: Option<f64>,
    pub age_during_p99: Option<f64>,
    pub age_during_max: Option<f64>,
    pub age_after_p50: Option<f64>,
    pub age_after_p99: Option<f64>,
    pub age_after_max: Option<f64>,
    pub published: Option<u64>,
    pub confirmed: Option<u64>,
    pub applied: Option<u64>,
    pub lost: Option<u64>,
    pub doubled: Option<u64>,
    pub out_of_order: Option<u64>,
    pub exact: Option<bool>,
    pub doubts: Option<u64>,
    pub replayed: Option<i64>,
    pub archive_bytes: Option<i64>,
    pub moved_bytes: Option<i64>,
    pub requests: Option<u64>,
    pub cpu: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The pod has moved.
    Completed,
    /// It has not, or the harness could not see that it has: the reason says what happened.
    Failed,
}

impl Row {
    /// A row without figures.
    pub fn of(run: &Run) -> Self {
        let Case {
            configuration,
            way,
            rate,
            processing_ms,
            state_bytes,
            backlog,
        } = run.case;
        Self {
            configuration,
            way,
            rate,
            processing_ms,
            state_bytes,
            backlog,
            repetition: run.repetition,
            seed: 0,
            commit: String::new(),
            world: String::new(),
            started: String::new(),
            outcome: Outcome::Failed,
            reason: String::new(),
            exit_code: None,
            total: None,
            wall: None,
            pending: None,
            checkpointing: None,
            transferring: None,
            restoring: None,
            replaying: None,
            finalizing: None,
            downtime: None,
            unavailable: None,
            unavailable_longest: None,
            probes: None,
            probes_unanswered: None,
            gap: None,
            gap_before: None,
            age_before_p50: None,
            age_before_p99: None,
            age_before_max: None,
            age_during_p50: None,
            age_during_p99: None,
            age_during_max: None,
            age_after_p50: None,
            age_after_p99: None,
            age_after_max: None,
            published: None,
            confirmed: None,
            applied: None,
            lost: None,
            doubled: None,
            out_of_order: None,
            exact: None,
            doubts: None,
            replayed: None,
            archive_bytes: None,
            moved_bytes: None,
            requests: None,
            cpu: None,
            memory_bytes: None,
        }
    }

    /// The run that it is of.
    pub fn run(&self) -> Run {
        Run {
            case: Case {
                configuration: self.configuration,
                way: self.way,
                rate: self.rate,
                processing_ms: self.processing_ms,
                state_bytes: self.state_bytes,
                backlog: self.backlog,
            },
            repetition: self.repetition,
        }
    }
}

/// The file, open for more lines.
pub struct Results {
    path: PathBuf,
    file: File,
    empty: bool,
}

impl Results {
    /// Opens or makes it, and gives what is in it. A last line that was cut off is taken out.
    ///
    /// # Errors
    /// When it cannot be read or written, or has lines of another kind.
    pub fn open(path: &Path) -> Result<(Self, Vec<Row>)> {
        let failed = || format!("failed to use the results file {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .wrap_err_with(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).wrap_err_with(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).wrap_err_with(failed)?;
        file.seek(SeekFrom::End(0)).wrap_err_with(failed)?;
        let rows = rows(&text[..whole]).wrap_err_with(failed)?;
        let results = Self {
            path: path.to_owned(),
            file,
            empty: whole == 0,
        };
        Ok((results, rows))
    }

    /// Adds a line, which is on the disk afterwards.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        let mut writer = csv::WriterBuilder::new()
            .has_headers(self.empty)
            .from_writer(Vec::new());
        writer.serialize(row)?;
        let line = writer.into_inner().wrap_err("a line could not be made")?;
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
            .wrap_err_with(|| format!("failed to write {}", self.path.display()))?;
        self.empty = false;
        Ok(())
    }
}

/// Reads a results file without touching it.
///
/// # Errors
/// When it cannot be read, or has lines of another kind.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let failed = || format!("failed to read the results file {}", path.display());
    let text = std::fs::read_to_string(path).wrap_err_with(failed)?;
    rows(&text).wrap_err_with(failed)
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Result<Vec<Row>, csv::Error> = reader.deserialize().collect();
    Ok(rows?)
}

#[cfg(test)]
mod tests {
    //! Tests of the results file.

    use super::*;
    use crate::matrix::{default_matrix, plan};

    #[test]
    fn what_is_written_is_read_again_and_half_a_line_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("runs.csv");
        let runs = plan(&default_matrix(), 1, 1);
        let (mut results, before) = Results::open(&path).expect("it is made");
        assert!(before.is_empty());
        let mut first = Row::of(&runs[0]);
        first.reason = "it said \"no\", and went".to_owned();
        first.gap = Some(0.25);
        first.exact = Some(true);
        results.add(&first).expect("it is written");
        results.add(&Row::of(&runs[1])).expect("it is written");
        drop(results);
        let text = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(&path, format!("{text}pod,cli,10,")).expect("it is written");
        let (mut results, rows) = Results::open(&path).expect("it is opened");
        assert_eq!(rows, [first.clone(), Row::of(&runs[1])]);
        assert_eq!(rows[0].run(), runs[0]);
        results.add(&Row::of(&runs[2])).expect("it is written");
        assert_eq!(read(&path).expect("it is read").len(), 3);
    }
}
