//! Certificate authorities for a process in an image made `FROM scratch`, which has none.
//!
//! The registry client looks for the system's authorities even when it speaks plain HTTP, and
//! panics without any; certificates that are handed to it come too late (oci-client 0.18 makes a
//! default client first). So Mozilla's, which are built in, go into a file in memory, and this
//! program runs once more with `SSL_CERT_FILE` naming it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ms2m_transfer::env;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::failure::Failure;

/// Sees to it that there are certificate authorities. Does not return where it has to start the
/// program anew; nothing may have been done by then.
///
/// # Errors
/// When the operator named authorities that are not there, and when the program cannot be
/// started anew.
pub(crate) fn ensure() -> Result<(), Failure> {
    if !rustls_native_certs::load_native_certs().certs.is_empty() {
        return Ok(());
    }
    for name in [env::SSL_CERT_FILE, "SSL_CERT_DIR"] {
        if let Some(path) = std::env::var_os(name) {
            let path = path.display();
            return Err(Failure::config(
                format!("{name} is {path}, where no certificate authority can be read"),
                "let it name PEM certificates, or unset it to use those that are built in",
            ));
        }
    }
    let error = match built_in() {
        Ok(file) => again(&file),
        Err(error) => error,
    };
    Err(Failure::config(
        format!("the built-in certificate authorities cannot be used: {error}"),
        "mount /proc into the container, or let SSL_CERT_FILE name PEM certificates",
    ))
}

/// Mozilla's authorities as a PEM file that is nowhere on disk and outlives `exec`.
fn built_in() -> io::Result<File> {
    let mut file = File::from(memfd_create(
        "certificate authorities",
        MemfdFlags::empty(),
    )?);
    file.write_all(pem().as_bytes())?;
    Ok(file)
}

fn pem() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// Replaces the process by the same program; returns only if that fails.
fn again(authorities: &File) -> io::Error {
    Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(
            env::SSL_CERT_FILE,
            format!("/proc/self/fd/{}", authorities.as_raw_fd()),
        )
        .exec()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn the_built_in_authorities_read_back() {
        let read: Vec<_> = CertificateDer::pem_slice_iter(pem().as_bytes())
            .collect::<Result<_, _>>()
            .expect("it is PEM");
        assert_eq!(read, webpki_root_certs::TLS_SERVER_ROOT_CERTS);
    }
}
