//! The registry: upload of the layer, configuration, manifest, and reading the manifest back.
//!
//! Small requests are tried again one by one. A layer whose upload broke is made and sent again
//! from the beginning; a session that was left behind is the registry's to clean up.

use std::time::Duration;

use ms2m_transfer::annotation;
use ms2m_transfer::event::{Event, Retrying};
use oci_client::client::{ClientConfig, ClientProtocol, PushBlobStreamChunkedResponse};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use crate::failure::Failure;
use crate::image::{Image, digest_of};
use crate::layer::LayerStream;
use crate::reporter::Reporter;
use crate::retry::{self, Kind, REQUEST_ATTEMPTS};

/// How long the registry may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request, a piece of the layer included, may go without an answer. Some registries
/// verify the whole layer before they answer the last one.
const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// A repository of a registry, with what it takes to write to it.
pub(crate) struct Registry<'a> {
    client: Client,
    plain_http: bool,
    image: Reference,
    auth: RegistryAuth,
    reporter: &'a Reporter,
}

impl<'a> Registry<'a> {
    /// Makes the client. No request is sent.
    ///
    /// # Errors
    /// A configuration failure when the certificate authorities cannot be used.
    pub(crate) fn new(
        image: Reference,
        auth: RegistryAuth,
        plain_http: bool,
        reporter: &'a Reporter,
    ) -> Result<Self, Failure> {
        Ok(Self {
            client: client(plain_http, false).map_err(|error| {
                Failure::config(
                    format!(
                        "the registry client cannot be made: {}",
                        retry::reason(&error)
                    ),
                    "check the certificate authorities that SSL_CERT_FILE names",
                )
            })?,
            plain_http,
            image,
            auth,
            reporter,
        })
    }

    /// Reaches the registry and gets a token where it wants one.
    pub(crate) async fn log_in(&self) -> Result<(), Failure> {
        self.retrying("signing in", async || {
            self.client
                .auth(&self.image, &self.auth, RegistryOperation::Push)
                .await
        })
        .await
        .map(|_token| ())
    }

    /// Pushes the layer in one request a piece.
    pub(crate) async fn push_pieces(
        &self,
        layer: LayerStream,
    ) -> Result<PushBlobStreamChunkedResponse, OciDistributionError> {
        self.client
            .push_blob_stream_chunked(&self.image, layer)
            .await
    }

    /// Pushes the layer in one request, for which digest and size have to be known.
    pub(crate) async fn push_whole(
        &self,
        layer: LayerStream,
        digest: &str,
        bytes: u64,
    ) -> Result<(), OciDistributionError> {
        // Few registries need it, and a client with its certificates takes memory.
        let client = client(self.plain_http, true)?;
        client.store_auth_if_needed(self.host(), &self.auth).await;
        client
            .push_blob_stream(&self.image, layer, digest, Some(bytes))
            .await
            .map(|_url| ())
    }

    /// Pushes configuration and manifest; the layer must be there already.
    pub(crate) async fn push(&self, image: &Image) -> Result<(), Failure> {
        self.retrying("pushing the image configuration", async || {
            self.client
                .push_blob(&self.image, image.config.clone(), &image.config_digest)
                .await
        })
        .await?;
        self.retrying("pushing the manifest", async || {
            let media_type = OCI_IMAGE_MEDIA_TYPE
                .parse()
                .expect("a media type is a valid header value");
            self.client
                .push_manifest_raw(&self.image, image.manifest.clone(), media_type)
                .await
        })
        .await
        .map(|_url| ())
    }

    /// Reads the manifest back by its digest: the registry must have kept every byte of it, and
    /// with them the annotations without which no runtime would restore the image.
    pub(crate) async fn verify(&self, digest: &str) -> Result<Reference, Failure> {
        let pushed = self.image.clone_with_digest(digest.to_owned());
        let (bytes, _) = self
            .retrying("reading the manifest back", async || {
                self.client
                    .pull_manifest_raw(&pushed, &self.auth, &[OCI_IMAGE_MEDIA_TYPE])
                    .await
            })
            .await?;
        let annotations = serde_json::from_slice::<OciImageManifest>(&bytes)
            .ok()
            .and_then(|manifest| manifest.annotations)
            .unwrap_or_default();
        let restorable = annotation::RESTORE_KEYS
            .iter()
            .all(|key| annotations.contains_key(*key));
        if digest_of(&bytes) != digest || !restorable {
            return Err(Failure::new(
                ms2m_transfer::FailureCode::RegistryFailed,
                format!(
                    "registry {} gave back another manifest than was pushed",
                    self.host()
                ),
                "use a registry that keeps OCI manifests with their annotations",
            ));
        }
        Ok(pushed)
    }

    /// Name of the registry, for messages.
    pub(crate) fn host(&self) -> &str {
        self.image.resolve_registry()
    }

    /// Says that the registry did not take the layer in pieces, and that it gets it as a whole.
    pub(crate) fn announce_whole(
        &self,
        what: &str,
        attempt: u32,
        attempts: u32,
        error: &OciDistributionError,
    ) {
        let reason = retry::reason(error);
        tracing::warn!("the registry does not take pieces ({reason}), {what} in one request");
        self.reporter.event(&Event::Retrying(Retrying {
            what: what.to_owned(),
            attempt,
            attempts,
            delay_seconds: 0.0,
            reason,
        }));
    }

    /// Says that `what` is going to be tried again, and waits until it is time.
    pub(crate) async fn wait_before(
        &self,
        what: &str,
        next: u32,
        attempts: u32,
        kind: Kind,
        error: &OciDistributionError,
    ) {
        let delay = retry::delay(kind, next);
        let reason = retry::reason(error);
        tracing::warn!("{what} failed ({reason}), attempt {next} of {attempts} in {delay:.1?}");
        self.reporter.event(&Event::Retrying(Retrying {
            what: what.to_owned(),
            attempt: next,
            attempts,
            delay_seconds: delay.as_secs_f64(),
            reason,
        }));
        tokio::time::sleep(delay).await;
    }

    async fn retrying<T>(
        &self,
        what: &str,
        request: impl AsyncFn() -> Result<T, OciDistributionError>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            let error = match request().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let kind = retry::kind(&error);
            let hopeless = matches!(kind, Kind::Denied | Kind::Permanent);
            if hopeless || attempt == REQUEST_ATTEMPTS {
                return Err(retry::failure(kind, what, self.host(), &error));
            }
            attempt += 1;
            self.wait_before(what, attempt, REQUEST_ATTEMPTS, kind, &error)
                .await;
        }
    }
}

/// Makes a client; `whole` is for uploads in one request.
fn client(plain_http: bool, whole: bool) -> Result<Client, OciDistributionError> {
    let config = ClientConfig {
        protocol: if plain_http {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        connect_timeout: Some(CONNECT_TIMEOUT),
        // It runs from the start of a request, so it would limit an upload as a whole.
        read_timeout: (!whole).then_some(READ_TIMEOUT),
        use_monolithic_push: whole,
        user_agent: concat!("ms2m-transfer/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config)
}
