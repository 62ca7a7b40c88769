//! A checkpoint that is kept can be looked into.

use std::path::PathBuf;

use crate::support::{App, Options, World};

/// The archive that a migration of `app` has left on its source node.
fn archive(app: &App) -> PathBuf {
    let node = app
        .world
        .places
        .dir
        .join("nodes")
        .join(&app.world.source_node);
    let directory = node.join("var/lib/kubelet/checkpoints");
    let files = std::fs::read_dir(directory).expect("a kubelet makes it");
    let mut found = files.flatten().map(|file| file.path());
    let is_ours = |path: &PathBuf| path.to_string_lossy().contains(&app.namespace);
    found.find(is_ours).expect("it was kept")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_kept_can_be_looked_into() {
    // The nodes' disks of a real cluster are elsewhere.
    if !World::get().is_sandbox() {
        return;
    }
    let app = App::start("kept", &Options::default()).await;
    app.migrate(&["--keep-checkpoint"]).await.expect_code(0);
    let archive = archive(&app);
    let shown = archive.display().to_string();
    let inspect = |format: &str| {
        let words = ["checkpoint", "inspect", "--output", format, &shown];
        words.map(str::to_owned)
    };
    let found = app.ms2m(&inspect("json")).await.expect_code(0).json();
    assert_eq!(found["pod"], app.pod.as_str(), "{found}");
    assert_eq!(found["namespace"], app.namespace.as_str(), "{found}");
    assert_eq!(found["container"], "worker", "{found}");
    assert_eq!(found["engine"], "CRI-O", "{found}");
    assert_eq!(found["runtime"], "runc", "{found}");
    assert_eq!(found["restored"], false, "{found}");
    let image = app.world.places.worker_image.as_str();
    assert_eq!(found["baseImage"]["requested"], image, "{found}");
    let bytes = archive.metadata().expect("it is there").len();
    assert_eq!(found["sizes"]["archive"], bytes, "{found}");
    assert!(found["sizes"]["state"].as_u64() > Some(0), "{found}");
    assert!(found["sizes"]["logs"].as_u64() > Some(0), "{found}");
    let mounts = found["mounts"].as_array().map_or(0, Vec::len);
    assert!(mounts > 0, "{found}");
    let table = app.ms2m(&inspect("table")).await.expect_code(0).stdout;
    let pod = format!("{}/{}", app.namespace, app.pod);
    assert!(table.contains(&pod), "{table}");
    app.end().await;
}
