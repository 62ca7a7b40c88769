//! A private instance of Debian's `docker-registry`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tempfile::TempDir;

use super::{DEADLINE, block_on};

/// The user that a registry with authentication knows.
pub(crate) const USER: &str = "pusher";
/// That user's password.
pub(crate) const PASSWORD: &str = "correct horse";
/// The same as bcrypt, which is what the registry reads.
const HTPASSWD: &str = "pusher:$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n";

pub(crate) struct Registry {
    process: Child,
    address: String,
    directory: TempDir,
}

impl Registry {
    /// Starts a registry that anyone may write to.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a registry that wants [`USER`] and [`PASSWORD`].
    pub(crate) fn start_with_password() -> Self {
        Self::start_with("auth: {htpasswd: {realm: test, path: HTPASSWD}}\n")
    }

    fn start_with(extra: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("htpasswd"), HTPASSWD).expect("writes");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: for tests}}\n{}",
            path("data"),
            extra.replace("HTPASSWD", &path("htpasswd"))
        );
        std::fs::write(path("config.yml"), config).expect("writes");
        let mut process = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry runs; it is in Debian's package docker-registry");
        let log = process.stderr.take().expect("stderr is piped");
        let address = listening_address(log);
        Self {
            process,
            address,
            directory,
        }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    #[allow(dead_code, reason = "the benchmark asks how much it works")]
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The manifest's bytes, or `None` when there is none.
    pub(crate) fn manifest(&self, image: &str) -> Option<Vec<u8>> {
        let image = Reference::try_from(image).expect("a reference");
        let pull = async {
            client()
                .pull_manifest_raw(&image, &RegistryAuth::Anonymous, &[OCI_IMAGE_MEDIA_TYPE])
                .await
        };
        block_on(pull).ok().map(|(bytes, _)| bytes.to_vec())
    }

    /// Whether it has any blob in its storage.
    pub(crate) fn has_blobs(&self) -> bool {
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs");
        blobs.exists()
    }

    /// Uploads to `cp` that nobody completed or cancelled, as they lie in its storage. Of one that
    /// was cancelled a directory stays without the data.
    pub(crate) fn sessions(&self) -> usize {
        let repositories = self
            .directory
            .path()
            .join("data/docker/registry/v2/repositories");
        let uploads = repositories.join("cp/_uploads");
        let Ok(sessions) = std::fs::read_dir(uploads) else {
            return 0;
        };
        sessions
            .map_while(Result::ok)
            .filter(|session| session.path().join("data").exists())
            .count()
    }

    /// A blob of the repository that `image` is in. Its digest is verified.
    pub(crate) fn blob(&self, image: &str, digest: &str) -> Vec<u8> {
        let image = Reference::try_from(image).expect("a reference");
        let mut bytes = Vec::new();
        block_on(client().pull_blob(&image, digest, &mut bytes)).expect("the blob is there");
        bytes
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log until the registry says where it listens, and goes on reading it.
fn listening_address(log: impl std::io::Read + Send + 'static) -> String {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ") {
                let address = rest.split(['"', ' ']).next().unwrap_or_default();
                let _ = found.send(address.to_owned());
            }
        }
    });
    address
        .recv_timeout(DEADLINE)
        .expect("the registry says where it listens")
}

fn client() -> Client {
    Client::try_from(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    })
    .expect("a client")
}

/// Writes a `config.json` for one registry.
pub(crate) fn write_docker_config(directory: &Path, registry: &str, user: &str, password: &str) {
    use base64::Engine;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let config = format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#);
    std::fs::write(directory.join("config.json"), config).expect("writes");
}
