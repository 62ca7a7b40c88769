//! The operator's own credentials, from Docker's configuration: `DOCKER_CONFIG`, or `~/.docker`,
//! credential helpers included.

use std::fs::File;
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The name under which Docker keeps the credentials of its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What to show to `registry`, anonymous when nothing is configured. `directory` has the
/// `config.json`; none for the operator's own.
///
/// # Errors
/// [`PortError::Denied`] when there are credentials and they cannot be read. The words name the
/// helper, never what it printed.
pub(super) fn credentials(registry: &str, directory: Option<&Path>) -> PortResult<RegistryAuth> {
    let server = match registry {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        other => other,
    };
    let found = match directory {
        Some(directory) => File::open(directory.join("config.json"))
            .map_err(|_| CredentialRetrievalError::ConfigNotFound)
            .and_then(|file| docker_credential::get_credential_from_reader(file, server)),
        None => docker_credential::get_credential(server),
    };
    let why = match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            return Ok(RegistryAuth::Basic(user, password));
        }
        Ok(DockerCredential::IdentityToken(token)) => return Ok(RegistryAuth::Bearer(token)),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound,
        ) => return Ok(RegistryAuth::Anonymous),
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            format!("credential helper {helper} failed")
        }
        Err(other) => other.to_string(),
    };
    Err(PortError::Denied(format!(
        "the credentials for registry {registry} cannot be read: {why}"
    )))
}
