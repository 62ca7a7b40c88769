//! The registry: signing in, configuration, manifest, and reading the manifest back.
//!
//! Small requests are tried again one by one. The layer is sent by `stream` and `pieces`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ms2m_transfer::annotation;
use ms2m_transfer::event::{Event, Retrying};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use crate::failure::Failure;
use crate::image::{Image, digest_of};
use crate::proxies::Proxies;
use crate::reporter::Reporter;
use crate::retry::{self, Kind, REQUEST_ATTEMPTS};
use crate::sender::Direct;
use crate::session::{Blobs, Proof};

/// How long the registry may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may go without an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// What registries' logs call this program.
pub(crate) const USER_AGENT: &str = concat!("ms2m-transfer/", env!("CARGO_PKG_VERSION"));

/// A repository of a registry, with what it takes to write to it.
pub(crate) struct Registry<'a> {
    client: Client,
    pub(crate) blobs: Blobs,
    image: Reference,
    auth: RegistryAuth,
    /// Name of the receiver, if it is one.
    receiver: Option<String>,
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
        proxies: &Proxies,
        plain_http: bool,
        reporter: &'a Reporter,
    ) -> Result<Self, Failure> {
        let unusable = |error: OciDistributionError| {
            Failure::config(
                format!(
                    "the registry client cannot be made: {}",
                    retry::reason(&error)
                ),
                "check the certificate authorities that SSL_CERT_FILE names",
            )
        };
        let (host, repository) = (image.resolve_registry(), image.repository());
        let blobs = Blobs::new(plain_http, proxies, host, repository);
        Ok(Self {
            client: client(plain_http, proxies).map_err(unusable)?,
            blobs: blobs.map_err(unusable)?,
            image,
            auth,
            receiver: None,
            reporter,
        })
    }

    /// Lets a receiver take the registry's place: the image keeps the name that it has there.
    ///
    /// # Errors
    /// A configuration failure when its secrets cannot be used.
    pub(crate) fn direct(self, direct: &Direct) -> Result<Self, Failure> {
        Ok(Self {
            blobs: direct.blobs(self.image.repository())?,
            receiver: Some(direct.name()),
            ..self
        })
    }

    /// Reaches the registry and gets a token where it wants one.
    pub(crate) async fn log_in(&self) -> Result<(), Failure> {
        self.retrying("signing in", async || self.authenticate().await)
            .await
    }

    /// Gets a new token where the registry wants one.
    pub(crate) async fn authenticate(&self) -> Result<(), OciDistributionError> {
        if self.is_receiver() {
            // Its one token is sent with every request.
            return Ok(());
        }
        let token = self
            .client
            .auth(&self.image, &self.auth, RegistryOperation::Push)
            .await?;
        self.blobs.prove(match (token, &self.auth) {
            (Some(token), _) => Proof::Token(token),
            (None, RegistryAuth::Basic(user, password)) => {
                Proof::Password(user.clone(), password.clone())
            }
            (None, _) => Proof::Nothing,
        });
        Ok(())
    }

    /// Pushes configuration and manifest; the layer must be there already.
    pub(crate) async fn push(&self, image: &Image) -> Result<(), Failure> {
        self.retrying("pushing the image configuration", async || {
            let session = self.blobs.open().await?;
            let (config, bytes) = (image.config.clone(), image.config.len() as u64);
            let named = (image.config_digest.as_str(), bytes);
            // It is sent at once, or it stands still.
            let sent = AtomicU64::new(0);
            // Whole: every registry takes that.
            self.blobs.put(&session, config, named, &sent).await
        })
        .await?;
        self.retrying("pushing the manifest", async || {
            if self.is_receiver() {
                let manifest = image.manifest.clone();
                return self.blobs.put_manifest(&image.digest, manifest).await;
            }
            let media_type = OCI_IMAGE_MEDIA_TYPE
                .parse()
                .expect("a media type is a valid header value");
            self.client
                .push_manifest_raw(&self.image, image.manifest.clone(), media_type)
                .await
                .map(|_url| ())
        })
        .await
    }

    /// Reads the manifest back by its digest: the registry must have kept every byte of it, and
    /// with them the annotations without which no runtime would restore the image.
    pub(crate) async fn verify(&self, digest: &str) -> Result<Reference, Failure> {
        let pushed = self.image.clone_with_digest(digest.to_owned());
        let bytes = self
            .retrying("reading the manifest back", async || {
                if self.is_receiver() {
                    return self.blobs.manifest(digest).await;
                }
                self.client
                    .pull_manifest_raw(&pushed, &self.auth, &[OCI_IMAGE_MEDIA_TYPE])
                    .await
                    .map(|(bytes, _)| bytes)
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
        match &self.receiver {
            Some(receiver) => receiver,
            None => self.image.resolve_registry(),
        }
    }

    /// Whether it is a receiver.
    pub(crate) fn is_receiver(&self) -> bool {
        self.receiver.is_some()
    }

    /// Says that the registry did not take the layer as it was sent, and how it gets it instead.
    pub(crate) fn announce_other(
        &self,
        what: &str,
        how: &str,
        attempt: u32,
        attempts: u32,
        error: &OciDistributionError,
    ) {
        let reason = retry::reason(error);
        tracing::warn!("the registry did not take the layer ({reason}), {what} {how}");
        self.report(what, attempt, attempts, Duration::ZERO, reason);
    }

    /// Says that `what` is going to be tried again, and when.
    pub(crate) fn announce(
        &self,
        what: &str,
        next: u32,
        attempts: u32,
        delay: Duration,
        error: &OciDistributionError,
    ) {
        let reason = retry::reason(error);
        tracing::warn!("{what} failed ({reason}), attempt {next} of {attempts} in {delay:.1?}");
        self.report(what, next, attempts, delay, reason);
    }

    fn report(&self, what: &str, attempt: u32, attempts: u32, delay: Duration, reason: String) {
        self.reporter.event(&Event::Retrying(Retrying {
            what: what.to_owned(),
            attempt,
            attempts,
            delay_seconds: delay.as_secs_f64(),
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
        let delay = retry::delay(kind, next, self.blobs.retry_after());
        self.announce(what, next, attempts, delay, error);
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

fn client(plain_http: bool, proxies: &Proxies) -> Result<Client, OciDistributionError> {
    Client::try_from(proxies.configure(ClientConfig {
        protocol: if plain_http {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    }))
}
