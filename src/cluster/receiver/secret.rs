//! What a receiver and its sender know each other by: certificates of an authority that signs these
//! two and is forgotten at once, and a token. One Secret, of which each mounts its own half. Pure but
//! for chance and the clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{KeyToPath, Secret, SecretVolumeSource, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use ms2m_transfer::direct::{
    AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, RECEIVER_FILES, SENDER_FILES, SERVER_CERTIFICATE,
    SERVER_KEY, SERVER_NAME, TOKEN,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::super::naming::{labels, role};
use crate::migration::ports::ReceiverOrder;

/// The sender's name in its certificate.
const CLIENT_NAME: &str = "sender.ms2m.internal";

/// How far the clocks of nodes and workstation may be apart.
const SKEW: Duration = Duration::from_secs(3600);

/// How long the certificates are good: longer than any transfer may take.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// The Secret of `order`, which goes with its owner.
pub(super) fn secret(order: &ReceiverOrder, owner: OwnerReference) -> Result<Secret, rcgen::Error> {
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(order.name.clone()),
            labels: Some(labels(&order.migration, role::RECEIVER)),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(files(SystemTime::now())?),
        ..Secret::default()
    })
}

fn files(now: SystemTime) -> Result<BTreeMap<String, ByteString>, rcgen::Error> {
    let mut authority = params(Vec::new(), "ms2m", now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let certificate = authority.self_signed(&key)?.pem();
    // Dropped with its key when both are signed.
    let issuer = Issuer::new(authority, key);
    let (server, server_key) = signed(
        SERVER_NAME,
        ExtendedKeyUsagePurpose::ServerAuth,
        &issuer,
        now,
    )?;
    let (client, client_key) = signed(
        CLIENT_NAME,
        ExtendedKeyUsagePurpose::ClientAuth,
        &issuer,
        now,
    )?;
    let files = [
        (AUTHORITY, certificate),
        (SERVER_CERTIFICATE, server),
        (SERVER_KEY, server_key),
        (CLIENT_CERTIFICATE, client),
        (CLIENT_KEY, client_key),
        (TOKEN, token()),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
    Ok(files.into())
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = (now - SKEW).into();
    params.not_after = (now + VALIDITY).into();
    Ok(params)
}

/// Certificate and key, PEM.
fn signed(
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
    now: SystemTime,
) -> Result<(String, String), rcgen::Error> {
    let mut params = params(vec![name.to_owned()], name, now)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // What is good for one side is no good for the other.
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// 256 bits that nobody can guess: rand's generator is a cryptographic one.
fn token() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The receiver's half of the Secret, as a volume. Its group may read it.
pub(super) fn receiver_volume(name: &str, secret: &str) -> Volume {
    volume(name, secret, &RECEIVER_FILES, 0o440)
}

/// The sender's half of it.
pub(in super::super) fn sender_volume(name: &str, secret: &str) -> Volume {
    volume(name, secret, &SENDER_FILES, 0o400)
}

fn volume(name: &str, secret: &str, files: &[&str], mode: i32) -> Volume {
    let items = files.iter().map(|&file| KeyToPath {
        key: file.to_owned(),
        path: file.to_owned(),
        ..KeyToPath::default()
    });
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(mode),
            items: Some(items.collect()),
            optional: Some(false),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_gets_its_own_half() {
        let made = files(SystemTime::now()).expect("certificates");
        for half in [RECEIVER_FILES, SENDER_FILES] {
            assert!(half.iter().all(|file| made.contains_key(*file)));
        }
        assert!(!RECEIVER_FILES.contains(&CLIENT_KEY) && !SENDER_FILES.contains(&SERVER_KEY));
        let volume = receiver_volume("direct", "m-receiver");
        let items = volume.secret.and_then(|it| it.items).unwrap_or_default();
        let names: Vec<_> = items.iter().map(|item| item.path.as_str()).collect();
        assert_eq!(names, RECEIVER_FILES);
    }

    #[test]
    fn no_two_migrations_share_anything() {
        let made = || files(SystemTime::now()).expect("certificates");
        let (one, other) = (made(), made());
        assert!(one.iter().all(|(name, text)| other[name] != *text));
        assert_eq!(one[TOKEN].0.len(), 64);
    }
}
