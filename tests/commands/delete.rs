//! `ms2m delete`.

use serde_json::json;

use crate::stage::{Stage, begun, completed, manifest, rolled_back};

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_deleted_and_nothing_else() {
    let stage = Stage::set().await;
    let mut recent = completed();
    recent["completionTime"] = json!("2999-01-02T03:04:05Z");
    for (name, status) in [
        ("done", completed()),
        ("failed", rolled_back("image not known")),
        ("recent", recent),
        ("running", begun("Restoring", json!({}))),
    ] {
        stage.apply(&manifest(name)).await;
        stage.status(name, status).await;
    }
    let refused = stage
        .run(&["delete", "done", "running"])
        .await
        .expect_code(3);
    for words in ["running is under way", "ms2m abort running", "--force"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(
        stage.kubectl(&["get", "sm"]).await.contains("done"),
        "none is deleted"
    );
    let one = stage.run(&["delete", "done"]).await.expect_code(0);
    assert_eq!(one.stdout, "migration done deleted\n");
    let old = ["delete", "--older-than", "1d", "-o", "name"];
    assert_eq!(stage.run(&old).await.expect_code(0).stdout, "failed\n");
    let rest = ["delete", "--finished", "-o", "name"];
    assert_eq!(stage.run(&rest).await.expect_code(0).stdout, "recent\n");
    let none = stage.run(&["delete", "--finished"]).await.expect_code(0);
    assert!(none.stderr.contains("nothing to delete"), "{none:?}");
    let names = stage.kubectl(&["get", "sm", "-o", "name"]).await;
    assert_eq!(names.trim(), "statefulmigration.migration.ms2m.io/running");
    stage.run(&["delete", "unknown"]).await.expect_code(3);
    stage.end().await;
}

/// With force it goes once the controller has let it go, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn one_under_way_goes_once_the_controller_has_let_it_go() {
    let stage = Stage::set().await;
    let mut held = manifest("m");
    held["metadata"]["finalizers"] = json!(["migration.ms2m.io/finish"]);
    stage.apply(&held).await;
    stage.status("m", begun("Restoring", json!({}))).await;
    let at_once = ["delete", "m", "--force", "--wait=false"];
    let at_once = stage.run(&at_once).await.expect_code(0);
    assert_eq!(at_once.stdout, "migration m is being deleted\n");
    let delete = stage.start(&["delete", "m", "--force"]);
    delete.says("the controller rolls it back").await;
    delete.says("is still there").await;
    assert_ne!(
        stage.stored("m").await["metadata"]["deletionTimestamp"],
        json!(null)
    );
    stage.status("m", rolled_back("it is deleted")).await;
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    stage
        .kubectl(&["patch", "sm", "m", "--type=merge", "-p", patch])
        .await;
    let outcome = delete.outcome().await.expect_code(0);
    assert_eq!(outcome.stdout, "migration m deleted\n");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_s_records_are_deleted_only_at_their_end() {
    let stage = Stage::set().await;
    for (name, status) in [
        ("ended", completed()),
        ("running", begun("Restoring", json!({}))),
    ] {
        stage.config_map(name, status).await;
    }
    let refused = ["delete", "running", "--force"];
    let refused = stage.run(&refused).await.expect_code(3);
    assert!(refused.stderr.contains("ms2m abort running"), "{refused:?}");
    stage.run(&["delete", "ended"]).await.expect_code(0);
    let left = stage.kubectl(&["get", "configmaps", "-o", "name"]).await;
    assert!(
        left.contains("ms2m-running") && !left.contains("ms2m-ended"),
        "{left}"
    );
    stage.end().await;
}
