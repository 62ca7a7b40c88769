//! The controller as it is installed: from an image, with the rights that it was given and no other.

use serde_json::{Value, json};

use crate::place::Place;
use crate::support::image::of_ms2m;
use crate::support::{App, Options, Owner, eventually};

const CONTROLLER: &str = "system:serviceaccount:ms2m-system:ms2m-controller";

/// Some request of the controller.
struct Asked {
    /// As `get pods/log`.
    what: String,
    path: String,
    code: u64,
}

/// The requests in the sandbox's log since number `since`, by the controller's service account.
async fn asked(place: &Place, since: u64) -> (u64, Vec<Asked>) {
    let path = format!("/sandbox/requests?since={since}&user={CONTROLLER}");
    let text = place.kubectl(&format!("get --raw {path}")).await;
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["dropped"], 0, "the log has forgotten some");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let log = report["log"].as_array().cloned().unwrap_or_default();
    let all = log.iter().map(|it| Asked {
        what: format!("{} {}", text(&it["verb"]), text(&it["resource"])),
        path: text(&it["path"]),
        code: it["code"].as_u64().unwrap_or_default(),
    });
    (report["last"].as_u64().unwrap_or_default(), all.collect())
}

/// In the sandbox all pods share one network, so each listens at its own address alone.
const LISTEN: [&str; 2] = ["--listen", "$(POD_IP):8080"];

async fn install(place: &Place, more: &[&str]) {
    let image = of_ms2m(place.world).await;
    let arguments = ["install", "--image", image.as_str()];
    let arguments = [&arguments[..], &LISTEN[..], more].concat();
    let installed = place.ms2m(&arguments).await.expect_code(0);
    let words = "the controller serves";
    assert!(installed.stderr.contains(words), "{}", installed.stderr);
}

/// Has the controller move the application's pod.
async fn moves(app: &App) {
    moves_as(app, &app.resource("m")).await;
}

/// The same without a registry.
async fn moves_directly(app: &App) {
    let mut resource = app.resource("m");
    resource["spec"]["transfer"]["direct"] = json!(true);
    moves_as(app, &resource).await;
}

async fn moves_as(app: &App, resource: &Value) {
    app.make_secret().await;
    let record = app.publish(60).await;
    app.apply(resource).await;
    let ended = app.await_end("m").await;
    assert_eq!(ended["status"]["phase"], json!("Completed"), "{ended:#}");
    app.assert_exact(&record, &app.target).await;
}

async fn of_a_set_with_a_claim(place: &Place) -> App {
    let options = Options {
        owner: Owner::StatefulSet,
        ..Options::default()
    };
    let app = App::named(place.world, "of-a-set", &options);
    let mut set = app.manifest(&options);
    set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data"}]);
    set["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "standard",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }]);
    started(place, app, &options, &set).await
}

async fn of_a_deployment(place: &Place) -> App {
    let options = Options {
        owner: Owner::ReplicaSet,
        ..Options::default()
    };
    let app = App::named(place.world, "deployed", &options);
    let mut deployment = app.manifest(&options);
    deployment["kind"] = json!("Deployment");
    let mut app = started(place, app, &options, &deployment).await;
    let pods = place.names(&format!("pods -n {}", app.namespace)).await;
    app.pod.clone_from(&pods[0]);
    app.target = format!("{}-shadow", app.pod);
    app
}

/// The application in a namespace of its own, with its one pod ready.
async fn started(place: &Place, app: App, options: &Options, manifest: &Value) -> App {
    place
        .kubectl(&format!("create namespace {}", app.namespace))
        .await;
    app.declare(options.exchange_type).await;
    app.apply(manifest).await;
    eventually("its pod is ready", async || {
        let pods = place.get(&format!("pods -n {}", app.namespace)).await;
        let conditions = pods["items"][0]["status"]["conditions"].as_array()?.clone();
        let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        conditions.iter().any(ready).then_some(())
    })
    .await;
    app
}

fn none_is_refused(all: &[Asked]) {
    let refused: Vec<_> = all
        .iter()
        .filter(|it| it.code == 403 || it.code == 401)
        .map(|it| format!("{} ({})", it.what, it.path))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// What a migration asks for only when something is in its way, or of pods that are not moved here.
const SELDOM: [&str; 6] = [
    // A transfer that another process had started, or of whose pod nothing is seen.
    "get jobs",
    // A rollout that a partition holds.
    "get controllerrevisions",
    "update statefulsets",
    // A set that has changed since its manifest was kept.
    "patch configmaps",
    // A transfer whose pod is not made, or whose node is gone.
    "list events",
    "get nodes",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_moves_pods_with_exactly_its_rights() {
    let place = Place::empty().await;
    let (since, _) = asked(&place, 0).await;
    install(&place, &[]).await;
    for app in [
        App::start("installed", &Options::default()).await,
        of_a_set_with_a_claim(&place).await,
        of_a_deployment(&place).await,
    ] {
        moves(&app).await;
        app.end().await;
    }
    let app = App::start("without-registry", &Options::default()).await;
    moves_directly(&app).await;
    app.end().await;
    let (_, all) = asked(&place, since).await;
    none_is_refused(&all);
    let mut idle = Vec::new();
    for role in ["ms2m-controller", "ms2m-controller-nodes"] {
        let role = place.get(&format!("clusterrole {role}")).await;
        for rule in role["rules"].as_array().into_iter().flatten() {
            for verb in rule["verbs"].as_array().into_iter().flatten() {
                let verb = verb.as_str().unwrap_or_default();
                let right = format!(
                    "{verb} {}",
                    rule["resources"][0].as_str().unwrap_or_default()
                );
                let used = all.iter().any(|it| it.what == right);
                if !used && !SELDOM.contains(&right.as_str()) {
                    idle.push(right);
                }
            }
        }
    }
    assert!(idle.is_empty(), "rights that nobody has used: {idle:#?}");
    place.ms2m(&["uninstall"]).await.expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_in_one_namespace_alone() {
    let place = Place::empty().await;
    let (since, _) = asked(&place, 0).await;
    let app = App::start("narrow", &Options::default()).await;
    install(&place, &["--watch-namespace", &app.namespace]).await;
    moves(&app).await;
    let (_, all) = asked(&place, since).await;
    none_is_refused(&all);
    // The right to that is of another role than those in the namespace of the pods.
    let renewed = |it: &Asked| it.what == "update leases" && it.path.contains("ms2m-system");
    assert!(all.iter().any(renewed), "the leader keeps its lease");
    place.ms2m(&["uninstall"]).await.expect_code(0);
    app.end().await;
}
