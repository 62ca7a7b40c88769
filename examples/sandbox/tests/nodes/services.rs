//! What is behind a service, and what may be taken away from it: endpoints, disruption budgets,
//! and the ports of nodes.

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, EvictParams, ListParams};
use serde_json::{Value, json};

use super::support::{Scene, condition, pod, push_actor, wait_for};

/// A pod of the application that is ready while it runs.
fn member(name: &str, node: &str, image: &str, last: &str) -> Value {
    let mut member = pod(name, node, image, &[last]);
    member["metadata"]["labels"] = json!({ "app": "a" });
    member["spec"]["terminationGracePeriodSeconds"] = json!(60);
    member["spec"]["containers"][0]["ports"] = json!([{ "name": "web", "containerPort": 8080 }]);
    member
}

/// The endpoints of a service by their pods' uids: ready, serving, terminating.
async fn endpoints(scene: &Scene, service: &str) -> Vec<(String, [bool; 3])> {
    let of = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = scene
        .api::<EndpointSlice>()
        .list(&of)
        .await
        .expect("are listed");
    let endpoints = slices
        .items
        .into_iter()
        .flat_map(|slice| slice.endpoints.unwrap_or_default());
    let mut found: Vec<_> = endpoints
        .map(|endpoint| {
            let conditions = endpoint.conditions.expect("has conditions");
            let flags = [conditions.ready, conditions.serving, conditions.terminating];
            let uid = endpoint.target_ref.and_then(|target| target.uid);
            (
                uid.expect("names its pod"),
                flags.map(|flag| flag.expect("is said")),
            )
        })
        .collect();
    found.sort();
    found
}

async fn endpoints_are(scene: &Scene, service: &str, wanted: &[(&Value, [bool; 3])]) {
    let uid = |pod: &Value| {
        pod["metadata"]["uid"]
            .as_str()
            .expect("has a uid")
            .to_owned()
    };
    let mut wanted: Vec<_> = wanted
        .iter()
        .map(|(pod, flags)| (uid(pod), *flags))
        .collect();
    wanted.sort();
    wait_for(&format!("{wanted:?} behind {service}"), async || {
        (endpoints(scene, service).await == wanted).then_some(())
    })
    .await;
}

const READY: [bool; 3] = [true, true, false];
const UNREADY: [bool; 3] = [false, false, false];

#[tokio::test]
async fn a_service_has_the_pods_that_are_ready() {
    let scene = Scene::new("endpoints").await;
    let image = push_actor(&scene.world, "endpoints").await;
    let service = |name: &str, all: bool, address: &str| {
        json!({
            "metadata": { "name": name },
            "spec": {
                "clusterIP": address, "selector": { "app": "a" }, "publishNotReadyAddresses": all,
                "ports": [{ "port": 80, "targetPort": "web" }],
            },
        })
    };
    scene.create::<Service>(service("ready", false, "")).await;
    scene.create::<Service>(service("all", true, "None")).await;
    endpoints_are(&scene, "ready", &[]).await;
    scene
        .create::<Pod>(member("first", "node-a", &image, "ignore"))
        .await;
    let first = scene.ready("first").await;
    scene.says("first", "deaf\n").await;
    // Nobody listens where the probe asks.
    let mut second = member("second", "node-b", &image, "ignore");
    second["spec"]["hostname"] = json!("two");
    second["spec"]["subdomain"] = json!("all");
    second["spec"]["containers"][0]["readinessProbe"] = json!({ "tcpSocket": { "port": 8080 } });
    scene.create::<Pod>(second).await;
    let second = scene.phase("second", "Running").await;
    endpoints_are(&scene, "ready", &[(&first, READY), (&second, UNREADY)]).await;
    endpoints_are(
        &scene,
        "all",
        &[(&first, READY), (&second, [true, false, false])],
    )
    .await;

    let of = ListParams::default().labels("kubernetes.io/service-name=all");
    let slices = scene
        .api::<EndpointSlice>()
        .list(&of)
        .await
        .expect("are listed");
    let slice = json!(slices.items[0]);
    assert_eq!(slice["ports"][0]["port"], 8080);
    assert!(slice["metadata"]["labels"]["service.kubernetes.io/headless"].is_string());
    let two = slice["endpoints"].as_array().into_iter().flatten();
    let two = two
        .into_iter()
        .find(|one| one["hostname"] == "two")
        .expect("has its name");
    assert_eq!(
        (&two["nodeName"], &two["addresses"][0]),
        (&json!("node-b"), &second["status"]["podIP"])
    );
    let mirror = json!(
        scene
            .api::<Endpoints>()
            .get("ready")
            .await
            .expect("is there")
    );
    let subset = &mirror["subsets"][0];
    assert_eq!(subset["addresses"][0]["targetRef"]["name"], "first");
    assert_eq!(
        subset["notReadyAddresses"][0]["targetRef"]["name"],
        "second"
    );

    // It still serves, and is no endpoint for anybody new, from the moment it is deleted.
    let pods = scene.api::<Pod>();
    pods.delete("first", &DeleteParams::default())
        .await
        .expect("is deleted");
    let leaving = [false, true, true];
    endpoints_are(&scene, "ready", &[(&first, leaving), (&second, UNREADY)]).await;
    pods.delete("first", &DeleteParams::default().grace_period(0))
        .await
        .expect("is deleted");
    endpoints_are(&scene, "ready", &[(&second, UNREADY)]).await;

    let services = scene.api::<Service>();
    services
        .delete("ready", &DeleteParams::default())
        .await
        .expect("is deleted");
    wait_for("the end of the endpoints", async || {
        let mirror = scene
            .api::<Endpoints>()
            .get_opt("ready")
            .await
            .expect("answers");
        let of = ListParams::default().labels("kubernetes.io/service-name=ready");
        let slices = scene
            .api::<EndpointSlice>()
            .list(&of)
            .await
            .expect("are listed");
        (mirror.is_none() && slices.items.is_empty()).then_some(())
    })
    .await;
    pods.delete("second", &DeleteParams::default().grace_period(0))
        .await
        .expect("is deleted");
}

/// A pod that takes a service's labels is an endpoint then, and the one that gives them up is
/// none any more.
#[tokio::test]
async fn endpoints_follow_labels() {
    let scene = Scene::new("labels").await;
    let image = push_actor(&scene.world, "labels").await;
    let service = json!({
        "metadata": { "name": "s" },
        "spec": { "selector": { "app": "a" }, "ports": [{ "port": 80 }] },
    });
    scene.create::<Service>(service).await;
    scene
        .create::<Pod>(member("old", "node-a", &image, "wait"))
        .await;
    let mut new = member("new", "node-b", &image, "wait");
    new["metadata"]["labels"] = json!({ "app": "b" });
    scene.create::<Pod>(new).await;
    let (old, new) = (scene.ready("old").await, scene.ready("new").await);
    endpoints_are(&scene, "s", &[(&old, READY)]).await;
    for (name, label) in [("new", "a"), ("old", "b")] {
        let patch = kube::api::Patch::Merge(json!({ "metadata": { "labels": { "app": label } } }));
        let pods = scene.api::<Pod>();
        pods.patch(name, &Default::default(), &patch)
            .await
            .expect("is patched");
    }
    endpoints_are(&scene, "s", &[(&new, READY)]).await;
}

#[tokio::test]
async fn a_budget_refuses_what_would_take_too_many() {
    let scene = Scene::new("budget").await;
    let image = push_actor(&scene.world, "budget").await;
    let budget = json!({
        "metadata": { "name": "b" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } },
    });
    scene.create::<PodDisruptionBudget>(budget).await;
    for name in ["one", "two"] {
        scene
            .create::<Pod>(member(name, "node-a", &image, "wait"))
            .await;
        scene.ready(name).await;
    }
    let budgets = scene.api::<PodDisruptionBudget>();
    let allows = async |allowed: i32| {
        wait_for(&format!("{allowed} disruptions"), async || {
            let budget = budgets.get("b").await.expect("is there");
            let status = budget
                .status
                .filter(|status| status.disruptions_allowed == Some(allowed));
            status.filter(|status| status.observed_generation == Some(1))
        })
        .await
    };
    let status = allows(1).await;
    assert_eq!(
        (status.expected_pods, status.current_healthy),
        (Some(2), Some(2))
    );
    let pods = scene.api::<Pod>();
    pods.evict("one", &EvictParams::default())
        .await
        .expect("may go");
    // At once, not when the controller has noticed.
    let refused = pods
        .evict("two", &EvictParams::default())
        .await
        .expect_err("may not");
    let kube::Error::Api(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.code, 429);
    assert_eq!(
        refused.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let status = wait_for("the pod's end", async || {
        let status = allows(0).await;
        (status.expected_pods == Some(1)).then_some(status)
    })
    .await;
    assert_eq!(
        (status.current_healthy, status.desired_healthy),
        (Some(1), Some(1))
    );
    let refused = pods
        .evict("two", &EvictParams::default())
        .await
        .expect_err("may not");
    let refused = format!("{refused:?}");
    let words = "The disruption budget b needs 1 healthy pods and has 1 currently";
    assert!(refused.contains(words), "{refused}");
    // A deletion asks nobody.
    scene.delete("two").await;
}

#[tokio::test]
async fn a_port_of_a_node_is_taken_once() {
    let scene = Scene::new("host-port").await;
    let image = push_actor(&scene.world, "host-port").await;
    let user = |name: &str| {
        let mut user = pod(name, "", &image, &["wait"]);
        user["spec"]["nodeName"] = Value::Null;
        user["spec"]["containers"][0]["ports"] =
            json!([{ "containerPort": 8080, "hostPort": 18080 }]);
        user
    };
    // One for each node, made in one go: the scheduler has to remember what it has just done.
    for name in ["a", "b", "c", "d"] {
        scene.create::<Pod>(user(name)).await;
    }
    let pods = scene.api::<Pod>();
    let words =
        "0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.";
    let refused = wait_for("one too many", async || {
        let listed = pods.list(&ListParams::default()).await.expect("are listed");
        let listed: Vec<_> = listed.items.into_iter().map(|pod| json!(pod)).collect();
        let ready = listed.iter().filter(|pod| condition(pod, "Ready")).count();
        let refused = listed
            .iter()
            .find(|pod| pod["status"].to_string().contains(words))?;
        (ready == 3).then(|| {
            refused["metadata"]["name"]
                .as_str()
                .expect("has a name")
                .to_owned()
        })
    })
    .await;
    let other = ["a", "b", "c", "d"]
        .into_iter()
        .find(|name| *name != refused);
    scene.delete(other.expect("there are three")).await;
    scene.ready(&refused).await;
}
