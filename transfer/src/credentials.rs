//! The registry's credentials, from a `config.json` in Docker's format.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use ms2m_transfer::env;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;

use crate::failure::Failure;

/// Looks the registry of `image` up in `directory/config.json`. No file or no entry for the
/// registry means anonymous access.
///
/// # Errors
/// When there is a file that cannot be used.
pub(crate) fn find(directory: Option<&Path>, image: &Reference) -> Result<RegistryAuth, Failure> {
    let Some(path) = directory.map(|directory| directory.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(unusable(&path, &error.to_string())),
    };
    let registry = image.resolve_registry();
    match docker_credential::get_credential_from_reader(BufReader::new(file), registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => Err(unusable(
            &path,
            &format!("its entry for {registry} is an identity token, which is not supported"),
        )),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // A helper's own words may repeat the secret.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => Err(unusable(
            &path,
            &format!("the credential helper {helper:?} failed"),
        )),
        Err(error) => Err(unusable(&path, &error.to_string())),
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
             its key .dockerconfigjson as config.json",
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
        find(Some(directory.path()), &image)
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
        let missing = find(Some(Path::new("/nonexistent")), &image);
        assert_eq!(missing, Ok(RegistryAuth::Anonymous));
        assert!(find_in("{").is_err());
        let token = find_in(r#"{"auths":{"registry.example:5000":{"identitytoken":"s3cret"}}}"#);
        let failure = token.expect_err("identity tokens are not supported");
        assert!(!failure.to_string().contains("s3cret"));
    }
}
