//! What a `config.json` in Docker's format says: the registry's credentials, and the proxy.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use ms2m_transfer::env;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;

use crate::failure::Failure;
use crate::proxies::Proxies;

/// What a credential helper says, as Docker has it, when it has nothing for a registry.
const NOTHING_KEPT: &str = "credentials not found in native keychain";

/// A `config.json`, which need not be there.
#[derive(Debug, Default)]
pub(crate) struct DockerConfig {
    path: PathBuf,
    text: Option<String>,
}

impl DockerConfig {
    /// Reads `directory/config.json`.
    ///
    /// # Errors
    /// When there is a file that cannot be read.
    pub(crate) fn read(directory: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = directory.map(|directory| directory.join("config.json")) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self {
                path,
                text: Some(text),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(&path, &error.to_string())),
        }
    }

    /// Credentials for the registry of `image`. None for it means anonymous access.
    ///
    /// # Errors
    /// When there are some that cannot be used.
    pub(crate) fn credentials(&self, image: &Reference) -> Result<RegistryAuth, Failure> {
        let Some(text) = &self.text else {
            return Ok(RegistryAuth::Anonymous);
        };
        let registry = image.resolve_registry();
        let why = match docker_credential::get_credential_from_reader(text.as_bytes(), registry) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok(RegistryAuth::Basic(user, password));
            }
            Ok(DockerCredential::IdentityToken(_)) => {
                format!("its entry for {registry} is an identity token, which is not supported")
            }
            Err(CredentialRetrievalError::NoCredentialConfigured) => {
                return Ok(RegistryAuth::Anonymous);
            }
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.trim() == NOTHING_KEPT =>
            {
                return Ok(RegistryAuth::Anonymous);
            }
            // A helper's own words may repeat the secret.
            Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                format!("the credential helper {helper:?} failed")
            }
            Err(CredentialRetrievalError::HelperCommunicationError) => format!(
                "it names a credential helper for {registry}, which cannot be run: in the \
                 transfer's image there is none, and by hand it has to be on PATH"
            ),
            Err(error) => error.to_string(),
        };
        Err(unusable(&self.path, &why))
    }

    /// The proxies that it names.
    ///
    /// # Errors
    /// When one of them is no URL.
    pub(crate) fn proxies(&self) -> Result<Proxies, Failure> {
        let Some(text) = &self.text else {
            return Ok(Proxies::default());
        };
        Proxies::of(text).map_err(|why| unusable(&self.path, &why))
    }
}

fn unusable(path: &Path, why: &str) -> Failure {
    Failure::config(
        format!(
            "the registry credentials in {} cannot be used: {why}",
            path.display()
        ),
        format!(
            "{} has to name a directory with a config.json that has a user and a password for \
             the registry, such as a Secret of type kubernetes.io/dockerconfigjson mounted with \
             its key .dockerconfigjson as config.json (kubectl create secret docker-registry \
             makes one)",
            env::DOCKER_CONFIG
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(config: &str) -> Result<RegistryAuth, Failure> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("config.json"), config).expect("writes");
        let image = Reference::try_from("registry.example:5000/cp:1").expect("a reference");
        DockerConfig::read(Some(directory.path()))?.credentials(&image)
    }

    #[test]
    fn an_entry_is_found_by_host_and_port() {
        let auth = find_in(r#"{"auths":{"registry.example:5000":{"auth":"bWU6aHVudGVyMg=="}}}"#);
        let expected = RegistryAuth::Basic("me".into(), "hunter2".into());
        assert_eq!(auth, Ok(expected));
        let auth = find_in(r#"{"auths":{"elsewhere":{"auth":"bWU6aHVudGVyMg=="}}}"#);
        assert_eq!(auth, Ok(RegistryAuth::Anonymous));
    }

    #[test]
    fn no_file_is_anonymous_and_a_broken_one_an_error() {
        let image = Reference::try_from("registry.example/cp:1").expect("a reference");
        for directory in [None, Some(Path::new("/nonexistent"))] {
            let missing = DockerConfig::read(directory).expect("it need not be there");
            assert_eq!(missing.credentials(&image), Ok(RegistryAuth::Anonymous));
            assert_eq!(missing.proxies(), Ok(Proxies::default()));
        }
        assert!(find_in("{").is_err());
        let token = find_in(r#"{"auths":{"registry.example:5000":{"identitytoken":"s3cret"}}}"#);
        let failure = token.expect_err("identity tokens are not supported");
        assert!(!failure.to_string().contains("s3cret"));
    }

    #[test]
    fn a_helper_that_is_not_there_is_said() {
        let helper = find_in(r#"{"credHelpers":{"registry.example:5000":"no-such-one"}}"#);
        let failure = helper.expect_err("there is no such program").to_string();
        assert!(failure.contains("names a credential helper"), "{failure}");
        assert!(failure.contains("kubectl create secret"), "{failure}");
    }
}
