//! The upload of the layer: one pass over the archive, and another from the beginning only where
//! the registry does not let a broken upload be gone on with.
//!
//! A layer goes up piece by piece, so that its digest need not be known before. A registry that
//! does not follow the specification there (AWS ECR answers 201 and drops later pieces) gets it
//! in one request instead, which takes a pass more: digest and size have to be known first.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use oci_client::errors::OciDistributionError;
use sha2::{Digest, Sha256};

use crate::archive::{Contents, ScanError};
use crate::cli::Settings;
use crate::encoder::Format;
use crate::failure::Failure;
use crate::file;
use crate::image::{Layer, digest_name};
use crate::layer::{self, Counters, LayerStream};
use crate::pieces::Blob;
use crate::registry::Registry;
use crate::retry::{self, Kind, UPLOAD_ATTEMPTS};

/// The step's name in events and messages.
const WHAT: &str = "uploading the layer";

/// How the layer is sent.
enum Way {
    /// One request a piece.
    Pieces,
    /// One request for all of it.
    Whole(Blob),
}

/// Why a pass was for nothing.
enum Stop {
    Archive(Failure),
    Registry(OciDistributionError),
}

/// Uploads the layer, as often as it takes and is sensible.
///
/// # Errors
/// The archive's fault at once, the registry's after [`UPLOAD_ATTEMPTS`].
pub(crate) async fn upload(
    settings: &Settings,
    format: Format,
    registry: &Registry<'_>,
    counters: &Arc<Counters>,
) -> Result<(Layer, Contents), Failure> {
    let mut way = Way::Pieces;
    let mut attempt = 1;
    loop {
        registry.log_in().await?;
        let error = match send(settings, format, registry, counters, &way).await {
            Ok((blob, contents)) => return Ok((stored(format, blob, &contents), contents)),
            Err(Stop::Archive(failure)) => return Err(failure),
            Err(Stop::Registry(error)) => error,
        };
        let refuses_pieces = matches!(error, OciDistributionError::SpecViolationError(_));
        if refuses_pieces && matches!(way, Way::Pieces) {
            registry.announce_whole(WHAT, attempt, UPLOAD_ATTEMPTS, &error);
            let (blob, contents) = measure(settings, format, counters).await?;
            if registry.has(&blob).await {
                return Ok((stored(format, blob, &contents), contents));
            }
            way = Way::Whole(blob);
            continue;
        }
        let kind = retry::upload_kind(&error, counters.sent.load(Ordering::Relaxed));
        let hopeless = matches!(kind, Kind::Denied | Kind::Permanent);
        if hopeless || attempt == UPLOAD_ATTEMPTS {
            return Err(retry::failure(kind, WHAT, registry.host(), &error));
        }
        attempt += 1;
        registry
            .wait_before(WHAT, attempt, UPLOAD_ATTEMPTS, kind, &error)
            .await;
    }
}

fn stored(format: Format, blob: Blob, contents: &Contents) -> Layer {
    Layer {
        digest: blob.digest,
        bytes: blob.bytes,
        diff_id: digest_name(&contents.sha256),
        format,
    }
}

async fn send(
    settings: &Settings,
    format: Format,
    registry: &Registry<'_>,
    counters: &Arc<Counters>,
    way: &Way,
) -> Result<(Blob, Contents), Stop> {
    match way {
        Way::Pieces => {
            pass(settings, format, counters, async |stream| {
                registry.push_pieces(stream).await
            })
            .await
        }
        Way::Whole(blob) => {
            pass(settings, format, counters, async |stream| {
                registry.push_whole(stream, blob).await?;
                Ok(blob.clone())
            })
            .await
        }
    }
}

/// Makes the layer without sending it. The compressor gives the same bytes for the same archive,
/// and the registry would refuse others.
async fn measure(
    settings: &Settings,
    format: Format,
    counters: &Arc<Counters>,
) -> Result<(Blob, Contents), Failure> {
    let measured = pass(settings, format, counters, async |mut stream| {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            hash.update(&piece);
            bytes += piece.len() as u64;
        }
        let digest = digest_name(&hash.finalize());
        Ok(Blob { digest, bytes })
    });
    match measured.await {
        Ok(measured) => Ok(measured),
        Err(Stop::Archive(failure)) => Err(failure),
        Err(Stop::Registry(_)) => unreachable!("no registry takes part in this pass"),
    }
}

/// One pass over the archive: makes the layer and lets `consume` have it.
async fn pass(
    settings: &Settings,
    format: Format,
    counters: &Arc<Counters>,
    consume: impl AsyncFnOnce(LayerStream) -> Result<Blob, OciDistributionError>,
) -> Result<(Blob, Contents), Stop> {
    let path = &settings.archive;
    let file = file::open(path).map_err(Stop::Archive)?;
    let growing = settings.archive_prefix.is_some();
    let (stream, making) = layer::start(file, growing, format, counters);
    let consumed = consume(stream).await;
    // The stream is gone by now, so the thread behind it ends at its next piece.
    let made = making
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    match (made, consumed) {
        (Ok(contents), Ok(blob)) => Ok((blob, contents)),
        (Err(ScanError::Invalid(why)), _) => Err(Stop::Archive(file::invalid(path, &why))),
        (Err(ScanError::Read(error)), _) => Err(unreadable(path, &error)),
        (_, Err(error)) => Err(Stop::Registry(error)),
        (Err(ScanError::Stopped(error)), Ok(_)) => Err(Stop::Registry(error.into())),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Stop {
    Stop::Archive(file::unreadable(path, error))
}
