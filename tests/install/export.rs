//! What `ms2m install --export` prints.

use crate::place::{Place, file, told};

#[tokio::test(flavor = "multi_thread")]
async fn the_export_is_the_example_and_asks_no_cluster() {
    let place = Place::empty().await;
    let nowhere = ["install", "--export", "--kubeconfig", "/nowhere"];
    let printed = place.ms2m(&nowhere).await.expect_code(0);
    let committed = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/manifests/controller.yaml"
    ));
    assert!(
        printed.stdout == committed.expect("it can be read"),
        "MS2M_UPDATE=1 cargo test --workspace --test generated"
    );
    assert_eq!(printed.stderr, "");
    let nothing = place.try_kubectl("get namespace ms2m-system").await;
    assert!(nothing.expect_err("it is not there").contains("not found"));
}

/// As GitOps does it; and what it has applied is what `ms2m install` takes for its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_export_applies() {
    let place = Place::empty().await;
    let image = "127.0.0.1:1/ms2m:1";
    let printed = place.ms2m(&["install", "--export", "--image", image]).await;
    let manifests = file(&printed.expect_code(0).stdout);
    let path = manifests.path().display();
    // A namespace that does not stay is none for what comes into it.
    place.kubectl("create namespace ms2m-system").await;
    place
        .kubectl(&format!("apply --dry-run=server -f {path}"))
        .await;
    place.kubectl("delete namespace ms2m-system").await;

    place
        .kubectl(&format!("apply --server-side -f {path}"))
        .await;
    let budget = place.get("pdb ms2m-controller -n ms2m-system").await;
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let namespace = place.get("namespace ms2m-system").await;
    let level = "pod-security.kubernetes.io/enforce";
    assert_eq!(namespace["metadata"]["labels"][level], "restricted");
    // The pods are made, so the level lets them.
    crate::support::eventually("there are two pods", async || {
        let pods = place.names("pods -n ms2m-system").await;
        (pods.len() == 2).then_some(())
    })
    .await;

    let again = place.install(&[]).await.expect_code(0);
    let unchanged = told(&again, "unchanged");
    assert_eq!(
        unchanged.len(),
        again.stdout.lines().count(),
        "{}",
        again.stdout
    );
    place.ms2m(&["uninstall"]).await.expect_code(0);
    let nothing = place.try_kubectl("get namespace ms2m-system").await;
    nothing.expect_err("what kubectl has applied goes as well");
}
