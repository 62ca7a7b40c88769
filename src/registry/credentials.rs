//! The operator's own credentials, from Docker's configuration: `DOCKER_CONFIG`, or `~/.docker`,
//! credential helpers included.

use std::env;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    let Some(directory) = directory.map(Path::to_owned).or_else(own_directory) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let path = directory.join("config.json");
    let found = match File::open(&path) {
        Ok(file) => docker_credential::get_credential_from_reader(file, server),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(_) => Err(CredentialRetrievalError::ConfigReadError),
    };
    let why = match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            return Ok(RegistryAuth::Basic(user, password));
        }
        Ok(DockerCredential::IdentityToken(token)) => return Ok(RegistryAuth::Bearer(token)),
        Err(CredentialRetrievalError::NoCredentialConfigured) => {
            return Ok(RegistryAuth::Anonymous);
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            format!("credential helper {helper} failed")
        }
        Err(other) => other.to_string(),
    };
    Err(PortError::Denied(format!(
        "the credentials for registry {registry} in {} cannot be read: {why}",
        path.display()
    )))
}

/// Where Docker keeps the configuration of whoever calls: `DOCKER_CONFIG`, or `~/.docker`. The
/// library takes a directory without the file for one that cannot be read, so it is not asked.
fn own_directory() -> Option<PathBuf> {
    let at_home = || env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(at_home)
}
