//! `ms2m retry`.

use serde_json::json;

use crate::stage::{Stage, begun, completed, manifest, rolled_back};

#[tokio::test(flavor = "multi_thread")]
async fn what_has_failed_is_tried_again_under_another_name() {
    let stage = Stage::set().await;
    let mut before = manifest("m");
    before["spec"]["abort"] = json!(true);
    stage.apply(&before).await;
    stage.status("m", rolled_back("it was aborted")).await;
    let retry = stage.start(&[
        "retry",
        "m",
        "--new-name",
        "m-again",
        "--watch",
        "-o",
        "json",
    ]);
    retry.says("you may safely stop waiting").await;
    let new = stage.stored("m-again").await;
    let mut spec = before["spec"].clone();
    spec.as_object_mut().expect("an object").remove("abort");
    spec["messageQueueConfig"]["routingKey"] = json!("");
    assert_eq!(new["spec"], spec);
    assert_eq!(
        new["metadata"]["annotations"]["migration.ms2m.io/retry-of"],
        "m"
    );
    // One at a time.
    let twice = stage.run(&["retry", "m"]).await.expect_code(3);
    assert!(
        twice.stderr.contains("m-again, which is under way"),
        "{twice:?}"
    );
    let under_way = stage.run(&["retry", "m-again"]).await.expect_code(3);
    assert!(
        under_way.stderr.contains("ms2m watch m-again"),
        "{under_way:?}"
    );
    stage.status("m-again", completed()).await;
    let outcome = retry.outcome().await.expect_code(0).json();
    assert_eq!(outcome["migration"], "m-again");
    let done = stage.run(&["retry", "m-again"]).await.expect_code(3);
    assert!(done.stderr.contains("has not failed"), "{done:?}");
    let shown = stage.run(&["status", "m-again"]).await.expect_code(0);
    assert!(shown.stdout.contains("Retry of  m"), "{shown:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_command_line_s_it_says_what_to_type() {
    let stage = Stage::set().await;
    let mut by_cli = manifest("m");
    by_cli["metadata"]["labels"] = json!({"migration.ms2m.io/driven-by": "cli"});
    stage.apply(&by_cli).await;
    stage.status("m", begun("Restoring", json!({}))).await;
    stage.run(&["retry", "m"]).await.expect_code(3);
    stage.status("m", rolled_back("image not known")).await;
    let refused = stage.run(&["retry", "pod/worker-0"]).await.expect_code(3);
    let typed = format!("ms2m migrate worker-0 --to node-b -n {}", stage.namespace);
    assert!(refused.stderr.contains(&typed), "{refused:?}");
    stage.end().await;
}
