//! What a container sees of the cluster: volumes, environment, identity.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::LogParams;
use serde_json::json;

use super::support::{ACTOR, Scene, pod, push_actor};

#[tokio::test]
async fn volumes_and_environment_are_there() {
    let scene = Scene::new("volumes").await;
    let image = push_actor(&scene.world, "volumes").await;
    let named = |kind: &str| json!({ "metadata": { "name": kind } });
    let mut secret = named("s");
    secret["stringData"] = json!({ "password": "secret word" });
    scene.create::<Secret>(secret).await;
    let mut map = named("m");
    map["data"] = json!({ "setting": "map word" });
    scene.create::<ConfigMap>(map).await;
    let directory = scene.on_node("node-a", "/srv/data");
    std::fs::create_dir_all(&directory).expect("can be made");
    std::fs::write(directory.join("file"), "host word").expect("can be written");

    let actions = [
        "env",
        "FROM_SECRET",
        "env",
        "P_setting",
        "env",
        "NODE",
        "env",
        "GREETING",
        "cat",
        "/s/password",
        "cat",
        "/m/renamed",
        "cat",
        "/h/file",
        "cat",
        "/d/labels",
        "cat",
        "/token/token",
        "ls",
        "/image",
        "hostname",
        "cat",
        "/etc/hostname",
        "write",
        "/h/answer",
        "done",
    ];
    let mut everything = pod("everything", "node-a", &image, &actions);
    everything["metadata"]["labels"] = json!({ "app": "x" });
    everything["spec"]["restartPolicy"] = json!("Never");
    everything["spec"]["volumes"] = json!([
        { "name": "s", "secret": { "secretName": "s" } },
        { "name": "m", "configMap": { "name": "m", "items": [{ "key": "setting", "path": "renamed" }] } },
        { "name": "h", "hostPath": { "path": "/srv/data", "type": "Directory" } },
        { "name": "d", "downwardAPI": { "items": [
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
        ] } },
        { "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
        { "name": "i", "image": { "reference": image } },
    ]);
    let main = &mut everything["spec"]["containers"][0];
    main["volumeMounts"] = json!([
        { "name": "s", "mountPath": "/s" },
        { "name": "m", "mountPath": "/m" },
        { "name": "h", "mountPath": "/h" },
        { "name": "d", "mountPath": "/d" },
        { "name": "t", "mountPath": "/token", "readOnly": true },
        { "name": "i", "mountPath": "/image" },
    ]);
    main["env"] = json!([
        { "name": "FROM_SECRET", "valueFrom": { "secretKeyRef": { "name": "s", "key": "password" } } },
        { "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
        { "name": "GREETING", "value": "hello $(NODE)" },
    ]);
    main["envFrom"] = json!([{ "prefix": "P_", "configMapRef": { "name": "m" } }]);
    scene.create::<Pod>(everything).await;
    scene.phase("everything", "Succeeded").await;
    let log = scene.log("everything", &LogParams::default()).await;
    let lines: Vec<_> = log.lines().collect();
    let expected = [
        "secret word",
        "map word",
        "node-a",
        "hello node-a",
        "secret word",
        "map word",
        "host word",
        "app=\"x\"",
        "sa/volumes/default",
        ACTOR.trim_start_matches('/'),
        "everything",
        "everything",
    ];
    assert_eq!(lines, expected);
    let answer = std::fs::read_to_string(directory.join("answer")).expect("was written");
    assert_eq!(answer, "done");
}

#[tokio::test]
async fn a_container_cannot_write_where_it_may_not() {
    let scene = Scene::new("read-only").await;
    let image = push_actor(&scene.world, "read-only").await;
    let mut pod = pod("writer", "node-a", &image, &["write", "/data/file", "x"]);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "v", "mountPath": "/data", "readOnly": true }]);
    scene.create::<Pod>(pod).await;
    scene.phase("writer", "Failed").await;
    let log = scene.log("writer", &LogParams::default()).await;
    assert!(log.contains("Read-only file system"), "{log}");
}
