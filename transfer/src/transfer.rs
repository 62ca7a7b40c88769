//! The transfer itself: archive → layer → image → verified push.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use ms2m_transfer::Pushed;
use ms2m_transfer::event::{Chosen, Event, Started};
use oci_client::secrets::RegistryAuth;

use crate::cli::Settings;
use crate::credentials::DockerConfig;
use crate::failure::Failure;
use crate::file;
use crate::frame::Format;
use crate::image;
use crate::layer::Counters;
use crate::metadata::Metadata;
use crate::probe;
use crate::proxies::Proxies;
use crate::registry::Registry;
use crate::reporter::{Reporter, peak_memory};
use crate::upload;

/// Everything up to the verified image. Leaves the archive alone.
pub(crate) async fn push(
    settings: &Settings,
    registry: &Registry<'_>,
    reporter: &Reporter,
    counters: &Arc<Counters>,
) -> Result<Pushed, Failure> {
    let begun = Instant::now();
    let archive_bytes = file::size(&settings.archive, settings.archive_prefix.is_some())?;
    counters.total.store(archive_bytes, Ordering::Relaxed);
    reporter.event(&Event::Started(Started {
        archive: settings.archive.display().to_string(),
        archive_bytes,
        image: settings.image.whole(),
        compression: (settings.compression.format())
            .map_or("auto", Format::name)
            .to_owned(),
    }));
    let format = match settings.compression.format() {
        Some(format) => format,
        None => choose(settings, registry, reporter).await?,
    };
    let (layer, contents) = upload::upload(settings, format, registry, counters).await?;
    reporter.progress(counters);
    let metadata =
        Metadata::read(&contents).map_err(|why| file::invalid(&settings.archive, &why))?;
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
        archive: file_name(&settings.archive),
        seconds: (begun.elapsed().as_secs_f64() * 1e6).round() / 1e6,
        peak_memory_bytes: peak_memory(),
    })
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What the image goes to: a registry, or a receiver in its place. No request is sent.
pub(crate) fn registry<'a>(
    settings: &Settings,
    reporter: &'a Reporter,
) -> Result<Registry<'a>, Failure> {
    let image = settings.image.clone();
    if let Some(direct) = &settings.direct {
        let (nobody, none) = (RegistryAuth::Anonymous, Proxies::default());
        return Registry::new(image, nobody, &none, false, reporter)?.direct(direct);
    }
    let config = DockerConfig::read(settings.docker_config.as_deref())?;
    let (auth, proxies) = (config.credentials(&image)?, config.proxies()?);
    Registry::new(image, auth, &proxies, settings.plain_http, reporter)
}

/// Finds out which compression pays, and says so.
async fn choose(
    settings: &Settings,
    registry: &Registry<'_>,
    reporter: &Reporter,
) -> Result<Format, Failure> {
    let growing = settings.archive_prefix.is_some();
    let choice = probe::choose(&settings.archive, growing, registry).await?;
    let (compression, reason) = (choice.format.name(), choice.reason);
    tracing::info!("compression {compression}: {reason}");
    reporter.event(&Event::Chosen(Chosen {
        compression: compression.to_owned(),
        reason,
    }));
    Ok(choice.format)
}
