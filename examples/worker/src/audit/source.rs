//! Where the state of the worker comes from: its endpoint, a file, or whatever a command
//! prints (`kubectl get --raw …` reaches a pod that has no address from outside).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::worker::Report;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Where a state comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The worker's `/state`.
    Url(String),
    /// A file with what `/state` answered.
    File(PathBuf),
    /// A command for `sh -c` that prints it.
    Command(String),
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The worker does not answer, or not with success.
    #[error("failed to get the state from {url}")]
    Http {
        /// The address.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The file cannot be read.
    #[error("failed to read the state from {path}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The command cannot be run.
    #[error("failed to run the command that prints the state")]
    Run(#[source] std::io::Error),
    /// The command has failed.
    #[error("the command that prints the state failed: {0}")]
    Failed(String),
    /// It takes too long.
    #[error("no state within {} s", LIMIT.as_secs())]
    TooLong,
    /// What came is no state.
    #[error("what came is no state of a worker")]
    Unreadable(#[from] serde_json::Error),
}

impl Source {
    /// Whether looking again would give the same.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Gets the state as it is now.
    ///
    /// # Errors
    /// When it cannot be had, or is none.
    pub async fn fetch(&self) -> Result<Report, SourceError> {
        let text = tokio::time::timeout(LIMIT, self.text())
            .await
            .unwrap_or(Err(SourceError::TooLong))?;
        Ok(serde_json::from_slice(&text)?)
    }

    async fn text(&self) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Url(url) => {
                let http = |source| SourceError::Http {
                    url: url.clone(),
                    source,
                };
                let answer = reqwest::get(url).await.map_err(http)?;
                let answer = answer.error_for_status().map_err(http)?;
                Ok(answer.bytes().await.map_err(http)?.into())
            }
            Self::File(path) => tokio::fs::read(path)
                .await
                .map_err(|source| SourceError::File {
                    path: path.display().to_string(),
                    source,
                }),
            Self::Command(command) => {
                let output = tokio::process::Command::new("sh")
                    .args(["-c", command])
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .output()
                    .await
                    .map_err(SourceError::Run)?;
                if output.status.success() {
                    return Ok(output.stdout);
                }
                let stderr = String::from_utf8_lossy(&output.stderr);
                Err(SourceError::Failed(format!(
                    "{}: {}",
                    output.status,
                    stderr.trim()
                )))
            }
        }
    }
}
