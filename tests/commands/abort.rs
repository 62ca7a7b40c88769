//! `ms2m abort` of resources that a controller carries out.

use serde_json::{Value, json};

use crate::stage::{Stage, begun, completed, manifest, rolled_back};

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_is_asked_and_waited_for() {
    let stage = Stage::set().await;
    for (name, end, code, words) in [
        ("back", rolled_back("it was aborted"), 0, "is rolled back"),
        ("late", completed(), 8, "the target serves"),
    ] {
        stage.apply(&manifest(name)).await;
        stage.status(name, begun("Restoring", json!({}))).await;
        // No broker settings anywhere.
        let abort = stage.start(&["abort", name]);
        abort.says("you may safely stop waiting").await;
        assert_eq!(stage.stored(name).await["spec"]["abort"], true);
        stage.status(name, end).await;
        let outcome = abort.outcome().await.expect_code(code);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains(words), "{outcome:?}");
        let again = stage.run(&["abort", name]).await.expect_code(code);
        assert!(again.stderr.contains("has ended already"), "{again:?}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_need_not_be_waited_for() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    let asked = ["abort", "pod/worker-0", "--wait=false", "-o", "json"];
    let asked = stage.run(&asked).await.expect_code(0).json();
    assert_eq!(asked["asked"], "the controller");
    assert_eq!(stage.stored("m").await["spec"]["abort"], true);
    stage.end().await;
}

/// Without a controller the words say how to do it from here, and so it can be done.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_it_says_how_to_do_it_from_here() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    let abort = stage.start(&["abort", "m"]);
    abort.says("migration.ms2m.io/driven-by=cli").await;
    abort.signal("INT").await;
    let outcome = abort.outcome().await.expect_code(130);
    assert!(!outcome.stderr.contains("to roll it back"), "{outcome:?}");
    stage
        .kubectl(&["label", "sm", "m", "migration.ms2m.io/driven-by=cli"])
        .await;
    let broker = stage.world.places.broker_url.clone();
    let ended = ["abort", "m", "--broker-url", &broker];
    stage.run(&ended).await.expect_code(0);
    assert_eq!(stage.stored("m").await["status"]["phase"], "Failed");
    assert_ne!(stage.stored("m").await["status"]["message"], Value::Null);
    stage.end().await;
}

/// Two that drive one migration would take turns.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_goes_on_with_nothing_of_the_controller_s() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    stage.status("m", begun("Restoring", json!({}))).await;
    for arguments in [
        &["migrate", "worker-0", "--to", "node-b"][..],
        &["migrate", "--resume", "m"],
    ] {
        let refused = stage.run(arguments).await.expect_code(3);
        for words in [
            "which the controller carries out",
            "ms2m watch m",
            "driven-by=cli",
        ] {
            assert!(refused.stderr.contains(words), "{refused:?}");
        }
    }
    stage.end().await;
}
