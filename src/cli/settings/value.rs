//! How a value is read from text, wherever the text comes from, and how it is shown.
//!
//! The same functions serve as clap's value parsers, so a flag, an annotation and a line of the
//! configuration file accept the same and refuse it in the same words.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use url::Url;

use crate::api::{Compression, Handoff, StaleIdentity, Strategy};

/// Text that may hold a password. It is read late, by code whose messages do not quote it, and
/// not by clap, whose messages do.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Takes any text.
///
/// # Errors
/// None; the type is clap's.
pub fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret(text.to_owned()))
}

/// Takes any text, the empty one included.
///
/// # Errors
/// None; the type is clap's.
pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Takes any text but the empty one.
///
/// # Errors
/// The text is empty.
pub fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// Takes a repository, as `registry.example.com/checkpoints`.
///
/// # Errors
/// It is empty, or has a scheme, a digest or a tag.
pub fn repository(text: &str) -> Result<String, String> {
    let repository = name(text)?;
    let last = repository.rsplit('/').next().unwrap_or_default();
    if repository.contains("://") {
        Err("leave the scheme out, as in registry.example.com/checkpoints".to_owned())
    } else if repository.contains('@') {
        Err("leave the digest out: every checkpoint gets its own".to_owned())
    } else if repository.contains('/') && last.contains(':') {
        Err("leave the tag out: every checkpoint gets its own".to_owned())
    } else {
        Ok(repository)
    }
}

/// Takes `true` or `false`.
///
/// # Errors
/// It is neither.
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("it is true or false".to_owned()),
    }
}

/// Takes the port of a direct transfer, of which the next one has to be a port as well.
///
/// # Errors
/// It is none that anybody may listen on.
pub fn direct_port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port @ 1024..=65_534) => Ok(port),
        _ => Err("it is a port from 1024 to 65534".to_owned()),
    }
}

/// Takes a duration: `120` (seconds), `120s`, `2m`, `1m30s`, `500ms`.
///
/// # Errors
/// It is none, or negative, or longer than a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = text.trim();
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let parsed: Result<SignedDuration, _> = if plain {
        format!("{text}s").parse()
    } else {
        text.parse()
    };
    let parsed =
        parsed.map_err(|_| "it is a duration such as 120, 120s, 2m or 1m30s".to_owned())?;
    let duration =
        Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())?;
    if duration > DAY {
        return Err("it is longer than a day".to_owned());
    }
    Ok(duration)
}

/// Takes a duration that may be long: as [`duration`] does, or in days, as `7d`.
///
/// # Errors
/// It is none.
pub fn long_duration(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    let text = text.trim();
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days, rest),
        None if text.is_empty() => ("", ""),
        None => ("0", text),
    };
    let parsed = days.parse::<u32>().ok().and_then(|days| {
        let days = Duration::from_secs(u64::from(days) * DAY);
        if rest.is_empty() {
            return Some(days);
        }
        let seconds = rest
            .parse::<u32>()
            .ok()
            .map(|it| SignedDuration::from_secs(it.into()));
        let rest = seconds.or_else(|| rest.parse().ok())?;
        days.checked_add(Duration::try_from(rest).ok()?)
    });
    parsed.ok_or_else(|| "it is a duration such as 90s, 12h, 7d or 1d12h".to_owned())
}

/// Shows a duration the way that [`duration`] reads it.
#[must_use]
pub fn show_duration(duration: &Duration) -> String {
    SignedDuration::try_from(*duration)
        .map(|signed| format!("{signed:#}").replace(' ', ""))
        .unwrap_or_else(|_| format!("{}s", duration.as_secs()))
}

/// Takes a strategy in any case, with or without a dash.
///
/// # Errors
/// There is no such strategy.
pub fn strategy(text: &str) -> Result<Strategy, String> {
    match text.to_lowercase().replace('-', "").as_str() {
        "shadowpod" => Ok(Strategy::ShadowPod),
        "sequential" => Ok(Strategy::Sequential),
        _ => Err("it is ShadowPod or Sequential".to_owned()),
    }
}

/// Takes a handoff in any case.
///
/// # Errors
/// There is no such handoff.
pub fn handoff(text: &str) -> Result<Handoff, String> {
    match text.to_lowercase().as_str() {
        "gate" => Ok(Handoff::Gate),
        "mirror" => Ok(Handoff::Mirror),
        _ => Err("it is gate or mirror".to_owned()),
    }
}

/// Shows a handoff the way that [`handoff`] reads it.
#[must_use]
pub fn show_handoff(handoff: &Handoff) -> String {
    handoff.to_string().to_lowercase()
}

/// Takes what to do about a stale identity, in any case, with or without a dash.
///
/// # Errors
/// There is no such choice.
pub fn stale_identity(text: &str) -> Result<StaleIdentity, String> {
    match text.to_lowercase().replace('-', "").as_str() {
        "rollback" => Ok(StaleIdentity::RollBack),
        "stopsource" => Ok(StaleIdentity::StopSource),
        _ => Err("it is roll-back or stop-source".to_owned()),
    }
}

/// Shows what to do about a stale identity the way that [`stale_identity`] reads it.
#[must_use]
pub fn show_stale_identity(choice: &StaleIdentity) -> String {
    match choice {
        StaleIdentity::RollBack => "roll-back",
        StaleIdentity::StopSource => "stop-source",
    }
    .to_owned()
}

/// Takes a compression.
///
/// # Errors
/// There is no such compression.
pub fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "zstd" => Ok(Compression::Zstd),
        "gzip" => Ok(Compression::Gzip),
        "none" => Ok(Compression::None),
        "auto" => Ok(Compression::Auto),
        _ => Err("it is zstd, gzip, none or auto".to_owned()),
    }
}

/// Shows a compression the way that [`compression`] reads it.
#[must_use]
pub fn show_compression(compression: &Compression) -> String {
    match compression {
        Compression::Zstd => "zstd",
        Compression::Gzip => "gzip",
        Compression::None => "none",
        Compression::Auto => "auto",
    }
    .to_owned()
}

/// Takes the URL of the management API. Does not quote it, since it may hold a password.
///
/// # Errors
/// It is no URL, or one of something else than HTTP.
pub fn management_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| {
        format!("the URL is malformed ({error}); it looks like http://HOST:15672")
    })?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("the URL must begin with http:// or https://".to_owned())
    }
}

/// Shows a URL without user and password.
#[must_use]
pub fn show_url(url: &Url) -> String {
    let mut url = url.clone();
    // Neither can fail on an HTTP URL.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Takes the name of a pod as kubectl does: `worker-0` or `pod/worker-0`.
///
/// # Errors
/// It is another kind of object, or no name.
pub fn pod(text: &str) -> Result<String, String> {
    let pod = match text.split_once('/') {
        None => text,
        Some(("pod" | "pods" | "po", pod)) => pod,
        Some((kind, _)) => return Err(format!("only a pod can be moved, not a '{kind}'")),
    };
    object_name(pod, "a pod")
}

/// Takes the name of a node as kubectl does: `node-a` or `node/node-a`.
///
/// # Errors
/// It is another kind of object, or no name.
pub fn node(text: &str) -> Result<String, String> {
    let node = match text.split_once('/') {
        None => text,
        Some(("node" | "nodes" | "no", node)) => node,
        Some((kind, _)) => return Err(format!("only a node can be emptied, not a '{kind}'")),
    };
    object_name(node, "a node")
}

/// Takes the name of a migration as kubectl does: `NAME` or `sm/NAME`.
///
/// # Errors
/// It is no name.
pub fn migration(text: &str) -> Result<String, String> {
    let name = text
        .split_once('/')
        .filter(|(kind, _)| kind.starts_with("sm") || kind.starts_with("statefulmigration"))
        .map_or(text, |(_, name)| name);
    migration_name(name)
}

/// Takes the bare name of a migration.
///
/// # Errors
/// It is no name.
pub fn migration_name(name: &str) -> Result<String, String> {
    if name.len() > 63 {
        return Err("a migration's name is at most 63 characters long".to_owned());
    }
    object_name(name, "a migration")
}

/// RFC 1123 subdomain, as Kubernetes wants names.
fn object_name(name: &str, what: &str) -> Result<String, String> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= 253
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name
            .chars()
            .all(|c| alphanumeric(c) || c == '-' || c == '.');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "the name of {what} has lower-case letters, digits, '-' and '.' only"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("120", 120_000),
            ("120s", 120_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("500ms", 500),
            ("0", 0),
            ("1.5", 1_500),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "soon", "-1s", "2 parsecs", "25h", "1..5", "."] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_durations_may_have_days() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("36h", 129_600),
            ("90", 90),
            ("1m30s", 90),
        ] {
            assert_eq!(
                long_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "d", "-1d", "x", "7d-1h", "1.5d"] {
            assert!(long_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_shown_can_be_read_again() {
        for milliseconds in [0, 1, 500, 1_000, 1_500, 90_000, 120_000, 86_400_000] {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(duration(&show_duration(&value)), Ok(value));
        }
        assert_eq!(show_duration(&Duration::from_millis(90_500)), "1m30s500ms");
    }

    #[test]
    fn pods_are_named_as_kubectl_names_them() {
        for text in ["worker-0", "pod/worker-0", "pods/worker-0", "po/worker-0"] {
            assert_eq!(pod(text), Ok("worker-0".to_owned()));
        }
        for text in ["", "pod/", "deployment/worker", "Worker", "a/b/c", "-x"] {
            assert!(pod(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_repository_has_neither_scheme_nor_tag_nor_digest() {
        for text in [
            "reg.example.com/cp",
            "localhost:5000/cp",
            "127.0.0.1:5000/a/b",
        ] {
            assert_eq!(repository(text), Ok(text.to_owned()));
        }
        for text in ["", "https://reg/cp", "reg/cp:1", "reg/cp@sha256:00"] {
            assert!(repository(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_management_url_is_shown_without_its_user() {
        let url = management_url("http://u:hunter2@mq:15672").expect("it is right");
        assert_eq!(show_url(&url), "http://mq:15672/");
        for text in ["mq:15672", "ftp://u:hunter2@mq", "http://u:hunter2@"] {
            let error = management_url(text).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_choice_that_is_shown_can_be_read_again() {
        for choice in [Handoff::Gate, Handoff::Mirror] {
            assert_eq!(handoff(&show_handoff(&choice)), Ok(choice));
            assert_eq!(handoff(&choice.to_string()), Ok(choice), "as in a resource");
        }
        for choice in [StaleIdentity::RollBack, StaleIdentity::StopSource] {
            assert_eq!(stale_identity(&show_stale_identity(&choice)), Ok(choice));
            assert_eq!(stale_identity(&format!("{choice:?}")), Ok(choice));
        }
    }

    #[test]
    fn other_values_are_refused_with_the_choice() {
        assert_eq!(strategy("shadow-pod"), Ok(Strategy::ShadowPod));
        assert_eq!(strategy("Sequential"), Ok(Strategy::Sequential));
        assert!(strategy("fast").is_err());
        for given in [
            Compression::Zstd,
            Compression::Gzip,
            Compression::None,
            Compression::Auto,
        ] {
            assert_eq!(compression(&show_compression(&given)), Ok(given));
        }
        assert!(compression("zip").is_err());
        assert!(handoff("fan-out").is_err());
        assert!(stale_identity("ignore").is_err());
        assert!(flag("yes").is_err());
        assert_eq!(migration("sm/x-1"), Ok("x-1".to_owned()));
        assert!(migration(&"x".repeat(64)).is_err());
    }
}
