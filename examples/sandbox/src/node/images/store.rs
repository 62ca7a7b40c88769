//! Which images a node has, and under which names. The files are written by the pull.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use oci_client::Reference;
use oci_client::secrets::RegistryAuth;

use super::pull::{Clients, PullError, pull};
use super::{Image, Localhost};

/// The images of one node.
#[derive(Debug)]
pub struct ImageStore {
    root: PathBuf,
    localhost: Localhost,
    clients: Clients,
    index: Mutex<Index>,
    /// The kubelet pulls one image after the other unless it is told otherwise.
    pulling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Index {
    /// By digest of the manifest.
    images: BTreeMap<String, Arc<Image>>,
    /// Whole references to digests. A tag that moved has left its old image without a name.
    names: BTreeMap<String, String>,
}

impl ImageStore {
    /// An empty store that keeps its files below `root`.
    pub fn new(root: &Path, localhost: Localhost) -> Self {
        Self {
            root: root.to_owned(),
            localhost,
            clients: Clients,
            index: Mutex::default(),
            pulling: tokio::sync::Mutex::default(),
        }
    }

    /// The loopback of the node.
    pub fn localhost(&self) -> &Localhost {
        &self.localhost
    }

    /// The image with this name (as a pod may write it), if the node has it.
    pub fn find(&self, name: &str) -> Option<Arc<Image>> {
        let index = self.lock();
        let reference = name.parse::<Reference>().ok()?;
        if let Some(digest) = index.names.get(&reference.whole()) {
            return index.images.get(digest).cloned();
        }
        // By digest also under another name of the same repository, but not without any.
        let digest = reference.digest()?;
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let named = index.names.iter().any(|(name, known)| {
            known == digest
                && name
                    .strip_prefix(&repository)
                    .is_some_and(|rest| rest.starts_with([':', '@']))
        });
        index.images.get(digest).filter(|_| named).cloned()
    }

    /// The image with this id, which has or has not the `sha256:` in front, whether or not it
    /// still has a name.
    pub fn find_by_id(&self, id: &str) -> Option<Arc<Image>> {
        let id = id.trim_start_matches("sha256:");
        let index = self.lock();
        let mut found = index
            .images
            .values()
            .filter(|image| image.id.trim_start_matches("sha256:") == id);
        let first = found.next()?;
        // Several manifests may share one configuration; one with a name is the better answer.
        let named =
            |image: &&Arc<Image>| index.names.values().any(|digest| *digest == image.digest);
        if named(&first) {
            return Some(first.clone());
        }
        Some(found.find(named).unwrap_or(first).clone())
    }

    /// The names of an image.
    pub fn names(&self, image: &Image) -> Vec<String> {
        let index = self.lock();
        index
            .names
            .iter()
            .filter(|(_, digest)| **digest == image.digest)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// All images, with their names.
    pub fn list(&self) -> Vec<(Arc<Image>, Vec<String>)> {
        let images: Vec<_> = self.lock().images.values().cloned().collect();
        images
            .into_iter()
            .map(|image| {
                let names = self.names(&image);
                (image, names)
            })
            .collect()
    }

    /// Pulls the image, also if there is one of that name, and gives it the name.
    ///
    /// # Errors
    /// When the registry refuses or fails, or the image is not for this machine or not whole.
    pub async fn pull(&self, name: &str, auth: &RegistryAuth) -> Result<Arc<Image>, PullError> {
        let reference: Reference = name.parse().map_err(|source| PullError::Name {
            name: name.to_owned(),
            source,
        })?;
        let _alone = self.pulling.lock().await;
        let known = |digest: &str| self.lock().images.get(digest).cloned();
        let place = self.localhost.place(&reference).await?;
        let from = place.as_ref().unwrap_or(&reference);
        let client = self.clients.of(from);
        let mut image = pull(client, &self.root, from, auth, known).await?;
        if place.is_some() {
            // It is known by the name that it was asked for by.
            let (host, path) = (reference.registry(), reference.repository());
            let repo_digest = format!("{host}/{path}@{}", image.digest);
            Arc::make_mut(&mut image).repo_digest = repo_digest;
        }
        let mut index = self.lock();
        index.names.insert(reference.whole(), image.digest.clone());
        index
            .images
            .insert(image.digest.clone(), Arc::clone(&image));
        Ok(image)
    }

    /// Forgets all images save those of these digests.
    pub fn collect(&self, in_use: &BTreeSet<String>) {
        let mut index = self.lock();
        index.images.retain(|digest, _| in_use.contains(digest));
        index.names.retain(|_, digest| in_use.contains(digest));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().expect("no holder panics")
    }
}
