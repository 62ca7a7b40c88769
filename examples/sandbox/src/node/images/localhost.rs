//! A node's own loopback, as its runtime sees it. The nodes of a sandbox share the machine's, so the
//! host name `localhost` in an image's name leads to the node's address instead, where the pods in
//! its network listen.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use oci_client::Reference;

use super::pull::PullError;

/// Loopback of one node.
#[derive(Debug)]
pub struct Localhost {
    address: IpAddr,
    /// Whether the runtime speaks plain HTTP to it.
    insecure: AtomicBool,
    /// Whether it does so whatever it is told.
    always: bool,
}

impl Localhost {
    /// That of the node at `address`. containerd takes plain HTTP from localhost by itself, CRI-O only
    /// if `registries.conf` says so; a node is set up so that it does.
    pub fn new(address: IpAddr, always: bool) -> Self {
        Self {
            address,
            insecure: AtomicBool::new(true),
            always,
        }
    }

    /// What CRI-O's `registries.conf` has for `insecure`.
    pub fn set_insecure(&self, insecure: bool) {
        self.insecure.store(insecure, Ordering::Relaxed);
    }

    /// Where an image is pulled from that is named after localhost; nothing if it is not.
    ///
    /// # Errors
    /// When the runtime would speak HTTPS to what listens there, in its words.
    pub(super) async fn place(
        &self,
        reference: &Reference,
    ) -> Result<Option<Reference>, PullError> {
        let registry = reference.registry();
        let Some(port) = registry.strip_prefix("localhost:") else {
            return Ok(None);
        };
        let Ok(port) = port.parse() else {
            return Ok(None);
        };
        let place = SocketAddr::new(self.address, port);
        if !self.always && !self.insecure.load(Ordering::Relaxed) {
            let words = match tokio::net::TcpStream::connect(place).await {
                Ok(_) => "http: server gave HTTP response to HTTPS client".to_owned(),
                Err(_) => format!("dial tcp 127.0.0.1:{port}: connect: connection refused"),
            };
            return Err(PullError::Ordered(format!(
                "unable to pull image or OCI artifact: pull image err: initializing source docker://{}: pinging \
                 container registry {registry}: Get \"https://{registry}/v2/\": {words}",
                reference.whole()
            )));
        }
        let (repository, place) = (reference.repository().to_owned(), place.to_string());
        Ok(Some(match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Reference::with_digest(place, repository, digest.to_owned()),
            (None, tag) => {
                Reference::with_tag(place, repository, tag.unwrap_or("latest").to_owned())
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str) -> Reference {
        name.parse().expect("a reference")
    }

    #[tokio::test]
    async fn localhost_is_the_node_and_other_names_are_what_they_are() {
        let localhost = Localhost::new([127, 3, 2, 1].into(), false);
        let digest = format!("sha256:{}", "0".repeat(64));
        let named = reference(&format!("localhost:5351/ms2m/m@{digest}"));
        let place = localhost.place(&named).await.expect("it is insecure");
        let place = place.expect("it is named after localhost");
        assert_eq!(place.whole(), format!("127.3.2.1:5351/ms2m/m@{digest}"));
        let other = localhost.place(&reference("127.0.0.1:5351/m:1")).await;
        assert_eq!(other.expect("nothing to do"), None);
    }

    #[tokio::test]
    async fn a_runtime_that_was_not_told_speaks_https() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let address = listener.as_ref().expect("a port").local_addr();
        let port = address.expect("it is bound").port();
        let named = reference(&format!("localhost:{port}/m:1"));
        let cri_o = Localhost::new([127, 0, 0, 1].into(), false);
        cri_o.set_insecure(false);
        let error = cri_o.place(&named).await.expect_err("it was not told");
        assert!(
            error
                .to_string()
                .contains("server gave HTTP response to HTTPS client")
        );
        drop(listener);
        let error = cri_o.place(&named).await.expect_err("nobody listens");
        assert!(error.to_string().contains("connection refused"));
        let containerd = Localhost::new([127, 0, 0, 1].into(), true);
        containerd.set_insecure(false);
        assert!(containerd.place(&named).await.is_ok_and(|it| it.is_some()));
    }
}
