//! Image references, read without the client library's regular expression: compiling that one
//! takes 19 MiB, most of what the whole process has otherwise.
//!
//! The grammar is the distribution specification's; a name without a host belongs to Docker Hub,
//! as with every other client.

use oci_client::Reference;

/// Longest repository that the specification allows, in characters.
const REPOSITORY_MAX: usize = 255;

/// Longest tag that the specification allows, in characters.
const TAG_MAX: usize = 128;

/// Reads `[HOST[:PORT]/]REPOSITORY:TAG`.
///
/// # Errors
/// Says what is wrong, without repeating the text.
pub fn parse(text: &str) -> Result<Reference, &'static str> {
    // Whoever writes credentials into a reference should not find them in a log, either.
    if text.contains('@') {
        return Err("it has a digest or a user in it");
    }
    let (name, tag) = split_tag(text);
    let tag = tag.ok_or("it has no tag")?;
    let (host, repository) = named(name)?;
    if !is_tag(tag) {
        return Err("its tag is not valid");
    }
    Ok(Reference::with_tag(host, repository, tag.to_owned()))
}

/// Reads `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`, with the tag `latest` if there is neither.
///
/// # Errors
/// Says what is wrong, without repeating the text.
pub fn parse_any(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    let (host, repository) = named(name)?;
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not valid");
    }
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("what follows the @ is no digest");
    }
    Ok(match (tag, digest.map(str::to_owned)) {
        (tag, None) => Reference::with_tag(host, repository, tag.unwrap_or("latest").to_owned()),
        (None, Some(digest)) => Reference::with_digest(host, repository, digest),
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(host, repository, tag.to_owned(), digest)
        }
    })
}

/// What follows the last colon, unless that is the port of a host.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// Host and repository.
fn named(name: &str) -> Result<(String, String), &'static str> {
    let (host, repository) = split_host(name);
    if !is_host(host) {
        return Err("its host is not valid");
    }
    if !is_repository(repository) {
        return Err("its repository is not valid (lower case, digits, and . _ - / between them)");
    }
    let (host, repository) = match (host, repository) {
        ("docker.io" | "index.docker.io", official) if !official.contains('/') => {
            ("docker.io", format!("library/{official}"))
        }
        ("index.docker.io", repository) => ("docker.io", repository.to_owned()),
        (host, repository) => (host, repository.to_owned()),
    };
    if repository.len() > REPOSITORY_MAX {
        return Err("its repository is too long");
    }
    Ok((host.to_owned(), repository))
}

/// Only a first component that looks like one is a host.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, repository)) if host.contains(['.', ':']) || host == "localhost" => {
            (host, repository)
        }
        _ => ("docker.io", name),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address without a port ends in a bracket.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    (name.split('.').all(is_label) || address) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    // Not only a number: a sign may not be there.
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// Letters and digits, with `-` between them.
fn is_label(label: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes.iter().all(|byte| is_word(byte) || *byte == b'-')
}

fn is_repository(repository: &str) -> bool {
    repository.split('/').all(is_component)
}

/// Lower case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
    let bytes = component.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && component
            .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            .all(|separator| {
                matches!(separator, "" | "." | "_" | "__")
                    || separator.bytes().all(|byte| byte == b'-')
            })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// A digest of one of the specification's registered algorithms, in hexadecimal.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_the_library_reads() {
        for text in [
            "127.0.0.1:5000/shop/cp:1",
            "registry.example/a/b/c:v1.2-3_4",
            "registry.example:443/a__b/c.d/e---f:_x",
            "localhost/cp:1",
            "localhost:5000/cp:1",
            "docker.io/cp:1",
            "docker.io/me/cp:1",
            "index.docker.io/cp:1",
            "me/cp:1",
            "cp:1",
        ] {
            let ours = parse(text).expect(text);
            assert_eq!(Ok(&ours), Reference::try_from(text).as_ref(), "{text}");
            assert_eq!(Ok(ours), parse_any(text), "{text}");
        }
    }

    #[test]
    fn tag_and_digest_may_be_there_or_not() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let long = format!("sha512:{}", "0a".repeat(64));
        for text in [
            "cp".to_owned(),
            "localhost:5000/cp".to_owned(),
            format!("cp@{digest}"),
            format!("registry.example:5000/a/cp@{digest}"),
            format!("registry.example:5000/a/cp:1@{digest}"),
            format!("docker.io/cp:1@{long}"),
        ] {
            let library = Reference::try_from(text.as_str());
            assert_eq!(Ok(parse_any(&text).expect(&text)), library, "{text}");
        }
        for text in [
            format!("cp@{}", &digest[..40]),
            format!("cp@{digest}@{digest}"),
            format!("cp@md5:{}", "0a".repeat(16)),
            "me:hunter2@host.example/cp:1".to_owned(),
            "cp@".to_owned(),
            "cp:1 2".to_owned(),
            format!("@{digest}"),
            String::new(),
        ] {
            assert!(parse_any(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("host.example/{}:1", "a".repeat(256));
        // With what Docker Hub puts before it.
        let official = format!("{}:1", "a".repeat(250));
        let long_tag = format!("host.example/cp:{}", "1".repeat(129));
        for text in [
            "",
            ":",
            "cp",
            "host:5000/cp",
            "host.example/cp",
            "host.example/cp:",
            "host.example/cp:a b",
            "host.example/cp:-a",
            "host.example/Cp:1",
            "host.example/a//b:1",
            "host.example/a_-b:1",
            "host.example/a..b:1",
            "host.example/-a:1",
            "host.example/:1",
            "host..example/cp:1",
            "host.example./cp:1",
            "-host.example/cp:1",
            "host.example:port/cp:1",
            "host.example:+43/cp:1",
            "host.example:99999/cp:1",
            "http://host.example/cp:1",
            "me:hunter2@host.example/cp:1",
            "host.example/cp:1?x=y",
            &long,
            &official,
            &long_tag,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
