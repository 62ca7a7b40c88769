//! Manifests of a receiver. Those of registries are oci-client's, whose connections cannot be given
//! a certificate of the client's own.

use bytes::Bytes;
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use crate::session::{Blobs, send};

impl Blobs {
    /// Pushes a manifest under its digest, which is all that it is pulled by.
    pub(crate) async fn put_manifest(
        &self,
        digest: &str,
        manifest: impl Into<reqwest::Body>,
    ) -> Result<(), OciDistributionError> {
        let url = self.url(&format!("manifests/{digest}"))?;
        let request = self
            .request(Method::PUT, url)
            .header(CONTENT_TYPE, OCI_IMAGE_MEDIA_TYPE)
            .body(manifest);
        self.expect(StatusCode::CREATED, send(request).await?)
            .await?;
        Ok(())
    }

    /// The manifest with this digest.
    pub(crate) async fn manifest(&self, digest: &str) -> Result<Bytes, OciDistributionError> {
        let url = self.url(&format!("manifests/{digest}"))?;
        let request = self
            .request(Method::GET, url)
            .header(ACCEPT, OCI_IMAGE_MEDIA_TYPE);
        let answer = self.expect(StatusCode::OK, send(request).await?).await?;
        Ok(answer.bytes().await?)
    }
}
