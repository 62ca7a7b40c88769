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
    let (name, tag) = text.rsplit_once(':').ok_or("it has no tag")?;
    if tag.contains('/') {
        return Err("it has no tag");
    }
    if !is_tag(tag) {
        return Err("its tag is not valid");
    }
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
    Ok(Reference::with_tag(
        host.to_owned(),
        repository,
        tag.to_owned(),
    ))
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
    repository.len() <= REPOSITORY_MAX && repository.split('/').all(is_component)
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
            assert_eq!(Ok(ours), Reference::try_from(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("host.example/{}:1", "a".repeat(256));
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
            &long_tag,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
