//! What is in a checkpoint archive, for people: who was checkpointed and when, its processes, what
//! they had open, and what takes the room. Reads the archive once, with bounded memory; the
//! process's memory itself is passed over. Whether the archive is whole and harmless is
//! [`archive`]'s to say, which is asked in the same pass.

mod collect;
mod criu;
mod image;
mod inspection;

use std::io::Read;

use crate::archive::{self, ScanError};
use crate::metadata::Metadata;

pub use inspection::{
    BaseImage, Connection, Inspection, Mount, Opened, OpenedKind, Process, Protocol, Sizes,
};

/// Read of the archive at a time, bytes.
const BLOCK: usize = 256 * 1024;

/// Reads an archive to its end.
///
/// # Errors
/// When it cannot be read, is cut off, is no checkpoint archive, or has something in it that no
/// container engine and no CRIU writes.
pub fn inspect(archive: impl Read) -> Result<Inspection, ScanError> {
    let mut collector = collect::Collector::default();
    let (contents, ()) = archive::scan(archive, BLOCK, (), &mut collector)?;
    let metadata = Metadata::read(&contents).map_err(ScanError::Invalid)?;
    let collected = collector.finish().map_err(ScanError::Invalid)?;
    Ok(Inspection::new(metadata, &contents, collected))
}

#[cfg(test)]
mod tests;
