//! Pushes a packed image to a registry.

use http::HeaderValue;
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;

use super::archive::digest;
use super::{Archive, Error, OCI_MANIFEST, reference};

/// A registry client that speaks plain HTTP to `plain_http` (`host:port`) and HTTPS to every
/// other registry.
pub fn client(plain_http: &[String]) -> Client {
    Client::new(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(plain_http.to_vec()),
        use_monolithic_push: true,
        ..ClientConfig::default()
    })
}

/// Pushes the image as `target`, whatever name it has in its archive, and returns
/// `repository@digest`.
///
/// # Errors
/// When `target` is no reference or the registry fails.
pub async fn push(
    client: &Client,
    image: &Archive,
    target: &str,
    auth: &RegistryAuth,
) -> Result<String, Error> {
    let target = reference(target)?;
    client
        .store_auth_if_needed(target.resolve_registry(), auth)
        .await;
    let failed = |source| Error::Push {
        reference: target.whole(),
        source,
    };
    for blob in &image.blobs {
        let digest = digest(blob);
        if !client.blob_exists(&target, &digest).await.unwrap_or(false) {
            client
                .push_blob(&target, blob.clone(), &digest)
                .await
                .map_err(failed)?;
        }
    }
    client
        .push_manifest_raw(
            &target,
            image.manifest.clone(),
            HeaderValue::from_static(OCI_MANIFEST),
        )
        .await
        .map_err(failed)?;
    Ok(format!(
        "{}/{}@{}",
        target.registry(),
        target.repository(),
        image.digest()
    ))
}
