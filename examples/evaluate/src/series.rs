//! The messages of one run over time, for the plot of their ages.

use std::path::Path;

use color_eyre::eyre::{Result, WrapErr as _};
use serde::{Deserialize, Serialize};

use crate::mover::Moved;
use crate::observe::Collected;

/// What is kept of a run. Times are seconds since the migration began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The phases by name, with when each began and ended.
    pub phases: Vec<(String, f64, f64)>,
    /// For each pod in the order of appearance: when each message was published and when applied.
    pub pods: Vec<Vec<(f64, f64)>>,
}

impl Series {
    /// Of a run. Phases are laid backwards from the end, which was seen.
    pub fn of(moved: &Moved, collected: &Collected) -> Self {
        let summary = moved.summary.clone().unwrap_or_default();
        let mut at = (moved.ended - moved.began) - summary.total_seconds;
        let mut phases = Vec::new();
        for (name, seconds) in summary.phase_seconds {
            phases.push((name, at, at + seconds));
            at += seconds;
        }
        let since = |time: f64| ((time - moved.began) * 1e4).round() / 1e4;
        let pods = collected.by_pod().into_iter().map(|messages| {
            let times = messages
                .iter()
                .map(|it| (since(it.sent), since(it.applied)));
            times.collect()
        });
        Self {
            pods: pods.collect(),
            phases,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
            .wrap_err_with(|| format!("failed to write {}", path.display()))
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = || format!("failed to read {}", path.display());
        let text = std::fs::read(path).wrap_err_with(failed)?;
        serde_json::from_slice(&text).wrap_err_with(failed)
    }
}
