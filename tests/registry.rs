//! The adapter to registries, against Debian's `docker-registry`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ms2m::migration::error::PortError;
use ms2m::migration::ports::Registry as _;
use ms2m::registry::OciRegistry;
use ms2m_transfer::annotation::RESTORE_KEYS;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tempfile::TempDir;

const USER: &str = "pusher";
const PASSWORD: &str = "correct horse";
/// The same as bcrypt, which is what the registry reads.
const HTPASSWD: &str = "pusher:$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n";

struct Process {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Process {
    fn start(deletions: bool, password: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("htpasswd"), HTPASSWD).expect("written");
        let auth = if password {
            format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                path("htpasswd")
            )
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: {deletions}}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: for tests}}\n{auth}",
            path("data"),
        );
        std::fs::write(path("config.yml"), config).expect("written");
        let mut child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry runs; it is in Debian's package docker-registry");
        let log = child.stderr.take().expect("stderr is piped");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address = rest.split(['"', ' ']).next().unwrap_or_default();
                    let _ = found.send(address.to_owned());
                }
            }
        });
        let address = address
            .recv_timeout(Duration::from_secs(20))
            .expect("the registry says where it listens");
        Self {
            child,
            address,
            dir,
        }
    }

    /// An adapter that has `config` for its Docker configuration.
    fn adapter(&self, password: Option<&str>) -> OciRegistry {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let auths = password.map_or_else(String::new, |password| {
            format!(
                r#""{}":{{"username":"{USER}","password":"{password}"}}"#,
                self.address
            )
        });
        let config = format!(r#"{{"auths":{{{auths}}}}}"#);
        let dir = self.dir.path().join(password.unwrap_or("anonymous"));
        std::fs::create_dir_all(&dir).expect("made");
        std::fs::write(dir.join("config.json"), config).expect("written");
        OciRegistry::new(true)
            .expect("a client")
            .with_docker_config(dir)
    }

    /// Digest of the layer of the image with that tag.
    fn layer(&self, tag: &str) -> String {
        ImageLayer::oci_v1(tag.as_bytes().to_vec(), None).sha256_digest()
    }

    /// What it answers to the question for a blob.
    async fn status_of_blob(&self, digest: &str) -> u16 {
        let url = format!("http://{}/v2/checkpoints/blobs/{digest}", self.address);
        let answer = reqwest::Client::new().head(url).send().await;
        answer.expect("it answers").status().as_u16()
    }

    /// Pushes a small image and answers its name.
    async fn push(&self, tag: &str, annotations: &[&str], auth: &RegistryAuth) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let name = format!("{}/checkpoints:{tag}", self.address);
        let reference: Reference = name.parse().expect("a reference");
        let client = Client::try_from(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        })
        .expect("a client");
        let layers = [ImageLayer::oci_v1(tag.as_bytes().to_vec(), None)];
        let config = Config::oci_v1(b"{}".to_vec(), None);
        let annotations: BTreeMap<_, _> = annotations
            .iter()
            .map(|key| ((*key).to_owned(), "main".to_owned()))
            .collect();
        let manifest = OciImageManifest::build(&layers, &config, Some(annotations));
        client
            .push(&reference, &layers, config, auth, Some(manifest))
            .await
            .expect("pushed");
        name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_checkpoint_is_known_by_its_annotations_and_can_be_deleted() {
    let process = Process::start(true, false);
    let registry = process.adapter(None);
    let anonymous = RegistryAuth::Anonymous;
    let checkpoint = process.push("m1", &RESTORE_KEYS, &anonymous).await;
    let ordinary = process.push("web", &RESTORE_KEYS[..1], &anonymous).await;

    let found = registry.image(&checkpoint).await.expect("an answer");
    let found = found.expect("it is there");
    assert!(found.is_checkpoint);
    let by_digest = format!("{}/checkpoints@{}", process.address, found.digest);
    assert_eq!(
        registry.image(&by_digest).await.expect("an answer"),
        Some(found)
    );
    let other = registry.image(&ordinary).await.expect("an answer");
    assert!(
        !other.expect("it is there").is_checkpoint,
        "one key is not enough"
    );

    let layer = process.layer("m1");
    assert_eq!(process.status_of_blob(&layer).await, 200);
    registry.delete(&by_digest).await.expect("deleted");
    assert_eq!(registry.image(&checkpoint).await.expect("an answer"), None);
    assert_eq!(process.status_of_blob(&layer).await, 404, "its layer");
    let other = registry.image(&ordinary).await.expect("an answer");
    assert!(other.is_some(), "another image");
    registry.delete(&by_digest).await.expect("gone is gone");
    registry.delete(&ordinary).await.expect("by tag too");
    registry.delete(&ordinary).await.expect("gone is gone");
}

#[tokio::test]
async fn a_registry_without_deletions_says_so() {
    let process = Process::start(false, false);
    let name = process
        .push("m1", &RESTORE_KEYS, &RegistryAuth::Anonymous)
        .await;
    let end = process.adapter(None).delete(&name).await;
    let Err(PortError::Denied(words)) = end else {
        panic!("{end:?}");
    };
    assert!(words.contains("does not allow deletions"), "{words}");
}

#[tokio::test]
async fn credentials_come_from_docker_s_configuration_and_never_show() {
    let process = Process::start(true, true);
    let right = RegistryAuth::Basic(USER.into(), PASSWORD.into());
    let name = process.push("m1", &RESTORE_KEYS, &right).await;
    for wrong in [None, Some("wrong-password")] {
        let end = process.adapter(wrong).image(&name).await;
        let Err(PortError::Denied(words)) = end else {
            panic!("{end:?}");
        };
        assert!(!words.contains("wrong-password"), "{words}");
    }
    let registry = process.adapter(Some(PASSWORD));
    assert!(registry.image(&name).await.expect("an answer").is_some());
    registry.delete(&name).await.expect("deleted");
    assert_eq!(registry.image(&name).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unreachable() {
    let mut process = Process::start(true, false);
    let registry = process.adapter(None);
    let name = format!("{}/checkpoints:m1", process.address);
    process.child.kill().expect("killed");
    process.child.wait().expect("ended");
    let end = registry.image(&name).await;
    assert!(matches!(end, Err(PortError::Unreachable(_))), "{end:?}");
    let end = registry.image("not a name").await;
    assert!(matches!(end, Err(PortError::Invalid(_))), "{end:?}");
}
