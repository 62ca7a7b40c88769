//! Direct mode's sending side: the client that reaches a receiver (`ms2m-transfer receive`) instead
//! of a registry. The receiver speaks the same protocol, so all of the upload is as ever.
//!
//! What it takes comes as files, never as arguments or environment: they would be seen by whoever
//! may list processes or read pods.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ms2m_transfer::direct::{AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, SERVER_NAME, TOKEN};
use ms2m_transfer::env;
use reqwest::{Certificate, Client, Identity, Url};

use crate::failure::Failure;
use crate::session::{Blobs, Proof};

/// How long the receiver may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver, and the directory with what it knows its sender by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) receiver: SocketAddr,
    pub(crate) secrets: PathBuf,
}

impl Direct {
    /// Name of the receiver, for messages.
    pub(crate) fn name(&self) -> String {
        format!("of the receiver at {}", self.receiver)
    }

    /// The client for `repository` of the receiver. No request is sent.
    ///
    /// # Errors
    /// A configuration failure when the files are not there or cannot be used.
    pub(crate) fn blobs(&self, repository: &str) -> Result<Blobs, Failure> {
        let unusable = |error: reqwest::Error| self.unusable(&error);
        let authority = Certificate::from_pem(&self.read(AUTHORITY)?).map_err(unusable)?;
        let mut identity = self.read(CLIENT_CERTIFICATE)?;
        identity.extend(self.read(CLIENT_KEY)?);
        let identity = Identity::from_pem(&identity).map_err(unusable)?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(crate::registry::USER_AGENT)
            .https_only(true)
            // No proxy stands between two nodes of a cluster.
            .no_proxy()
            .tls_certs_only([authority])
            .identity(identity)
            .resolve(SERVER_NAME, self.receiver)
            .build()
            .map_err(unusable)?;
        let url = format!("https://{SERVER_NAME}:{}/", self.receiver.port());
        let url = Url::parse(&url).map_err(|error| self.unusable(&error))?;
        let token = self.token()?;
        Ok(Blobs::direct(client, url, repository, Proof::Token(token)))
    }

    fn token(&self) -> Result<String, Failure> {
        let token = String::from_utf8(self.read(TOKEN)?)
            .map_err(|_| self.unusable(&"its token is no text"))?;
        Ok(token.trim().to_owned())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        read(&self.secrets, name)
    }

    fn unusable(&self, why: &dyn std::fmt::Display) -> Failure {
        unusable(&self.secrets, why)
    }
}

/// A file of the directory that both sides' secrets are in.
///
/// # Errors
/// A configuration failure that names the file.
pub(crate) fn read(directory: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(directory.join(name))
        .map_err(|error| unusable(directory, &format!("{name} cannot be read: {error}")))
}

/// The files are not as they have to be. `why` must not repeat their contents.
pub(crate) fn unusable(directory: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::config(
        format!(
            "the direct transfer's secrets in {} cannot be used: {why}",
            directory.display()
        ),
        format!(
            "{} has to name the directory that the migration's Secret is mounted at",
            env::DIRECT_SECRETS
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_not_there_is_named_and_one_that_is_broken_not_repeated() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let direct = Direct {
            receiver: "127.0.0.1:1".parse().expect("an address"),
            secrets: directory.path().to_owned(),
        };
        let missing = direct.blobs("ms2m/m").err().expect("nothing is there");
        assert!(missing.to_string().contains(AUTHORITY), "{missing}");
        for name in [AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, TOKEN] {
            std::fs::write(directory.path().join(name), "hunter2").expect("writes");
        }
        let broken = direct.blobs("ms2m/m").err().expect("no certificates");
        assert!(!broken.to_string().contains("hunter2"), "{broken}");
    }
}
