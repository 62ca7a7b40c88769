//! The operator's own credentials, from Docker's configuration: `DOCKER_CONFIG`, or `~/.docker`,
//! credential helpers included.

use std::env;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;

use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The name under which Docker keeps the credentials of its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What to show to `registry`, anonymous when nothing is configured.
///
/// # Errors
/// [`PortError::Denied`] when there are credentials and they cannot be read. The words name the
/// helper, never what it printed.
pub(super) fn credentials(registry: &str, source: &Source) -> PortResult<RegistryAuth> {
    let server = match registry {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        other => other,
    };
    let (place, found) = match source.directory() {
        Err(text) => (
            "a Secret".to_owned(),
            get_credential_from_reader(text.as_bytes(), server),
        ),
        Ok(None) => return Ok(RegistryAuth::Anonymous),
        Ok(Some(directory)) => {
            let path = directory.join("config.json");
            let found = match File::open(&path) {
                Ok(file) => get_credential_from_reader(file, server),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(RegistryAuth::Anonymous);
                }
                Err(_) => Err(CredentialRetrievalError::ConfigReadError),
            };
            (path.display().to_string(), found)
        }
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
        Err(CredentialRetrievalError::HelperCommunicationError) => match source {
            Source::Text(_) => {
                "it names a credential helper, and no pod has one: give it a user and \
                                a password (kubectl create secret docker-registry makes such a one)"
                    .to_owned()
            }
            Source::Own | Source::Directory(_) => {
                "it names a credential helper that is not on PATH".to_owned()
            }
        },
        Err(other) => other.to_string(),
    };
    Err(PortError::Denied(format!(
        "the credentials for registry {registry} in {place} cannot be read: {why}"
    )))
}

/// Where credentials come from.
pub(super) enum Source {
    /// The configuration of whoever calls.
    Own,
    /// `config.json` in this directory.
    Directory(PathBuf),
    /// This text, as a pull secret has it.
    Text(String),
}

impl Source {
    /// The directory, if there is one; or the text.
    fn directory(&self) -> Result<Option<PathBuf>, &str> {
        match self {
            Self::Own => Ok(own_directory()),
            Self::Directory(directory) => Ok(Some(directory.clone())),
            Self::Text(text) => Err(text),
        }
    }
}

/// Where Docker keeps the configuration of whoever calls: `DOCKER_CONFIG`, or `~/.docker`. The
/// library takes a directory without the file for one that cannot be read, so it is not asked.
fn own_directory() -> Option<PathBuf> {
    let at_home = || env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(at_home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_in_a_secret_is_said() {
        let text = r#"{"credHelpers":{"registry.example":"no-such-helper"}}"#.to_owned();
        let asked = credentials("registry.example", &Source::Text(text));
        let words = asked.expect_err("there is no such program").to_string();
        assert!(words.contains("names a credential helper"), "{words}");
        assert!(words.contains("kubectl create secret"), "{words}");
    }
}
