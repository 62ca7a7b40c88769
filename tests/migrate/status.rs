//! What `ms2m status` tells of a migration that is over.

use crate::support::{App, Options};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_completed_migration() {
    let app = App::start("status", &Options::default()).await;
    let record = app.publish(10).await;
    let result = app.migrate(&[]).await.expect_code(0).json();
    app.assert_exact(&record, &app.target).await;
    let name = result["migration"]
        .as_str()
        .expect("the migration has a name")
        .to_owned();
    let status = |more: &[&str]| -> Vec<String> {
        let words = [&["status", "-n", &app.namespace], more].concat();
        words.into_iter().map(str::to_owned).collect()
    };

    let table = app.ms2m(&status(&[])).await.expect_code(0).stdout;
    for word in [
        "NAME",
        "PHASE",
        &name,
        "Completed",
        &app.world.source_node,
        &app.world.target_node,
    ] {
        assert!(table.contains(word), "'{word}' is not in:\n{table}");
    }
    let details = app.ms2m(&status(&[&name])).await.expect_code(0).stdout;
    for word in ["Checkpointing", "Finalizing", &app.target, "@sha256:"] {
        assert!(details.contains(word), "'{word}' is not in:\n{details}");
    }
    let names = app
        .ms2m(&status(&["-o", "name"]))
        .await
        .expect_code(0)
        .stdout;
    assert!(names.contains(&name), "{names}");
    let json = app
        .ms2m(&status(&[&name, "-o", "json"]))
        .await
        .expect_code(0)
        .json();
    assert_eq!(json["status"]["phase"], "Completed");
    let url = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a broker URL");
    let credentials = format!("{}:{}@", url.user(), url.password());
    assert!(
        !json.to_string().contains(&credentials),
        "no credentials are stored"
    );

    let unknown = app.ms2m(&status(&["no-such-migration"])).await;
    assert_ne!(unknown.code, Some(0));
    assert!(unknown.stderr.contains("no-such-migration"), "{unknown:?}");
    app.end().await;
}
