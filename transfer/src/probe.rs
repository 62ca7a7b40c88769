//! Which way to store the layer costs the least time on this link: measured, for `auto`, before the
//! first byte of the archive is sent.
//!
//! The link is measured with zeros, which nothing on the way compresses: a session that is
//! cancelled again must not leave a process's memory in the registry.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use oci_client::errors::OciDistributionError;

use crate::archive::Sink;
use crate::arrival;
use crate::failure::Failure;
use crate::file;
use crate::frame::{BLOCK, Format};
use crate::pack::{self, Feed};
use crate::piece::{PIECE, Piece};
use crate::registry::Registry;

/// How much of the archive is compressed: some jobs for every thread.
const SAMPLE: u64 = 8 * 1024 * 1024;

/// What is saved has to be worth it: the target's node has to decompress it, too.
const WORTH: f64 = 0.95;

/// What was measured; speeds in bytes a second.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Compressed size by size.
    ratio: f64,
    compressing: f64,
    /// `None` if the registry would not have it measured.
    link: Option<f64>,
}

/// What was chosen, and why in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) format: Format,
    pub(crate) reason: String,
}

/// Measures and chooses.
///
/// # Errors
/// When the archive cannot be read.
pub(crate) async fn choose(
    path: &Path,
    growing: bool,
    registry: &Registry<'_>,
) -> Result<Choice, Failure> {
    let owned = path.to_owned();
    let compressed = tokio::task::spawn_blocking(move || {
        if growing {
            arrival::has_begun(&owned, SAMPLE)?;
        }
        compress(&owned)
    })
    .await
    .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let (ratio, compressing) = compressed.map_err(|error| file::unreadable(path, &error))?;
    let link = send(registry).await.ok();
    Ok(decide(Measured {
        ratio,
        compressing,
        link,
    }))
}

/// The time for a byte of the archive is that of the slower of compressing and sending.
fn decide(measured: Measured) -> Choice {
    let Measured {
        ratio,
        compressing,
        link,
    } = measured;
    let percent = ratio * 100.0;
    let speed = compressing / 1e6;
    let found = format!("its beginning shrinks to {percent:.0} % at {speed:.0} MB/s");
    let Some(link) = link else {
        return Choice {
            format: if ratio < WORTH {
                Format::Zstd
            } else {
                Format::None
            },
            reason: format!("{found}, and the link could not be measured"),
        };
    };
    let plain = 1.0 / link;
    let packed = (ratio / link).max(1.0 / compressing);
    Choice {
        format: if packed < plain * WORTH {
            Format::Zstd
        } else {
            Format::None
        },
        reason: format!("{found}, and the link takes {:.0} MB/s", link / 1e6),
    }
}

fn compress(path: &Path) -> io::Result<(f64, f64)> {
    let mut sample = File::open(path)?.take(SAMPLE);
    let start = Instant::now();
    let feed = |mut feed: Feed| {
        let mut read = 0;
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            Read::by_ref(&mut sample)
                .take(BLOCK as u64)
                .read_to_end(&mut block)?;
            if block.is_empty() {
                return Ok::<u64, io::Error>(read);
            }
            read += block.len() as u64;
            feed.take(block.into())?;
        }
    };
    let (read, packed) = pack::pack(Format::Zstd, |_| Ok(()), feed)?;
    // An empty archive is refused later, with its reason.
    let read = read?.max(1) as f64;
    Ok((packed?.bytes as f64 / read, read / seconds(start.elapsed())))
}

/// Bytes a second that the registry takes.
async fn send(registry: &Registry<'_>) -> Result<f64, OciDistributionError> {
    registry.authenticate().await?;
    let mut session = registry.blobs.open().await?;
    let start = Instant::now();
    let mut zeros = Piece::default();
    zeros.fill(&mut Bytes::from(vec![0; PIECE]));
    let sent = registry.blobs.append(&mut session, zeros).await;
    let taken = start.elapsed();
    registry.blobs.cancel(&session).await;
    sent.map(|()| PIECE as f64 / seconds(taken))
}

/// Never zero, so that it can be divided by.
fn seconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(ratio: f64, compressing: f64, link: Option<f64>) -> Format {
        let choice = decide(Measured {
            ratio,
            compressing: compressing * 1e6,
            link: link.map(|link| link * 1e6),
        });
        choice.format
    }

    #[test]
    fn what_takes_the_least_time_is_chosen() {
        assert_eq!(decided(0.4, 700.0, Some(110.0)), Format::Zstd);
        // Faster than the compressor: it would be waited for.
        assert_eq!(decided(0.4, 700.0, Some(2000.0)), Format::None);
        // In between both count.
        assert_eq!(decided(0.4, 700.0, Some(600.0)), Format::Zstd);
        assert_eq!(decided(0.4, 700.0, Some(690.0)), Format::None);
        // Noise, such as encrypted memory.
        assert_eq!(decided(1.0, 700.0, Some(10.0)), Format::None);
        assert_eq!(decided(0.97, 700.0, Some(10.0)), Format::None);
    }

    #[test]
    fn a_link_that_is_not_known_is_taken_for_slow() {
        assert_eq!(decided(0.4, 700.0, None), Format::Zstd);
        assert_eq!(decided(1.0, 700.0, None), Format::None);
    }
}
