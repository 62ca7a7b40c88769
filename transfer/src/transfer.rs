//! The transfer itself: archive → layer → image → verified push, and what becomes of the archive.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use ms2m_transfer::event::{Event, Started};
use ms2m_transfer::{FailureCode, Pushed};
use oci_client::errors::OciDistributionError;

use crate::archive::{self, Contents, ScanError};
use crate::cli::Settings;
use crate::credentials;
use crate::failure::Failure;
use crate::image::{self, Layer, digest_name};
use crate::layer::{self, Counters};
use crate::metadata::Metadata;
use crate::registry::Registry;
use crate::reporter::{Reporter, peak_memory};
use crate::retry::{self, Kind, UPLOAD_ATTEMPTS};

/// Everything up to the verified image. Leaves the archive alone.
pub(crate) async fn push(
    settings: &Settings,
    reporter: &Reporter,
    counters: &Arc<Counters>,
) -> Result<Pushed, Failure> {
    let auth = credentials::find(settings.docker_config.as_deref(), &settings.image)?;
    let image = settings.image.clone();
    let registry = Registry::new(image, auth, settings.plain_http, reporter)?;
    let archive_bytes = size_of(&open(&settings.archive)?, &settings.archive)?;
    counters.total.store(archive_bytes, Ordering::Relaxed);
    reporter.event(&Event::Started(Started {
        archive: settings.archive.display().to_string(),
        archive_bytes,
        image: settings.image.whole(),
        compression: settings.compression.name().to_owned(),
    }));
    let (layer, contents) = upload(settings, &registry, counters).await?;
    reporter.progress(counters);
    let metadata = Metadata::read(&contents).map_err(|why| invalid(settings, &why))?;
    let image = image::build(&layer, &settings.origin, &metadata, Timestamp::now());
    registry.push(&image).await?;
    let pushed = registry.verify(&image.digest).await?;
    Ok(Pushed {
        image: pushed.whole(),
        digest: image.digest,
        layer_digest: layer.digest,
        diff_id: layer.diff_id,
        archive_bytes: contents.bytes,
        layer_bytes: layer.bytes,
        seconds: reporter.seconds(),
        peak_memory_bytes: peak_memory(),
    })
}

/// Sends the layer, from the beginning as often as it takes and is sensible.
async fn upload(
    settings: &Settings,
    registry: &Registry<'_>,
    counters: &Arc<Counters>,
) -> Result<(Layer, Contents), Failure> {
    const WHAT: &str = "uploading the layer";
    let mut attempt = 1;
    loop {
        registry.log_in().await?;
        let error = match upload_once(settings, registry, counters).await {
            Ok(done) => return Ok(done),
            Err(Stop::Archive(failure)) => return Err(failure),
            Err(Stop::Registry(error)) => error,
        };
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

enum Stop {
    Archive(Failure),
    Registry(OciDistributionError),
}

async fn upload_once(
    settings: &Settings,
    registry: &Registry<'_>,
    counters: &Arc<Counters>,
) -> Result<(Layer, Contents), Stop> {
    let file = open(&settings.archive).map_err(Stop::Archive)?;
    let (stream, making) = layer::start(file, settings.compression, counters);
    let sent = registry
        .client
        .push_blob_stream_chunked(&registry.image, stream)
        .await;
    // The stream is gone by now, so the thread behind it ends at its next piece.
    let made = making
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    match (made, sent) {
        (Ok(contents), Ok(sent)) => {
            let layer = Layer {
                digest: sent.blob_digest,
                bytes: sent.size,
                diff_id: digest_name(&contents.sha256),
                compression: settings.compression,
            };
            Ok((layer, contents))
        }
        (Err(ScanError::Invalid(why)), _) => Err(Stop::Archive(invalid(settings, &why))),
        (Err(ScanError::Read(error)), _) => {
            Err(Stop::Archive(unreadable(&settings.archive, &error)))
        }
        (_, Err(error)) => Err(Stop::Registry(error)),
        (Err(ScanError::Stopped(error)), Ok(_)) => Err(Stop::Registry(error.into())),
    }
}

fn invalid(settings: &Settings, why: &str) -> Failure {
    Failure::archive_invalid(format!(
        "{} is not a complete checkpoint archive: {why}",
        settings.archive.display()
    ))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn size_of(file: &File, path: &Path) -> Result<u64, Failure> {
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        let error = std::io::Error::other("it is not a regular file");
        return Err(unreadable(path, &error));
    }
    Ok(metadata.len())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::NotFound => {
            "check that this is the node of the checkpoint and that the directory is mounted under this path"
        }
        ErrorKind::PermissionDenied => {
            "run as root: the kubelet's archives are readable by root only"
        }
        _ => "check the node's disk, then take a new checkpoint",
    };
    Failure::new(
        FailureCode::ArchiveMissing,
        format!("the archive {} cannot be read: {error}", path.display()),
        hint,
    )
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
    if settings.keep_archive || untouched {
        return;
    }
    if code.is_some() && !archive::is_checkpoint(path) {
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
