//! The end of a sandbox, of whatever kind: nothing is left.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use rustix::process::Signal;

use super::support::{SANDBOX, Scene, World, pod, push_actor, wait_for};

/// Processes that have to do with a directory, by their arguments, their environment or what
/// they have mounted.
fn processes(directory: &Path) -> Vec<PathBuf> {
    let needle = directory.to_string_lossy().into_owned();
    let own = std::process::id().to_string();
    let traces = |process: &Path| {
        ["cmdline", "environ", "mountinfo"]
            .map(|file| fs::read(process.join(file)).unwrap_or_default())
            .concat()
    };
    fs::read_dir("/proc")
        .expect("is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| !process.ends_with(&own))
        .filter(|process| String::from_utf8_lossy(&traces(process)).contains(&needle))
        .collect()
}

/// Where the traces of a sandbox would be.
struct Traces {
    directory: PathBuf,
    addresses: Vec<String>,
}

impl Traces {
    fn of(world: &World) -> Self {
        let host = |url: &str| url.trim_start_matches("http://").to_owned();
        let addresses = ["registry", "managementUrl", "apiServer", "controlUrl"];
        Self {
            directory: world.text("dir").into(),
            addresses: addresses.map(|name| host(&world.text(name))).into(),
        }
    }

    fn listening(&self) -> usize {
        let connects = |address: &&String| TcpStream::connect(address.as_str()).is_ok();
        self.addresses.iter().filter(connects).count()
    }

    /// Sees to it that the checks below look at the right things.
    fn are_there(&self) {
        // Broker, port mapper, registry, janitor, and the pod's process.
        let processes = processes(&self.directory);
        assert!(processes.len() >= 5, "{processes:?}");
        assert!(self.directory.exists());
        assert_eq!(self.listening(), self.addresses.len());
    }

    async fn are_gone(&self) {
        wait_for("the end of processes, files and ports", async || {
            let gone = processes(&self.directory).is_empty()
                && !self.directory.exists()
                && self.listening() == 0;
            gone.then_some(())
        })
        .await;
    }
}

/// A sandbox with a running pod ends by a signal.
async fn ends_by(signal: Signal) {
    let world = Arc::new(World::start(&["--nodes", "node-a"]));
    let scene = Scene::in_world(Arc::clone(&world), "ending").await;
    let image = push_actor(&world, "ending").await;
    // One that would go on for ever.
    scene
        .create::<Pod>(pod("p", "node-a", &image, &["ignore"]))
        .await;
    scene.ready("p").await;
    let traces = Traces::of(&world);
    traces.are_there();
    world.signal(signal);
    traces.are_gone().await;
}

#[tokio::test]
async fn nothing_is_left_after_an_orderly_end() {
    ends_by(Signal::TERM).await;
}

#[tokio::test]
async fn nothing_is_left_after_a_violent_end() {
    ends_by(Signal::KILL).await;
}

#[test]
fn a_command_runs_in_a_sandbox_of_its_own() {
    let output = Command::new(SANDBOX)
        .args(["run", "--nodes", "node-a", "--", "sh", "-c"])
        .arg("echo $MS2M_SANDBOX_DIR; test -f $KUBECONFIG && exit 42")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let directory = String::from_utf8(output.stdout).expect("is text");
    assert!(!Path::new(directory.trim()).exists(), "{directory}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_started() {
    let directory = tempfile::tempdir().expect("can be made");
    fs::write(directory.path().join("precious"), "x").expect("can be written");
    let output = Command::new(SANDBOX)
        .args(["up", "--dir"])
        .arg(directory.path())
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("is not empty"), "{error}");
    assert!(directory.path().join("precious").exists());
    let output = Command::new(SANDBOX)
        .args(["up", "--nodes", "a,a"])
        .output()
        .expect("runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("twice"),
        "{error}"
    );
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let output = Command::new(SANDBOX)
        .arg("up")
        .env("PATH", "/nowhere")
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("apt-get install docker-registry"), "{error}");
}
