//! The upload of the layer: one pass over the archive, and another from the beginning only where
//! the registry does not let a broken upload be gone on with.
//!
//! A layer is streamed, so that its digest need not be known before. A registry that does not take
//! it so, or did not once, gets it piece by piece: proxies limit the size of a request, or its
//! time. One that does not follow the specification there either (some answer 201 to the first piece
//! and drop later ones) gets it in one request, which takes a pass more: digest and size have to be
//! known first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oci_client::errors::OciDistributionError;

use crate::archive::{Contents, ScanError};
use crate::cli::Settings;
use crate::failure::Failure;
use crate::file;
use crate::frame::Format;
use crate::image;
use crate::layer::{self, Blob, Counters, Layer, Made, Part};
use crate::registry::Registry;
use crate::retry::{self, Kind, UPLOAD_ATTEMPTS};
use crate::stream::Stop;
use crate::tape::Tape;

/// The step's name in events and messages.
const WHAT: &str = "uploading the layer";

/// How the layer is sent.
enum Way {
    /// One request, and another where that one breaks.
    Stream,
    /// One request a piece.
    Pieces,
    /// One request for all of it.
    Whole(Blob),
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
) -> Result<(image::Layer, Contents), Failure> {
    let mut way = Way::Stream;
    let mut attempt = 1;
    loop {
        registry.log_in().await?;
        let error = match send(settings, format, registry, counters, &way).await {
            Ok(made) => return Ok(stored(format, made)),
            Err(Stop::Archive(failure)) => return Err(failure),
            Err(Stop::Stream(error)) => {
                registry.announce_other(WHAT, "in pieces", attempt, UPLOAD_ATTEMPTS, &error);
                way = Way::Pieces;
                continue;
            }
            Err(Stop::Registry(error)) => error,
        };
        let refuses_pieces = matches!(error, OciDistributionError::SpecViolationError(_));
        if refuses_pieces && !matches!(way, Way::Whole(_)) {
            registry.announce_other(WHAT, "in one request", attempt, UPLOAD_ATTEMPTS, &error);
            let made = measure(settings, format, counters).await?;
            if registry.has(&made.blob).await {
                return Ok(stored(format, made));
            }
            way = Way::Whole(made.blob);
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
        if matches!(way, Way::Stream) {
            way = Way::Pieces;
        }
    }
}

fn stored(format: Format, made: Made) -> (image::Layer, Contents) {
    let layer = image::Layer {
        digest: made.blob.digest,
        bytes: made.blob.bytes,
        diff_id: made.diff_id,
        format,
    };
    (layer, made.contents)
}

async fn send(
    settings: &Settings,
    format: Format,
    registry: &Registry<'_>,
    counters: &Arc<Counters>,
    way: &Way,
) -> Result<Made, Stop> {
    pass(settings, format, counters, async |layer| match way {
        Way::Stream => {
            let tape = Tape::new(layer, counters);
            registry.push_stream(&tape).await.map(drop)
        }
        Way::Pieces => {
            registry.push_pieces(layer, counters).await?;
            Ok(())
        }
        Way::Whole(blob) => {
            let counters = Arc::clone(counters);
            registry.push_whole(layer, counters, blob).await?;
            Ok(())
        }
    })
    .await
}

/// Makes the layer without sending it. The compressor gives the same bytes for the same archive,
/// and the registry would refuse others.
async fn measure(
    settings: &Settings,
    format: Format,
    counters: &Arc<Counters>,
) -> Result<Made, Failure> {
    let measured = pass(settings, format, counters, async |mut layer| {
        while let Part::Data(_) = layer.next().await.map_err(OciDistributionError::from)? {}
        Ok(())
    });
    match measured.await {
        Ok(made) => Ok(made),
        Err(Stop::Archive(failure)) => Err(failure),
        Err(_) => unreachable!("no registry takes part in this pass"),
    }
}

/// One pass over the archive: makes the layer and lets `consume` have it.
async fn pass(
    settings: &Settings,
    format: Format,
    counters: &Arc<Counters>,
    consume: impl AsyncFnOnce(Layer) -> Result<(), Stop>,
) -> Result<Made, Stop> {
    let path = &settings.archive;
    let file = file::open(path).map_err(Stop::Archive)?;
    let growing = settings.archive_prefix.is_some();
    let (layer, making) = layer::start(file, growing, format, counters);
    let consumed = consume(layer).await;
    // The layer is gone by now, so the thread behind it ends at its next piece.
    let made = making
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    match (made, consumed) {
        (Ok(made), Ok(())) => Ok(made),
        (Err(ScanError::Invalid(why)), _) => Err(Stop::Archive(file::invalid(path, &why))),
        (Err(ScanError::Read(error)), _) => Err(Stop::Archive(file::unreadable(path, &error))),
        (_, Err(stop)) => Err(stop),
        (Err(ScanError::Stopped(error)), Ok(())) => Err(Stop::Registry(error.into())),
    }
}
