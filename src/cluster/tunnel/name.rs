//! Which Service a host name may mean to a pod of a namespace. Pure.

use std::fmt;
use std::net::IpAddr;

/// A Service, or one of its pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The one pod that is meant, by its host name: `rabbit-0` of `rabbit-0.rabbit.messaging.svc`.
    pub pod: Option<String>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service {}/{}", self.namespace, self.name)
    }
}

/// The Services that `host` may name in a pod of `namespace`, the likeliest first: as the cluster's
/// DNS and the search list of a pod's `/etc/resolv.conf` have it. None for addresses, and for names
/// that no Service can have.
#[must_use]
pub fn services_of(host: &str, namespace: &str) -> Vec<ServiceName> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let labels: Vec<&str> = host.split('.').collect();
    let is_address = host.parse::<IpAddr>().is_ok();
    if is_address || host == "localhost" || !labels.iter().all(|label| is_label(label)) {
        return Vec::new();
    }
    let service = |pod: Option<&str>, name: &str, namespace: &str| ServiceName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        pod: pod.map(str::to_owned),
    };
    match labels[..] {
        [name] => vec![service(None, name, namespace)],
        [first, second] => vec![
            service(None, first, second),
            service(Some(first), second, namespace),
        ],
        [name, namespace, "svc", ..] => vec![service(None, name, namespace)],
        [pod, name, namespace, "svc", ..] => vec![service(Some(pod), name, namespace)],
        _ => Vec::new(),
    }
}

/// Whether the name can mean nothing but a Service.
#[must_use]
pub(super) fn is_certain(host: &str) -> bool {
    host.split('.').skip(2).take(2).any(|label| label == "svc")
}

/// A label of RFC 1123, as the names of Services, namespaces and pods' hosts are.
fn is_label(text: &str) -> bool {
    let inner = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str) -> Vec<String> {
        let services = services_of(host, "shop").into_iter();
        let words = services.map(|it| {
            let pod = it.pod.map_or_else(String::new, |pod| format!("{pod}@"));
            format!("{pod}{}/{}", it.namespace, it.name)
        });
        words.collect()
    }

    #[test]
    fn names_mean_what_they_mean_in_a_pod() {
        for (host, services) in [
            ("rabbit", &["shop/rabbit"][..]),
            (
                "rabbit.messaging",
                &["messaging/rabbit", "rabbit@shop/messaging"],
            ),
            ("rabbit.messaging.svc", &["messaging/rabbit"]),
            ("rabbit.messaging.svc.", &["messaging/rabbit"]),
            ("rabbit.messaging.svc.cluster.local", &["messaging/rabbit"]),
            (
                "rabbit.messaging.svc.k8s.example.com",
                &["messaging/rabbit"],
            ),
            (
                "rabbit-0.rabbit.messaging.svc.cluster.local",
                &["rabbit-0@messaging/rabbit"],
            ),
        ] {
            assert_eq!(of(host), services, "{host}");
        }
    }

    #[test]
    fn other_names_and_addresses_mean_none() {
        for host in [
            "localhost",
            "127.0.0.1",
            "2001:db8::7",
            "mq.example.com",
            "mq.eu.example.com",
            "Rabbit_1",
            "-rabbit",
            "",
        ] {
            assert_eq!(of(host), <[&str; 0]>::default(), "{host}");
        }
    }

    #[test]
    fn only_svc_makes_a_name_certain() {
        assert!(is_certain("rabbit.messaging.svc"));
        assert!(is_certain("rabbit-0.rabbit.messaging.svc.cluster.local"));
        assert!(!is_certain("rabbit.messaging"));
        assert!(!is_certain("svc.svc"));
        assert!(!is_certain("mq.example.com"));
    }
}
