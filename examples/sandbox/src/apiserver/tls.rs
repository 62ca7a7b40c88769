//! The server's certificate, made at each start and signed by an authority that is forgotten
//! afterwards. kubectl sends no credentials without TLS, so the kubeconfigs say `https`; plain
//! HTTP is spoken on the same port, for clients inside the sandbox.

use std::net::IpAddr;
use std::sync::Arc;

use color_eyre::eyre::{Result, WrapErr};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// What a connection needs to begin with TLS, and what clients need to trust it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate, PEM.
    pub(crate) authority: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// Makes authority, key and certificate for a server at `ip`.
///
/// # Errors
/// If the random source or the cryptography fails.
pub(crate) fn make(ip: IpAddr) -> Result<Tls> {
    let mut authority =
        CertificateParams::new(Vec::new()).wrap_err("cannot describe the authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    authority
        .distinguished_name
        .push(DnType::CommonName, "ms2m-sandbox");
    let authority_key = KeyPair::generate().wrap_err("cannot make the authority's key")?;
    let authority_pem = authority
        .self_signed(&authority_key)
        .wrap_err("cannot sign the authority")?
        .pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut names = vec![
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default.svc".to_owned(),
        ip.to_string(),
    ];
    if !ip.is_loopback() || ip != IpAddr::from([127, 0, 0, 1]) {
        names.push("127.0.0.1".to_owned());
    }
    let mut params = CertificateParams::new(names).wrap_err("cannot describe the server")?;
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    let key = KeyPair::generate().wrap_err("cannot make the server's key")?;
    let certificate = params
        .signed_by(&key, &issuer)
        .wrap_err("cannot sign the server")?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .wrap_err("cannot choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .wrap_err("cannot use the server's certificate")?;
    // One request at a time on a connection, so that to cut a request is to cut its connection.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        authority: authority_pem,
    })
}
