//! The archive as a file on the node: opening it, deleting it, and what to say when it is not as
//! it should be.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use ms2m_transfer::FailureCode;

use crate::archive;
use crate::cli::Settings;
use crate::failure::Failure;

/// Opens the archive.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

/// Size of the archive in bytes, as far as it is written.
///
/// # Errors
/// When it is not there, or cannot be an archive by its size.
pub(crate) fn size(path: &Path, growing: bool) -> Result<u64, Failure> {
    // Not through an open file: opening a pipe would wait for its other end.
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        let error = io::Error::other("it is not a regular file");
        return Err(unreadable(path, &error));
    }
    match whole_records(metadata.len()) {
        _ if growing => Ok(metadata.len()),
        Ok(()) => Ok(metadata.len()),
        Err(why) => Err(invalid(path, &why)),
    }
}

/// What the size alone tells, before anything is sent: a tar is a number of whole records.
fn whole_records(bytes: u64) -> Result<(), String> {
    if bytes == 0 {
        return Err("it is empty".to_owned());
    }
    if !bytes.is_multiple_of(archive::RECORD) {
        return Err(format!(
            "it is cut off: {bytes} bytes are no whole number of a tar's records"
        ));
    }
    Ok(())
}

/// The archive's contents are wrong.
pub(crate) fn invalid(path: &Path, why: &str) -> Failure {
    Failure::archive_invalid(format!(
        "{} is not a complete checkpoint archive: {why}",
        path.display()
    ))
}

/// The archive cannot be got at.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::NotFound => {
            "check that this is the node of the checkpoint and that its directory is mounted here"
        }
        ErrorKind::PermissionDenied => {
            "run as root: the kubelet's archives are readable by root only"
        }
        _ => "check the path and the node's disk, then take a new checkpoint",
    };
    Failure::new(
        FailureCode::ArchiveMissing,
        format!("the archive {} cannot be read: {error}", path.display()),
        hint,
    )
}

/// Deletes the archive, as asked, and says what came of it.
pub(crate) fn discard_only(path: &Path) -> Failure {
    if path.exists() && !archive::is_checkpoint(path) {
        return Failure::archive_invalid(format!(
            "{} does not look like a checkpoint archive and is left where it is",
            path.display()
        ));
    }
    match std::fs::remove_file(path) {
        Ok(()) => Failure::new(
            FailureCode::Discarded,
            format!("the archive {} was deleted, as asked", path.display()),
            "nothing is left to do",
        ),
        Err(error) => unreadable(path, &error),
    }
}

/// Deletes the archive after a push, or after a failure that makes it useless.
///
/// A failed transfer is not repeated with the same archive, a new one is taken; meanwhile this
/// one would lie there with the process's secrets. A file that does not look like a checkpoint
/// archive is left, for then its path was probably a mistake.
pub(crate) fn discard(settings: &Settings, failure: Option<&Failure>) {
    let path = &settings.archive;
    let code = failure.map(|failure| failure.code);
    let untouched = matches!(
        code,
        Some(FailureCode::Config | FailureCode::ArchiveMissing)
    );
    // None, if it was waited for and did not come.
    if settings.keep_archive || untouched || path.as_os_str().is_empty() {
        return;
    }
    // The name of one that was waited for is the kubelet's, however little of it there is.
    let named = settings.archive_prefix.is_some();
    if code.is_some() && !named && !archive::is_checkpoint(path) {
        tracing::warn!(
            "{} does not look like a checkpoint archive and is left where it is",
            path.display()
        );
        return;
    }
    match std::fs::remove_file(path) {
        Ok(()) => tracing::info!("deleted {}", path.display()),
        Err(error) => tracing::warn!(
            "{} could not be deleted ({error}); it holds the process's memory, delete it by hand",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_alone_tells_some_that_are_cut_off() {
        assert!(whole_records(0).expect_err("no tar").contains("empty"));
        assert_eq!(whole_records(10_240), Ok(()));
        for bytes in [1, 511, 10_239, 10_241] {
            let why = whole_records(bytes).expect_err("no tar");
            assert!(why.contains("cut off"), "{why}");
        }
    }
}
