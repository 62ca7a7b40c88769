//! `ms2m install`: what it makes, again and otherwise.

use serde_json::json;

use crate::place::{IMAGE, Place, told};

#[tokio::test(flavor = "multi_thread")]
async fn to_install_again_changes_nothing_and_upgrades() {
    let place = Place::empty().await;
    let first = place.install(&[]).await.expect_code(0);
    let lines = first.stdout.lines().count();
    assert_eq!(told(&first, "created").len(), lines, "{}", first.stdout);
    assert!(
        first.stdout.starts_with("customresourcedefinition"),
        "{}",
        first.stdout
    );
    let second = place.install(&[]).await.expect_code(0);
    assert_eq!(told(&second, "unchanged").len(), lines, "{}", second.stdout);
    let other = ["--replicas", "3", "--max-at-once", "9"];
    let third = place.install(&other).await.expect_code(0);
    assert_eq!(
        told(&third, "configured"),
        ["deployment.apps/ms2m-controller"]
    );
    let deployment = place.get("deployment ms2m-controller -n ms2m-system").await;
    assert_eq!(deployment["spec"]["replicas"], 3);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], IMAGE);
    let arguments = container["args"].to_string();
    assert!(arguments.contains("--max-at-once=9"), "{arguments}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_set_is_not_overwritten_unasked() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    place
        .kubectl("patch deployment ms2m-controller -n ms2m-system --field-manager=hand -p {\"spec\":{\"replicas\":4}}")
        .await;
    let refused = place.install(&[]).await.expect_code(3);
    for words in [
        ".spec.replicas",
        "hand",
        "--force-conflicts",
        "nothing was changed",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    let forced = place.install(&["--force-conflicts"]).await.expect_code(0);
    assert_eq!(
        told(&forced, "configured"),
        ["deployment.apps/ms2m-controller"]
    );
}

/// As the documentation has said for long: `ms2m crd | kubectl apply -f -`.
#[tokio::test(flavor = "multi_thread")]
async fn a_crd_that_was_there_is_taken_as_it_is() {
    let place = Place::empty().await;
    let crd = place.ms2m(&["crd"]).await.expect_code(0).stdout;
    place.world.kubectl_with(&["apply", "-f", "-"], &crd).await;
    let installed = place.install(&[]).await.expect_code(0);
    // It gets the label by which it is found again.
    assert!(
        told(&installed, "configured")[0].starts_with("customresourcedefinition"),
        "{}",
        installed.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_short_is_said_and_ended_by_the_next() {
    let place = Place::empty().await;
    let no = json!({
        "match": {"verb": "patch", "path": "/deployments/", "userAgent": "ms2m/"},
        "times": 1,
        "action": {"status": 403, "message": "not today"},
    });
    place.world.order_of_api(no).await;
    let short = place.install(&["-o", "json"]).await.expect_code(5);
    for words in ["not today", "install again to do the rest", "administrator"] {
        assert!(short.stderr.contains(words), "{words}: {}", short.stderr);
    }
    let result = short.json();
    assert_eq!(result["ready"], false);
    let done = result["objects"].as_array().map_or(0, Vec::len);
    let rest = place.install(&[]).await.expect_code(0);
    assert_eq!(told(&rest, "unchanged").len(), done, "{}", rest.stdout);
    assert_eq!(told(&rest, "created"), ["deployment.apps/ms2m-controller"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let place = Place::empty().await;
    let client = place
        .install(&["--dry-run=client", "--kubeconfig=/nowhere"])
        .await;
    let client = client.expect_code(0);
    let server = place.install(&["--dry-run=server"]).await.expect_code(0);
    assert_eq!(client.stdout.lines().count(), server.stdout.lines().count());
    assert!(
        server.stdout.contains("created (server dry run)"),
        "{}",
        server.stdout
    );
    for what in [
        "namespace ms2m-system",
        "clusterrole ms2m-controller",
        "crd statefulmigrations.migration.ms2m.io",
    ] {
        let nothing = place.try_kubectl(&format!("get {what}")).await;
        assert!(nothing.expect_err(what).contains("not found"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_was_there_is_left_as_it_is() {
    let place = Place::empty().await;
    place.kubectl("create namespace elsewhere").await;
    let there = ["--install-namespace", "elsewhere"];
    let installed = place.install(&there).await.expect_code(0);
    assert_eq!(told(&installed, "left as it is"), ["namespace/elsewhere"]);
    let namespace = place.get("namespace elsewhere").await;
    let labels = namespace["metadata"]["labels"].to_string();
    assert!(!labels.contains("pod-security"), "{labels}");
    let gone = place.ms2m(&[&["uninstall"], &there[..]].concat()).await;
    gone.expect_code(0);
    place.get("namespace elsewhere").await;
    let left = place
        .names("clusterroles -l app.kubernetes.io/instance=elsewhere")
        .await;
    assert!(left.is_empty(), "{left:?}");
}

/// The words are those of the kubelet.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_does_not_start_is_told_with_its_reason() {
    let place = Place::empty().await;
    let slow = ["install", "--image", IMAGE, "--timeout", "5s", "-o", "json"];
    let slow = place.ms2m(&slow).await.expect_code(10);
    assert_eq!(slow.json()["ready"], false, "{slow:?}");
    for words in [
        "does not serve after 5s",
        "pod ms2m-controller-",
        "Pull",
        IMAGE,
    ] {
        assert!(slow.stderr.contains(words), "{words}: {}", slow.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrong_is_said_before_anything_is_asked() {
    let place = Place::empty().await;
    let none = place.ms2m(&["install"]).await.expect_code(2);
    assert!(none.stderr.contains("--image"), "{}", none.stderr);
    let of_pod = place.install(&["-n", "shop"]).await.expect_code(2);
    assert!(
        of_pod.stderr.contains("--watch-namespace"),
        "{}",
        of_pod.stderr
    );
    let nowhere = place
        .install(&["--watch-namespace", "shop"])
        .await
        .expect_code(3);
    assert!(
        nowhere.stderr.contains("kubectl create namespace shop"),
        "{}",
        nowhere.stderr
    );
}
