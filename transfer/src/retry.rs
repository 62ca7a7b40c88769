//! What is worth trying again after a registry failed, how long to wait, and how to say it.

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ms2m_transfer::FailureCode;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::failure::Failure;

/// Attempts for a small request: with the delays below it gives up after 3 to 6 s.
pub(crate) const REQUEST_ATTEMPTS: u32 = 6;

/// Attempts for the layer where an upload cannot be gone on with, each of which reads the archive
/// from its beginning.
pub(crate) const UPLOAD_ATTEMPTS: u32 = 4;

/// A registry may ask to be left alone that long; whoever waits for the migration does not wait for
/// ever.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// A registry's words are repeated up to this many characters.
const REASON_MAX: usize = 300;

/// What a failure calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Wrong credentials or missing rights: no use in trying again.
    Denied,
    /// May pass by itself.
    Transient,
    /// The registry asks for fewer requests.
    Busy,
    /// The same request would fail again.
    Permanent,
}

/// Sorts a failure.
pub(crate) fn kind(error: &OciDistributionError) -> Kind {
    match error {
        OciDistributionError::AuthenticationFailure(body) => token_kind(body),
        OciDistributionError::UnauthorizedError { .. } => Kind::Denied,
        OciDistributionError::ServerError { code, .. } => match code {
            401 | 403 => Kind::Denied,
            429 => Kind::Busy,
            408 | 500..=599 => Kind::Transient,
            _ => Kind::Permanent,
        },
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .map(|error| match error.code {
                OciErrorCode::Unauthorized | OciErrorCode::Denied => Kind::Denied,
                OciErrorCode::Toomanyrequests => Kind::Busy,
                _ => Kind::Permanent,
            })
            .next()
            .unwrap_or(Kind::Permanent),
        OciDistributionError::RequestError(error) if error.is_builder() => Kind::Permanent,
        OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => Kind::Transient,
        _ => Kind::Permanent,
    }
}

/// Sorts what a token service said instead of giving a token. oci-client 0.18 makes the same failure
/// of every status but 200 (`Client::_auth`) and hands only the body on, so that the status has to be
/// told from the words: a service that is overloaded or restarts says neither of the denials. A body
/// that says nothing is taken for a hiccup, which costs a few attempts where it was none.
fn token_kind(body: &str) -> Kind {
    // The specification's codes, the reason phrases of 401 and 403 (nginx has its own), and Docker
    // Hub's words.
    const DENIALS: [&str; 5] = [
        "unauthorized",
        "denied",
        "forbidden",
        "authorization required",
        "incorrect username or password",
    ];
    const BUSY: [&str; 2] = ["toomanyrequests", "too many requests"];
    let body = body.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| body.contains(words));
    if says(&BUSY) {
        Kind::Busy
    } else if says(&DENIALS) {
        Kind::Denied
    } else {
        Kind::Transient
    }
}

/// Sorts a failure of an upload in progress, in which more can be cured by a new upload: the
/// registry may have lost its session in a restart (404, 416), and a token that could not be
/// renewed shows as 401 however good the credentials are. A session that is spoilt is, whatever of it
/// was acknowledged: after a cut connection it may hold other bytes than were sent, where the end of
/// the first request was still under way, or refuse to be gone on with at all.
pub(crate) fn upload_kind(error: &OciDistributionError, sent: u64) -> Kind {
    match error {
        error if is_spoilt(error) => Kind::Transient,
        OciDistributionError::ServerError {
            code: 404 | 416, ..
        } if sent > 0 => Kind::Transient,
        OciDistributionError::ServerError { code: 401, .. } if sent > 0 => Kind::Transient,
        error => kind(error),
    }
}

/// Whether the registry says that a session cannot become the blob any more, or that it is gone: by
/// the specification's codes for it, with status 400 or whichever. Not with 413: there `SIZE_INVALID`
/// is about the room that there is (a receiver's disk is full), and a new session has no more of it.
pub(crate) fn is_spoilt(error: &OciDistributionError) -> bool {
    const CODES: [&str; 4] = [
        "DIGEST_INVALID",
        "SIZE_INVALID",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
    ];
    match error {
        OciDistributionError::ServerError { code, message, .. } => {
            *code != 413
                && (400..500).contains(code)
                && CODES.iter().any(|code| message.contains(code))
        }
        _ => false,
    }
}

/// How long to wait before attempt `next` (the first one that waits is 2): doubling, with the
/// upper half left to chance so that many transfers do not come back at once.
///
/// `asked` is what the registry asks for itself, up to [`ASKED_MAX`]. oci-client, which makes the
/// requests for manifests and tokens, does not hand a `Retry-After` header on, so a busy registry is
/// given longer delays of our own as well.
pub(crate) fn delay(kind: Kind, next: u32, asked: Option<Duration>) -> Duration {
    let (first, most) = match kind {
        Kind::Busy => (Duration::from_secs(1), Duration::from_secs(30)),
        _ => (Duration::from_millis(200), Duration::from_secs(5)),
    };
    let doubled = first.saturating_mul(1 << next.saturating_sub(2).min(16));
    let own = doubled.min(most).mul_f64(0.5 + 0.5 * chance());
    // Not all of those that were told the same at the same moment.
    let asked = asked.map(|asked| asked.min(ASKED_MAX).mul_f64(1.0 + 0.1 * chance()));
    asked.map_or(own, |asked| asked.max(own))
}

/// Reads a `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date.
pub(crate) fn after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(text).ok()?.timestamp();
    let left = until.duration_since(now);
    Some(left.try_into().unwrap_or(Duration::ZERO))
}

/// A number from 0 to 1. The standard library's own seed is good enough for delays, and unlike
/// a random number generator's it takes no `/dev/urandom` in a static binary.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// The failure in words. URLs are left out: those of uploads carry the registry's signed state.
pub(crate) fn reason(error: &OciDistributionError) -> String {
    let text = match error {
        OciDistributionError::ServerError { code, message, .. } => {
            format!("it answered {code} {}", message.trim())
        }
        OciDistributionError::RegistryError { envelope, .. } => format!("it answered {envelope}"),
        OciDistributionError::UnauthorizedError { .. } => "it answered 401".into(),
        OciDistributionError::RequestError(error) => {
            let cause = root_cause(error);
            if error.is_timeout() {
                "it did not answer in time".into()
            } else if error.is_connect() {
                format!("no connection: {cause}")
            } else {
                format!("the connection broke: {cause}")
            }
        }
        error => error.to_string(),
    };
    shorten(text.trim())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= REASON_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(REASON_MAX).collect();
    short.push('…');
    short
}

/// The failure as the result of the transfer. `what` is the step, `registry` its host.
pub(crate) fn failure(
    kind: Kind,
    what: &str,
    registry: &str,
    error: &OciDistributionError,
) -> Failure {
    let reason = reason(error);
    let what = format!("{what} failed, registry {registry}: {reason}");
    match kind {
        Kind::Denied => Failure::new(
            FailureCode::RegistryDenied,
            what,
            "check that the credentials are for this registry and may push to this repository",
        ),
        _ if reason.contains("InvalidContentType") => Failure::new(
            FailureCode::RegistryFailed,
            what,
            "the registry does not speak TLS; if that is as it should be, ask for plain HTTP",
        ),
        _ if matches!(error, OciDistributionError::AuthenticationFailure(_)) => Failure::new(
            FailureCode::RegistryFailed,
            what,
            "the registry's token service gave no token; check that it works, and the credentials",
        ),
        _ => Failure::new(
            FailureCode::RegistryFailed,
            what,
            "check that the node reaches the registry and that the registry has room, then start again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> OciDistributionError {
        OciDistributionError::ServerError {
            code,
            url: "http://registry/v2/cp/blobs/uploads/1?_state=SIGNED".into(),
            message: "words".into(),
        }
    }

    #[test]
    fn answers_are_sorted() {
        assert_eq!(kind(&answered(401)), Kind::Denied);
        assert_eq!(kind(&answered(403)), Kind::Denied);
        assert_eq!(kind(&answered(429)), Kind::Busy);
        assert_eq!(kind(&answered(503)), Kind::Transient);
        assert_eq!(kind(&answered(400)), Kind::Permanent);
        assert_eq!(upload_kind(&answered(404), 0), Kind::Permanent);
        assert_eq!(upload_kind(&answered(404), 1), Kind::Transient);
        assert_eq!(upload_kind(&answered(401), 0), Kind::Denied);
        assert_eq!(upload_kind(&answered(401), 1), Kind::Transient);
        // What distribution answers to a piece after one of which some bytes were left.
        for (code, name) in [(400, "DIGEST_INVALID"), (404, "BLOB_UPLOAD_INVALID")] {
            let spoilt = OciDistributionError::ServerError {
                code,
                url: String::new(),
                message: format!(r#"{{"errors":[{{"code":"{name}"}}]}}"#),
            };
            assert_eq!(upload_kind(&spoilt, 0), Kind::Transient);
            assert_eq!(upload_kind(&spoilt, 1), Kind::Transient);
        }
    }

    /// What a receiver without room says (`receive::answer::disk`): another attempt would fill the
    /// target node's disk once more.
    #[test]
    fn what_is_too_large_is_no_spoilt_session() {
        let full = OciDistributionError::ServerError {
            code: 413,
            url: String::new(),
            message: r#"{"errors":[{"code":"SIZE_INVALID","message":"no space left"}]}"#.to_owned(),
        };
        assert!(!is_spoilt(&full));
        assert_eq!(upload_kind(&full, 0), Kind::Permanent);
        assert_eq!(upload_kind(&full, 1), Kind::Permanent);
    }

    #[test]
    fn a_token_service_s_words_tell_a_denial_from_a_hiccup() {
        let kind = |body: &str| {
            kind(&OciDistributionError::AuthenticationFailure(
                body.to_owned(),
            ))
        };
        for denial in [
            // Docker Hub.
            r#"{"details":"incorrect username or password"}"#,
            // Harbor, distribution's token server.
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized: unauthorized"}]}"#,
            // GitLab.
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"HTTP Basic: Access denied."}]}"#,
            r#"{"errors":[{"code":"DENIED","message":"access forbidden"}]}"#,
            // A gateway in front, which says it in a page.
            "<html><head><title>401 Authorization Required</title></head></html>",
            "<html><head><title>403 Forbidden</title></head></html>",
            "Unauthorized",
        ] {
            assert_eq!(kind(denial), Kind::Denied, "{denial}");
        }
        for busy in [
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}"#,
            "<html><head><title>429 Too Many Requests</title></head></html>",
        ] {
            assert_eq!(kind(busy), Kind::Busy, "{busy}");
        }
        for hiccup in [
            "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
            "<html><body><h1>503 Service Unavailable</h1></body></html>",
            r#"{"errors":[{"code":"UNKNOWN","message":"internal server error"}]}"#,
            r#"{"message":"upstream connect error"}"#,
            "",
        ] {
            assert_eq!(kind(hiccup), Kind::Transient, "{hiccup}");
        }
    }

    #[test]
    fn a_token_service_that_never_comes_right_is_named() {
        let error = OciDistributionError::AuthenticationFailure("<h1>502 Bad Gateway</h1>".into());
        let failure = failure(kind(&error), "signing in", "registry", &error);
        assert_eq!(failure.code, FailureCode::RegistryFailed);
        let text = failure.to_string();
        assert!(text.contains("502"), "{text}");
        assert!(
            text.contains("token service") && text.contains("credentials"),
            "{text}"
        );
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        for next in 2..40 {
            let short = delay(Kind::Transient, next, None);
            assert!(short >= Duration::from_millis(100), "{short:?}");
            assert!(short <= Duration::from_secs(5), "{short:?}");
            let long = delay(Kind::Busy, next, None);
            assert!(long >= Duration::from_millis(500), "{long:?}");
            assert!(long <= Duration::from_secs(30), "{long:?}");
        }
        assert!(delay(Kind::Transient, 6, None) > delay(Kind::Transient, 2, None));
        let mean = (0..1000).map(|_| chance()).sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn a_registry_is_waited_for_as_it_asks_within_reason() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        let delay = |asked| delay(Kind::Busy, 2, asked).as_secs_f64();
        assert!((7.0..=7.7).contains(&delay(asked(7))));
        assert!(delay(asked(0)) >= 0.5, "our own delay is the least");
        assert!(delay(asked(86_400)) <= 66.0);

        let now: Timestamp = "2026-11-26T14:00:00Z".parse().expect("a time");
        assert_eq!(after(" 120 ", now), asked(120));
        assert_eq!(after("Thu, 26 Nov 2026 14:00:30 GMT", now), asked(30));
        assert_eq!(after("Thu, 26 Nov 2026 13:00:00 GMT", now), asked(0));
        for none in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(after(none, now), None, "{none}");
        }
    }

    #[test]
    fn a_registrys_words_are_short_and_without_its_state() {
        let failure = failure(Kind::Transient, "uploading", "registry", &answered(500));
        let text = failure.to_string();
        assert!(text.contains("500 words"), "{text}");
        assert!(!text.contains("SIGNED"), "{text}");
        assert!(shorten(&"ü".repeat(1000)).chars().count() <= REASON_MAX + 1);
    }
}
