//! What the registry client reports → [`PortError`]. No URL in these texts has credentials: they
//! travel in headers.

use std::error::Error as StdError;

use oci_client::errors::OciDistributionError;

use crate::migration::error::PortError;

/// The error of a request that was meant to do `what`, as `look at image r/cp:1`.
pub(super) fn port_error(what: &str, error: &OciDistributionError) -> PortError {
    use OciDistributionError as Oci;
    let text = format!("cannot {what}: {}", chain(error));
    match error {
        Oci::AuthenticationFailure(_) | Oci::UnauthorizedError { .. } => PortError::Denied(text),
        Oci::ImageManifestNotFoundError(_) => PortError::NotFound(text),
        Oci::ServerError { code, .. } => from_status(*code, text),
        Oci::RegistryError { envelope, .. } => {
            let code = envelope
                .errors
                .first()
                .map(|error| format!("{:?}", error.code).to_lowercase())
                .unwrap_or_default();
            match code.as_str() {
                "unauthorized" | "denied" => PortError::Denied(text),
                "manifestunknown" | "nameunknown" | "notfound" => PortError::NotFound(text),
                "toomanyrequests" => PortError::Busy(text),
                _ => PortError::Invalid(text),
            }
        }
        Oci::RequestError(_) | Oci::IoError(_) => PortError::Unreachable(text),
        _ => PortError::Invalid(text),
    }
}

/// The error of a request that was answered with `code`.
pub(super) fn from_status(code: u16, text: String) -> PortError {
    match code {
        401 | 403 | 405 => PortError::Denied(text),
        404 => PortError::NotFound(text),
        408 | 429 | 500.. => PortError::Busy(text),
        _ => PortError::Invalid(text),
    }
}

/// The error and all its causes, each once.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
