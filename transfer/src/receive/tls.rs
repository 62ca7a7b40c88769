//! TLS of the push side: both ends show a certificate of the migration's own authority.

use std::path::Path;
use std::sync::Arc;

use ms2m_transfer::direct::{AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;
use crate::sender::{read, unusable};

/// What a connection begins with.
///
/// # Errors
/// A configuration failure when the files in `directory` are not there or cannot be used.
pub(super) fn acceptor(directory: &Path) -> Result<TlsAcceptor, Failure> {
    let broken = |error: &dyn std::fmt::Display| unusable(directory, error);
    let mut authorities = RootCertStore::empty();
    for authority in certificates(directory, AUTHORITY)? {
        authorities.add(authority).map_err(|error| broken(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
            .build()
            .map_err(|error| broken(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&read(directory, SERVER_KEY)?)
        .map_err(|error| broken(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| broken(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(directory, SERVER_CERTIFICATE)?, key)
        .map_err(|error| broken(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(directory: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_slice_iter(&read(directory, name)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(directory, &format!("{name}: {error}")))
}
