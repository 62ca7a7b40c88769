//! `ms2m uninstall`: what goes, what stays, and when nothing may go.

use crate::place::{Place, told};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_a_migration_needs_the_controller() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    for phase in ["", "Restoring"] {
        place.migration("busy").await;
        if !phase.is_empty() {
            place.phase("busy", phase).await;
        }
        let refused = place.ms2m(&["uninstall"]).await.expect_code(3);
        for words in [
            "default/busy",
            "ms2m abort busy -n default",
            "nothing was changed",
        ] {
            assert!(
                refused.stderr.contains(words),
                "{words}: {}",
                refused.stderr
            );
        }
        assert_eq!(refused.stdout, "");
        place.get("deployment ms2m-controller -n ms2m-system").await;
    }
    place.phase("busy", "Completed").await;
    // What has ended and cannot go by itself still needs it.
    let held =
        r#"patch sm busy --type=merge -p {"metadata":{"finalizers":["migration.ms2m.io/finish"]}}"#;
    place.kubectl(held).await;
    place.ms2m(&["uninstall"]).await.expect_code(3);
    place
        .kubectl(r#"patch sm busy --type=merge -p {"metadata":{"finalizers":null}}"#)
        .await;
    place.ms2m(&["uninstall"]).await.expect_code(0);
    place.get("sm busy").await;
    place.kubectl("delete sm busy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_but_the_crd_and_what_it_holds() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    place.migration("ended").await;
    place.phase("ended", "Completed").await;
    let gone = place.ms2m(&["uninstall"]).await.expect_code(0);
    let removed = told(&gone, "removed");
    assert_eq!(removed.first(), Some(&"deployment.apps/ms2m-controller"));
    assert_eq!(removed.last(), Some(&"namespace/ms2m-system"));
    place.get("sm ended").await;
    for kind in ["clusterroles", "clusterrolebindings", "namespaces"] {
        let ours = "-l app.kubernetes.io/managed-by=ms2m-install";
        let left = place.names(&format!("{kind} {ours}")).await;
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
    let again = place.ms2m(&["uninstall"]).await.expect_code(0);
    assert_eq!(again.stdout, "");
    assert!(
        again.stderr.contains("there is no controller"),
        "{}",
        again.stderr
    );

    let crd = place.ms2m(&["uninstall", "--crd"]).await.expect_code(0);
    assert_eq!(told(&crd, "removed").len(), 1, "{}", crd.stdout);
    let nothing = place.try_kubectl("get sm").await;
    nothing.expect_err("the kind is gone");
}

/// The command line goes on without a controller, but not without its journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_the_command_line_needs_the_crd_alone() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    place.migration("by-hand").await;
    place
        .kubectl("label sm by-hand migration.ms2m.io/driven-by=cli")
        .await;
    place.phase("by-hand", "Transferring").await;
    let refused = place.ms2m(&["uninstall", "--crd"]).await.expect_code(3);
    assert!(
        refused.stderr.contains("default/by-hand"),
        "{}",
        refused.stderr
    );
    place.ms2m(&["uninstall"]).await.expect_code(0);
    place.get("sm by-hand").await;
    place.kubectl("delete sm by-hand").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_what_is_not_the_controllers_stays() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    place
        .kubectl("create secret generic mine -n ms2m-system")
        .await;
    let gone = place.ms2m(&["uninstall"]).await.expect_code(0);
    assert!(gone.stderr.contains("secret/mine"), "{}", gone.stderr);
    place.get("secret mine -n ms2m-system").await;
    place.kubectl("delete secret mine -n ms2m-system").await;
    let rest = place.ms2m(&["uninstall"]).await.expect_code(0);
    assert_eq!(told(&rest, "removed"), ["namespace/ms2m-system"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_removes_nothing() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    let dry = ["uninstall", "--crd", "--dry-run=server"];
    let dry = place.ms2m(&dry).await.expect_code(0);
    assert!(
        dry.stdout
            .contains("namespace/ms2m-system removed (server dry run)"),
        "{}",
        dry.stdout
    );
    let again = place.install(&[]).await.expect_code(0);
    assert_eq!(
        told(&again, "unchanged").len(),
        again.stdout.lines().count()
    );
}
