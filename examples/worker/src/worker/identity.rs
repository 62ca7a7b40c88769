//! Who and where the process is. Both are read from files, anew each time: after a restore
//! the environment and `gethostname()` still tell the name of the pod that was left, and only
//! the files are the new pod's.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Name of the pod that the process is in now. A file that cannot be read or is empty falls
/// back to what the process believed before.
pub(super) fn pod_name(hostname_file: &Path, believed: &str) -> String {
    match std::fs::read_to_string(hostname_file) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) => believed.to_owned(),
        Err(error) => {
            tracing::warn!(file = %hostname_file.display(), %error, "pod name not readable");
            believed.to_owned()
        }
    }
}

/// The name that the environment gives: the pod that the process was first started in.
pub(super) fn name_in_environment() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}

/// The pod's own address, which its hosts file lists beside its name; all addresses when there
/// is no such line.
pub(super) fn pod_address(hosts_file: &Path, name: &str) -> IpAddr {
    std::fs::read_to_string(hosts_file)
        .ok()
        .and_then(|hosts| address_of(&hosts, name))
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn address_of(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|host| host == name).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    //! Tests of reading the two files.

    use super::*;

    #[test]
    fn the_address_is_that_of_the_line_with_the_name() {
        let hosts = "# managed\n127.0.0.1 localhost\nfe00::0 ip6-localnet\n\
                     10.1.2.3\tworker-0.svc worker-0 # worker-1\n";
        assert_eq!(address_of(hosts, "worker-0"), "10.1.2.3".parse().ok());
        assert_eq!(address_of(hosts, "worker-1"), None);
        assert_eq!(address_of("", "worker-0"), None);
    }

    #[test]
    fn a_missing_or_empty_file_leaves_the_name_as_it_was() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let file = dir.path().join("hostname");
        assert_eq!(pod_name(&file, "old"), "old");
        std::fs::write(&file, "\n").expect("writes");
        assert_eq!(pod_name(&file, "old"), "old");
        std::fs::write(&file, "new\n").expect("writes");
        assert_eq!(pod_name(&file, "old"), "new");
    }
}
