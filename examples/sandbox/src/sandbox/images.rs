//! The project's own images, packed from its binaries and pushed to the sandbox's registry.

use std::path::Path;

use color_eyre::eyre::{Result, WrapErr as _};
use oci_client::secrets::RegistryAuth;

use super::Options;
use crate::image::{PackOptions, client, pack, push};

/// The references of the images that were pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) worker: Option<String>,
    pub(super) transfer: Option<String>,
}

/// Packs and pushes what there are binaries of.
pub(super) async fn push_own(options: &Options, registry: &str) -> Result<Pushed> {
    let one = async |name: &str, user: &str, binary: Option<&Path>| match binary {
        Some(binary) => push_one(name, user, binary, registry).await.map(Some),
        None => Ok(None),
    };
    let (worker, transfer) = tokio::try_join!(
        one(
            "ms2m-worker",
            "65532:65532",
            options.worker_binary.as_deref()
        ),
        // The archive of a kubelet is root's.
        one("ms2m-transfer", "0:0", options.transfer_binary.as_deref()),
    )?;
    Ok(Pushed { worker, transfer })
}

async fn push_one(name: &str, user: &str, binary: &Path, registry: &str) -> Result<String> {
    let reference = format!("{registry}/{name}:dev");
    let options = PackOptions {
        binary: binary.to_owned(),
        entrypoint: format!("/{name}"),
        reference: reference.clone(),
        user: user.to_owned(),
        files: Vec::new(),
    };
    let image = tokio::task::spawn_blocking(move || pack(&options))
        .await?
        .wrap_err_with(|| format!("failed to pack the image of {}", binary.display()))?;
    let client = client(&[registry.to_owned()]);
    push(&client, &image, &reference, &RegistryAuth::Anonymous).await?;
    Ok(reference)
}
