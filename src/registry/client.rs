//! [`OciRegistry`]: one registry client for as many registries as are named.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use ms2m_transfer::annotation::RESTORE_KEYS;
use ms2m_transfer::reference;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::header::{CONTENT_LENGTH, LOCATION};

use super::credentials::{Source, credentials};
use super::error::{chain, from_status, port_error};
use crate::migration::error::PortError;
use crate::migration::ports::{ImageView, PortResult, Registry};

/// How long connecting, and each silence in an answer, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a whole request may take: only manifests are asked for here.
const WHOLE: Duration = Duration::from_secs(30);

/// Registries, seen from where ms2m runs.
pub struct OciRegistry {
    client: Client,
    /// For the one request that the registry client does not know: the deletion.
    http: reqwest::Client,
    scheme: &'static str,
    credentials: Source,
}

impl OciRegistry {
    /// `plain_http` speaks HTTP without TLS, to every registry; it is never assumed.
    ///
    /// # Errors
    /// [`PortError::Invalid`] when the TLS stack cannot be set up.
    pub fn new(plain_http: bool) -> PortResult<Self> {
        let (protocol, scheme) = if plain_http {
            (ClientProtocol::Http, "http")
        } else {
            (ClientProtocol::Https, "https")
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(LIMIT),
            read_timeout: Some(LIMIT),
            user_agent: concat!("ms2m/", env!("CARGO_PKG_VERSION")),
            // A checkpoint is a single manifest; an index is looked at as it is.
            platform_resolver: None,
            ..ClientConfig::default()
        };
        let invalid = |cause: String| PortError::Invalid(format!("no registry client: {cause}"));
        let http = reqwest::Client::builder()
            .connect_timeout(LIMIT)
            .timeout(WHOLE)
            .user_agent(config.user_agent)
            .build()
            .map_err(|error| invalid(chain(&error)))?;
        let client = Client::try_from(config).map_err(|error| invalid(chain(&error)))?;
        Ok(Self {
            client,
            http,
            scheme,
            credentials: Source::Own,
        })
    }

    /// Takes credentials from `directory`/config.json instead of the operator's own
    /// configuration.
    #[must_use]
    pub fn with_docker_config(mut self, directory: PathBuf) -> Self {
        self.credentials = Source::Directory(directory);
        self
    }

    /// Takes credentials from the text of a Docker configuration, as a pull secret has it.
    #[must_use]
    pub fn with_pull_secret(mut self, text: String) -> Self {
        self.credentials = Source::Text(text);
        self
    }

    fn credentials(&self, registry: &str) -> PortResult<RegistryAuth> {
        credentials(registry, &self.credentials)
    }

    /// The manifest and its digest.
    async fn manifest(&self, image: &str) -> PortResult<Option<(OciManifest, String)>> {
        let reference = parse(image)?;
        let auth = self.credentials(reference.resolve_registry())?;
        let what = format!("look at image {image}");
        let asked = self.client.pull_manifest(&reference, &auth);
        match tokio::time::timeout(WHOLE, asked).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) => match port_error(&what, &error) {
                PortError::NotFound(_) => Ok(None),
                other => Err(other),
            },
            Err(_) => Err(PortError::Unreachable(format!(
                "cannot {what}: no answer within {} s",
                WHOLE.as_secs()
            ))),
        }
    }

    /// `request` with what the registry asks for of whoever may push to the repository.
    async fn authorized(
        &self,
        reference: &Reference,
        what: &str,
        request: reqwest::RequestBuilder,
    ) -> PortResult<reqwest::RequestBuilder> {
        let auth = self.credentials(reference.resolve_registry())?;
        let token = self
            .client
            .auth(reference, &auth, RegistryOperation::Push)
            .await
            .map_err(|error| port_error(what, &error))?;
        Ok(match (token, auth) {
            (Some(token), _) | (None, RegistryAuth::Bearer(token)) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, RegistryAuth::Anonymous) => request,
        })
    }

    /// Whether something could be pushed to `repository` with the credentials at hand: begins an
    /// upload and gives it up, so that nothing is left (OCI distribution, 'Pushing a blob in chunks').
    ///
    /// # Errors
    /// [`PortError::Denied`] without the right to push, [`PortError::Unreachable`] where nobody
    /// answers.
    pub async fn try_push(&self, repository: &str) -> PortResult<()> {
        let reference = parse(repository)?;
        let (registry, name) = (reference.resolve_registry(), reference.repository());
        let what = format!("begin an upload to {registry}/{name}");
        let scheme = self.scheme;
        let url = format!("{scheme}://{registry}/v2/{name}/blobs/uploads/");
        let unreachable = |error: &reqwest::Error| {
            PortError::Unreachable(format!("cannot {what}: {}", chain(error)))
        };
        let begin = self.http.post(&url).header(CONTENT_LENGTH, 0);
        let answer = self.authorized(&reference, &what, begin).await?;
        let answer = answer.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(from_status(
                status.as_u16(),
                format!("cannot {what}: {status}"),
            ));
        }
        let location = answer.headers().get(LOCATION);
        let location = location
            .and_then(|it| it.to_str().ok())
            .and_then(|it| answer.url().join(it).ok())
            // Credentials are for the registry alone.
            .filter(|it| it.origin() == answer.url().origin());
        if let Some(location) = location {
            let end = self.http.delete(location);
            // An upload that is not given up expires by itself.
            if let Ok(end) = self.authorized(&reference, &what, end).await {
                let _ = end.send().await;
            }
        }
        Ok(())
    }

    /// Deletes what the repository has under `kind` (`manifests` or `blobs`) by its digest.
    async fn delete_digest(
        &self,
        reference: &Reference,
        kind: &str,
        digest: &str,
    ) -> PortResult<()> {
        let registry = reference.resolve_registry();
        let repository = reference.repository();
        let what = format!("delete {registry}/{repository}@{digest}");
        let scheme = self.scheme;
        let url = format!("{scheme}://{registry}/v2/{repository}/{kind}/{digest}");
        let request = self.authorized(reference, &what, self.http.delete(url));
        let answer =
            request.await?.send().await.map_err(|error| {
                PortError::Unreachable(format!("cannot {what}: {}", chain(&error)))
            })?;
        let status = answer.status();
        match status.as_u16() {
            200..300 | 404 => Ok(()),
            405 => Err(PortError::Denied(format!(
                "cannot {what}: the registry does not allow deletions (405)"
            ))),
            code => Err(from_status(code, format!("cannot {what}: {status}"))),
        }
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn image(&self, image: &str) -> PortResult<Option<ImageView>> {
        let Some((manifest, digest)) = self.manifest(image).await? else {
            return Ok(None);
        };
        let annotations = match manifest {
            OciManifest::Image(manifest) => manifest.annotations,
            // No runtime reads the annotations of an index.
            OciManifest::ImageIndex(_) => None,
        };
        let is_checkpoint = annotations
            .is_some_and(|annotations| RESTORE_KEYS.iter().all(|it| annotations.contains_key(*it)));
        Ok(Some(ImageView {
            digest,
            is_checkpoint,
        }))
    }

    async fn delete(&self, image: &str) -> PortResult<()> {
        let reference = parse(image)?;
        // Registries delete by digest alone; a tag goes with its manifest.
        let Some((manifest, digest)) = self.manifest(image).await? else {
            return Ok(());
        };
        self.delete_digest(&reference, "manifests", &digest).await?;
        // Most registries free what no manifest refers to by themselves, sooner or later. Asked for
        // it, some do so at once (zot), and others at least do not hand it out any more
        // (distribution); one that refuses has done the main thing.
        for digest in layers(&manifest) {
            if let Err(error) = self.delete_digest(&reference, "blobs", digest).await {
                tracing::debug!(%error, "the registry keeps a blob until it collects its garbage");
            }
        }
        Ok(())
    }
}

/// Digests of the layers of an image. Its configuration holds nothing of the process, and may be
/// another image's too.
fn layers(manifest: &OciManifest) -> Vec<&str> {
    match manifest {
        OciManifest::Image(image) => image.layers.iter().map(|it| it.digest.as_str()).collect(),
        OciManifest::ImageIndex(_) => Vec::new(),
    }
}

fn parse(image: &str) -> PortResult<Reference> {
    reference::parse_any(image).map_err(|error| {
        PortError::Invalid(format!("{image:?} is not the name of an image: {error}"))
    })
}
