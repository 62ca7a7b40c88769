//! Where loopback is: as `/etc/hosts` says of `localhost`, which a runtime goes by too. No resolver
//! is asked; in an image made `FROM scratch` that would be the cluster's DNS.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The addresses of `localhost`, 127.0.0.1 if nothing says.
pub(super) fn addresses(hosts: &Path) -> Vec<IpAddr> {
    let text = std::fs::read_to_string(hosts).unwrap_or_default();
    let mut found = named(&text);
    if found.is_empty() {
        found.push(Ipv4Addr::LOCALHOST.into());
    }
    found
}

/// The loopback addresses that `hosts` calls `localhost`. Others are none that may be served on.
fn named(hosts: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        let Some(address) = address.filter(IpAddr::is_loopback) else {
            continue;
        };
        if words.any(|name| name == "localhost") && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_what_the_file_says_as_long_as_it_is_loopback() {
        let parsed = |text| {
            let found = named(text);
            let words: Vec<_> = found.iter().map(ToString::to_string).collect();
            words.join(" ")
        };
        assert_eq!(
            parsed("127.0.0.1 localhost\n::1 ip6 localhost # both\n127.0.0.1 x localhost\n"),
            "127.0.0.1 ::1"
        );
        assert_eq!(
            parsed("10.0.0.7 localhost\n127.0.0.1 other\n# 127.0.0.2 localhost"),
            ""
        );
        let none = addresses(Path::new("/nonexistent"));
        assert_eq!(none, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }
}
