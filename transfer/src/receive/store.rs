//! What a receiver has: uploads under way, blobs and manifests. Everything is known by its digest
//! alone: whoever pulls has to know the digest of the manifest, which nobody can guess, and so what
//! is served on loopback is closed to other processes of the node.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use oci_client::manifest::OciImageManifest;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::vault::{Blob, Vault, Writer};
use crate::image::digest_name;

/// Everything that a receiver has.
pub(super) struct Store {
    vault: Arc<Vault>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    uploads: HashMap<String, Arc<Upload>>,
    blobs: HashMap<String, Arc<Blob>>,
    manifests: HashMap<String, Bytes>,
}

/// An upload that is open. The connection that feeds it may be dead without anybody knowing, so the
/// next request for it takes its place.
pub(super) struct Upload {
    /// `None` once it was completed or given up.
    pub(super) writer: tokio::sync::Mutex<Option<Writer>>,
    /// Counts the requests for it.
    turn: watch::Sender<u64>,
}

/// A request's turn at an upload.
pub(super) struct Turn {
    number: u64,
    turn: watch::Receiver<u64>,
}

/// Why something was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not what its digest says.
    Digest(String),
    /// It refers to what is not here, or cannot be read.
    Manifest(String),
    /// It cannot be kept.
    Disk(io::Error),
}

impl Store {
    pub(super) fn new(vault: Vault) -> Self {
        Self {
            vault: Arc::new(vault),
            state: Mutex::default(),
        }
    }

    /// Opens an upload, and gives its id.
    pub(super) fn open(&self) -> io::Result<String> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let upload = Upload {
            writer: tokio::sync::Mutex::new(Some(self.vault.begin()?)),
            turn: watch::Sender::new(0),
        };
        self.state().uploads.insert(id.clone(), Arc::new(upload));
        Ok(id)
    }

    /// The upload of that id.
    pub(super) fn upload(&self, id: &str) -> Option<Arc<Upload>> {
        self.state().uploads.get(id).cloned()
    }

    /// Begins an upload anew under its id.
    pub(super) fn begin_again(&self, writer: &mut Option<Writer>) -> io::Result<()> {
        *writer = Some(self.vault.begin()?);
        Ok(())
    }

    /// Forgets an upload.
    pub(super) fn close(&self, id: &str) {
        self.state().uploads.remove(id);
    }

    /// Takes a blob that is complete, if it is the one that `digest` says.
    pub(super) fn keep(&self, writer: Writer, digest: &str) -> Result<(), Refusal> {
        let (blob, sha256) = writer.finish().map_err(Refusal::Disk)?;
        let found = digest_name(&sha256);
        if found != digest {
            return Err(Refusal::Digest(format!(
                "what came has the digest {found}, not {digest}"
            )));
        }
        self.state().blobs.insert(found, Arc::new(blob));
        Ok(())
    }

    /// The blob with this digest.
    pub(super) fn blob(&self, digest: &str) -> Option<Arc<Blob>> {
        self.state().blobs.get(digest).cloned()
    }

    /// Takes a manifest, if it is the one that `digest` says and all its blobs are here.
    pub(super) fn keep_manifest(&self, bytes: Bytes, digest: &str) -> Result<(), Refusal> {
        let found = digest_name(&Sha256::digest(&bytes));
        if found != digest {
            return Err(Refusal::Digest(format!(
                "what came has the digest {found}, not {digest}; manifests have no tags here"
            )));
        }
        let manifest: OciImageManifest = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::Manifest(format!("it is no image manifest: {error}")))?;
        let mut state = self.state();
        let mut blobs = manifest.layers.iter().chain([&manifest.config]);
        if let Some(missing) = blobs.find(|blob| !state.blobs.contains_key(&blob.digest)) {
            let missing = &missing.digest;
            return Err(Refusal::Manifest(format!("blob {missing} is not here")));
        }
        state.manifests.insert(found, bytes);
        Ok(())
    }

    /// The manifest with this digest.
    pub(super) fn manifest(&self, digest: &str) -> Option<Bytes> {
        self.state().manifests.get(digest).cloned()
    }

    /// Nothing that holds this can panic half-way through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Takes the turn at this upload from whoever has it.
    pub(super) fn take_turn(&self) -> Turn {
        let mut number = 0;
        self.turn.send_modify(|turn| {
            *turn += 1;
            number = *turn;
        });
        Turn {
            number,
            turn: self.turn.subscribe(),
        }
    }
}

impl Turn {
    /// Resolves when another request has taken it.
    pub(super) async fn over(&mut self) {
        let mine = self.number;
        // The sender lives as long as the upload, which whoever waits here holds.
        let _ = self.turn.wait_for(|turn| *turn != mine).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let vault = Vault::new(directory.path().to_owned(), 1 << 20).expect("a vault");
        (directory, Store::new(vault))
    }

    fn writer(store: &Store, data: &[u8]) -> Writer {
        let id = store.open().expect("there is room");
        let upload = store.upload(&id).expect("it is open");
        let taken = upload.writer.try_lock().expect("nobody has it").take();
        let mut writer = taken.expect("it was not taken");
        writer.push(data).expect("there is room");
        writer
    }

    #[test]
    fn a_blob_is_what_its_digest_says_or_is_not_kept() {
        let (_directory, store) = store();
        let digest = digest_name(&Sha256::digest(b"data"));
        let refused = store.keep(writer(&store, b"other"), &digest);
        assert!(matches!(refused, Err(Refusal::Digest(_))));
        assert!(store.blob(&digest).is_none());
        store.keep(writer(&store, b"data"), &digest).expect("it is");
        assert!(store.blob(&digest).is_some());
    }

    #[test]
    fn a_manifest_without_its_blobs_is_refused() {
        let (_directory, store) = store();
        let digest = digest_name(&Sha256::digest(b"data"));
        let entry = serde_json::json!({"mediaType": "x/y", "size": 4, "digest": digest});
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": entry, "layers": [entry],
        });
        let manifest = Bytes::from(manifest.to_string());
        let name = digest_name(&Sha256::digest(&manifest));
        let refused = store.keep_manifest(manifest.clone(), &name);
        assert!(matches!(refused, Err(Refusal::Manifest(_))), "{refused:?}");
        store.keep(writer(&store, b"data"), &digest).expect("it is");
        let tagged = store.keep_manifest(manifest.clone(), "latest");
        assert!(matches!(tagged, Err(Refusal::Digest(_))), "{tagged:?}");
        store.keep_manifest(manifest, &name).expect("all is here");
        assert!(store.manifest(&name).is_some());
        assert!(store.manifest("latest").is_none());
    }

    #[tokio::test]
    async fn the_last_request_has_the_turn() {
        let (_directory, store) = store();
        let upload = store.upload(&store.open().expect("there is room"));
        let upload = upload.expect("it is open");
        let mut first = upload.take_turn();
        let second = upload.take_turn();
        first.over().await;
        let mut second = second;
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), second.over());
        assert!(waits.await.is_err());
    }
}
