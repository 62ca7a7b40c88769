//! The one cluster of these tests, for one of them at a time: each begins with a cluster in which
//! nothing is installed.

use std::io::Write as _;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::cli::{self, Outcome};
use crate::support::{World, eventually};

/// An image that no registry has. What is asked of the Deployment here does not take its pods.
pub(crate) const IMAGE: &str = "127.0.0.1:1/ms2m:1";

static ALONE: Mutex<()> = Mutex::const_new(());

/// The cluster, for one test.
pub(crate) struct Place {
    pub(crate) world: &'static World,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    /// With nothing installed.
    pub(crate) async fn empty() -> Self {
        let alone = ALONE.lock().await;
        let place = Self {
            world: World::get(),
            _alone: alone,
        };
        let _ = place
            .world
            .try_kubectl(&["delete", "statefulmigrations", "-A", "--all"], "")
            .await;
        for namespace in ["ms2m-system", "elsewhere"] {
            let place_of = ["--install-namespace", namespace];
            place
                .ms2m(&[&["uninstall", "--crd"], &place_of[..]].concat())
                .await
                .expect_code(0);
        }
        for namespace in ["ms2m-system", "elsewhere", "shop"] {
            let delete = ["delete", "namespace", namespace, "--ignore-not-found"];
            place.world.kubectl(&delete).await;
        }
        place
    }

    pub(crate) async fn ms2m(&self, arguments: &[&str]) -> Outcome {
        cli::start(self.world, arguments, &[]).outcome().await
    }

    /// `ms2m install` with an image, without waiting for its pods.
    pub(crate) async fn install(&self, more: &[&str]) -> Outcome {
        let common = ["install", "--image", IMAGE, "--wait=false"];
        self.ms2m(&[&common[..], more].concat()).await
    }

    pub(crate) async fn kubectl(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.world.kubectl(&arguments).await
    }

    pub(crate) async fn try_kubectl(&self, arguments: &str) -> Result<String, String> {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.world.try_kubectl(&arguments, "").await
    }

    pub(crate) async fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&format!("get {what} -o json")).await;
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// Names of what `what` lists, as `clusterroles -l a=b`.
    pub(crate) async fn names(&self, what: &str) -> Vec<String> {
        let list = self.get(what).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let name = |it: &Value| {
            it["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        items.iter().map(name).collect()
    }

    /// Whether `who` may: `get pods -n shop`, as `kubectl auth can-i` sees it.
    pub(crate) async fn may(&self, who: &str, what: &str) -> bool {
        let answer = self
            .try_kubectl(&format!("auth can-i {what} --as={who}"))
            .await;
        // A no is also an exit code, and what kubectl then prints on stderr is not for us.
        answer.is_ok_and(|words| words.trim() == "yes")
    }

    /// A migration of a pod that is not there, applied from the example.
    pub(crate) async fn migration(&self, name: &str) {
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/manifests/migration.yaml"
        );
        let text = std::fs::read_to_string(example).expect("it can be read");
        let mut manifest: Value = serde_yaml::from_str(&text).expect("it is YAML");
        manifest["metadata"]["name"] = name.into();
        let text = manifest.to_string();
        eventually("the CRD is served", async || {
            let applied = self.world.try_kubectl(&["apply", "-f", "-"], &text).await;
            applied.ok()
        })
        .await;
    }

    /// Writes a status as the controller would.
    pub(crate) async fn phase(&self, migration: &str, phase: &str) {
        let patch = format!(r#"{{"status":{{"phase":"{phase}"}}}}"#);
        let arguments = [
            "patch",
            "sm",
            migration,
            "--subresource=status",
            "--type=merge",
            "-p",
        ];
        self.world
            .kubectl(&[&arguments[..], &[&patch]].concat())
            .await;
    }
}

/// A file with this text, for `kubectl apply -f`.
pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

/// The objects that a run has told of with this word, without the rest of the line.
pub(crate) fn told<'a>(outcome: &'a Outcome, word: &str) -> Vec<&'a str> {
    outcome
        .stdout
        .lines()
        .filter(|line| line.ends_with(word))
        .filter_map(|line| line.split(' ').next())
        .collect()
}
