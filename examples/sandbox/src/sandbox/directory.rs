//! The sandbox's directory, and the process that sees to its removal even when the sandbox is
//! killed.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, WrapErr as _, bail, eyre};
use tokio::process::{Child, Command};

use crate::process::{spawn, this_program};

/// How long the janitor tries to remove what processes in their last moment may still write.
const REMOVAL_LIMIT: Duration = Duration::from_secs(20);

/// The directory. It is removed when this is dropped, at the latest when the process ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    janitor: Child,
}

impl Directory {
    /// Makes the directory: the given one, which must be empty or not exist, or a temporary
    /// one.
    ///
    /// # Errors
    /// When it cannot be made, or holds something.
    pub async fn create(path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) => given(path)?,
            None => tempfile::Builder::new()
                .prefix("ms2m-sandbox-")
                .tempdir()
                .wrap_err("failed to make a temporary directory")?
                .keep(),
        };
        let mut command = Command::new(this_program());
        command
            .arg("janitor")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C is for the sandbox, which the janitor has to outlive.
            .process_group(0);
        let janitor = spawn(command)
            .await
            .wrap_err("failed to start the janitor")?;
        Ok(Self { path, janitor })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and waits for that.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub async fn remove(mut self) -> Result<()> {
        drop(self.janitor.stdin.take());
        let status = self.janitor.wait().await?;
        if !status.success() {
            bail!("{} could not be removed", self.path.display());
        }
        Ok(())
    }
}

fn given(path: &Path) -> Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .wrap_err_with(|| format!("failed to make {}", path.display()))?;
    let path = path
        .canonicalize()
        .wrap_err_with(|| format!("failed to find {}", path.display()))?;
    if fs::read_dir(&path)?.next().is_some() {
        return Err(eyre!(
            "{} is not empty; the sandbox removes its directory at the end, so it takes only an empty or a new one",
            path.display()
        ));
    }
    Ok(path)
}

/// Waits until the sandbox is gone, which closes standard input, then removes `directory`.
///
/// # Errors
/// When it cannot be removed.
pub fn janitor(directory: &Path) -> io::Result<()> {
    // What is read does not matter, and neither does how it ends.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let deadline = Instant::now() + REMOVAL_LIMIT;
    loop {
        match fs::remove_dir_all(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The last process may still be writing.
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let parent = tempfile::tempdir().expect("a directory can be made");
        let new = given(&parent.path().join("a/b")).expect("is new");
        given(&new).expect("is empty");
        fs::write(new.join("precious"), "").expect("can be written");
        let error = given(&new).expect_err("holds something");
        assert!(error.to_string().contains("is not empty"), "{error}");
    }
}
