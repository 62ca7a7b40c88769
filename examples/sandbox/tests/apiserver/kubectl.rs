//! kubectl against the API server: what an operator types.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Cluster, kubelet, pod, until, within};

const MANIFEST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {one: \"1\", two: \"2\"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: \"nginx:1\", env: [{name: A, value: \"1\"}]}
";

#[tokio::test]
async fn create_get_and_delete() {
    let cluster = Cluster::start().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    let table = cluster.ok(&["get", "pods"]).await;
    let columns: Vec<&str> = table
        .lines()
        .next()
        .expect("a header")
        .split_whitespace()
        .collect();
    assert_eq!(columns, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert!(table.contains("one    0/1     Pending   0"), "{table}");
    let wide = cluster.ok(&["get", "po", "-o", "wide", "-A"]).await;
    assert!(wide.contains("NOMINATED NODE"), "{wide}");
    assert_eq!(
        cluster.ok(&["get", "pods", "-o", "name"]).await.trim(),
        "pod/one"
    );
    let yaml = cluster.ok(&["get", "pod", "one", "-o", "yaml"]).await;
    assert!(
        yaml.contains("terminationMessagePath: /dev/termination-log"),
        "{yaml}"
    );
    assert!(yaml.contains("name: kube-api-access-"), "{yaml}");
    let phase = cluster
        .ok(&[
            "get",
            "pods",
            "-l",
            "app in (one)",
            "--field-selector",
            "status.phase=Pending",
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ])
        .await;
    assert_eq!(phase, "one");
    assert!(cluster.ok(&["get", "all"]).await.contains("pod/one"));
    assert!(
        cluster
            .fails(&["get", "pod", "two"])
            .await
            .contains("Error from server (NotFound): pods \"two\" not found")
    );
    cluster.ok(&["delete", "pod", "one"]).await;
    assert!(
        cluster
            .fails(&["get", "pod", "one"])
            .await
            .contains("NotFound")
    );
}

#[tokio::test]
async fn apply_twice_changes_and_prunes_what_the_manifest_says() {
    let cluster = Cluster::start().await;
    let first = cluster.ok_with(&["apply", "-f", "-"], MANIFEST).await;
    assert!(
        first.contains("configmap/settings created")
            && first.contains("deployment.apps/web created"),
        "{first}"
    );
    let again = cluster.ok_with(&["apply", "-f", "-"], MANIFEST).await;
    assert!(
        again.contains("configmap/settings unchanged")
            && again.contains("deployment.apps/web unchanged"),
        "{again}"
    );
    let changed = MANIFEST
        .replace(", two: \"2\"", "")
        .replace("nginx:1", "nginx:2")
        .replace("[{name: A, value: \"1\"}]", "[{name: B, value: \"2\"}]");
    let out = cluster.ok_with(&["apply", "-f", "-"], &changed).await;
    assert!(
        out.contains("configmap/settings configured")
            && out.contains("deployment.apps/web configured"),
        "{out}"
    );
    let data = cluster
        .ok(&["get", "cm", "settings", "-o", "jsonpath={.data}"])
        .await;
    assert!(data.contains("one") && !data.contains("two"), "{data}");
    let container = cluster.ok(&["get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[*].name}"]).await;
    assert_eq!(container, "nginx:2 B");
    let generation = cluster
        .ok(&[
            "get",
            "deploy",
            "web",
            "-o",
            "jsonpath={.metadata.generation}",
        ])
        .await;
    assert_eq!(generation, "2");
    cluster
        .ok_with(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            MANIFEST,
        )
        .await;
    cluster
        .ok(&["scale", "deployment", "web", "--replicas=5"])
        .await;
    assert_eq!(
        cluster
            .ok(&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"])
            .await,
        "5"
    );
    cluster.ok_with(&["delete", "-f", "-"], MANIFEST).await;
}

#[tokio::test]
async fn patch_label_and_annotate() {
    let cluster = Cluster::start().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    cluster.ok(&["label", "pod", "one", "tier=back"]).await;
    cluster
        .ok(&["annotate", "pod", "one", "migration.ms2m.io/queue=orders"])
        .await;
    cluster
        .ok(&[
            "patch",
            "pod",
            "one",
            "-p",
            r#"{"spec":{"containers":[{"name":"main","image":"other:2"}]}}"#,
        ])
        .await;
    cluster
        .ok(&[
            "patch",
            "pod",
            "one",
            "--type=merge",
            "-p",
            r#"{"metadata":{"labels":{"app":null}}}"#,
        ])
        .await;
    cluster
        .ok(&[
            "patch",
            "pod",
            "one",
            "--type=json",
            "-p",
            r#"[{"op":"add","path":"/metadata/labels/x","value":"y"}]"#,
        ])
        .await;
    let shown: Value =
        serde_json::from_str(&cluster.ok(&["get", "pod", "one", "-o", "json"]).await)
            .expect("JSON");
    assert_eq!(
        shown["metadata"]["labels"],
        json!({"tier": "back", "x": "y"})
    );
    assert_eq!(shown["spec"]["containers"][0]["image"], "other:2");
    assert_eq!(
        shown["metadata"]["annotations"]["migration.ms2m.io/queue"],
        "orders"
    );
    let refused = cluster
        .fails(&[
            "patch",
            "pod",
            "one",
            "-p",
            r#"{"spec":{"nodeName":"elsewhere"}}"#,
        ])
        .await;
    assert!(
        refused.contains("pod updates may not change fields other than"),
        "{refused}"
    );
}

#[tokio::test]
async fn describe_shows_events() {
    let cluster = Cluster::start().await;
    let made = cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    cluster.create("/apis/events.k8s.io/v1/namespaces/default/events", json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "one.1", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "Checkpointed", "note": "took 12 ms", "type": "Normal",
        "reportingController": "ms2m", "reportingInstance": "ms2m-0", "action": "Checkpoint",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "one", "uid": made["metadata"]["uid"]},
    })).await;
    let out = cluster.ok(&["describe", "pod", "one"]).await;
    assert!(
        out.contains("Checkpointed") && out.contains("took 12 ms"),
        "{out}"
    );
    assert!(
        out.contains("/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-"),
        "{out}"
    );
    let events = cluster.ok(&["get", "events"]).await;
    assert!(
        events.contains("LAST SEEN") && events.contains("pod/one"),
        "{events}"
    );
    let query = "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Done%2Ctype%3DNormal";
    let (_, listed) = cluster.get(query).await;
    assert_eq!(listed["items"][0]["note"], "took 12 ms");
    let port = kubelet().await;
    cluster.node("node-a", port).await;
    assert!(
        cluster
            .ok(&["describe", "node", "node-a"])
            .await
            .contains("cri-o://1.36.3")
    );
    let nodes = cluster.ok(&["get", "nodes", "-o", "wide"]).await;
    assert!(
        nodes.contains("Ready") && nodes.contains("CONTAINER-RUNTIME"),
        "{nodes}"
    );
}

#[tokio::test]
async fn logs_come_from_the_kubelet() {
    let cluster = Cluster::start().await;
    let port = kubelet().await;
    cluster.node("node-a", port).await;
    let mut object = pod("one");
    object["spec"]["nodeName"] = "node-a".into();
    object["spec"]["containers"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"name": "waiting", "image": "x:1"}));
    cluster
        .create("/api/v1/namespaces/default/pods", object)
        .await;
    let log = cluster.ok(&["logs", "one", "-c", "main", "--tail=5"]).await;
    assert!(
        log.contains("log of default/one/main") && log.contains("tailLines=5"),
        "{log}"
    );
    let follow = cluster.ok(&["logs", "-f", "one", "-c", "main"]).await;
    assert!(follow.contains("follow=true"), "{follow}");
    let waiting = cluster.fails(&["logs", "one", "-c", "waiting"]).await;
    assert!(
        waiting.contains("is waiting to start: ContainerCreating"),
        "{waiting}"
    );
}

#[tokio::test]
async fn watching_prints_changes_as_they_happen() {
    let cluster = Cluster::start().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    let mut child = cluster
        .kubectl(&["get", "pods", "-w"])
        .stderr(Stdio::inherit())
        .spawn()
        .expect("kubectl");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = async || {
        within(lines.next_line())
            .await
            .expect("readable")
            .expect("a line")
    };
    assert!(next().await.starts_with("NAME"));
    assert!(next().await.contains("Pending"));
    let status = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
    }]}});
    let path = "/api/v1/namespaces/default/pods/one/status";
    let (code, _) = cluster
        .send(
            reqwest::Method::PATCH,
            path,
            "application/merge-patch+json",
            &status,
        )
        .await;
    assert_eq!(code, 200);
    let line = next().await;
    assert!(line.contains("1/1") && line.contains("Running"), "{line}");
    child.kill().await.expect("it ends");
}

#[tokio::test]
async fn wait_sees_conditions_and_deletions() {
    let cluster = Cluster::start().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    let ready = cluster
        .kubectl(&["wait", "--for=condition=Ready", "pod/one", "--timeout=50s"])
        .spawn()
        .expect("kubectl");
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let path = "/api/v1/namespaces/default/pods/one/status";
    cluster
        .send(
            reqwest::Method::PATCH,
            path,
            "application/strategic-merge-patch+json",
            &status,
        )
        .await;
    let output = within(ready.wait_with_output())
        .await
        .expect("kubectl ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let hold = json!({"metadata": {"finalizers": ["test.io/hold"]}});
    let path = "/api/v1/namespaces/default/pods/one";
    cluster
        .send(
            reqwest::Method::PATCH,
            path,
            "application/merge-patch+json",
            &hold,
        )
        .await;
    cluster.ok(&["delete", "pod", "one", "--wait=false"]).await;
    let (_, before) = cluster.get("/sandbox/requests").await;
    let gone = cluster
        .kubectl(&["wait", "--for=delete", "pod/one", "--timeout=50s"])
        .spawn()
        .expect("kubectl");
    until("kubectl watches", || async {
        let (_, report) = cluster
            .get(&format!("/sandbox/requests?since={}", before["last"]))
            .await;
        report["counts"]["watch pods"].is_u64()
    })
    .await;
    let release = json!({"metadata": {"finalizers": null}});
    cluster
        .send(
            reqwest::Method::PATCH,
            path,
            "application/merge-patch+json",
            &release,
        )
        .await;
    let output = within(gone.wait_with_output()).await.expect("kubectl ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn rights_are_asked_for() {
    let cluster = Cluster::start().await;
    assert_eq!(
        cluster
            .ok(&["auth", "can-i", "create", "nodes/proxy"])
            .await
            .trim(),
        "yes"
    );
    let (_, out, _) = cluster
        .run(&["auth", "can-i", "create", "pods", "--as=jane"], None)
        .await;
    assert_eq!(out.trim(), "no");
    cluster
        .ok(&[
            "create",
            "rolebinding",
            "jane",
            "--clusterrole=edit",
            "--user=jane",
        ])
        .await;
    assert_eq!(
        cluster
            .ok(&["auth", "can-i", "create", "pods", "--as=jane"])
            .await
            .trim(),
        "yes"
    );
    let refused = cluster.fails(&["get", "nodes", "--as=jane"]).await;
    assert!(refused.contains("nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"), "{refused}");
}

#[tokio::test]
async fn namespaces_take_their_contents_with_them() {
    let cluster = Cluster::start().await;
    cluster.ok(&["create", "namespace", "work"]).await;
    cluster
        .ok(&[
            "-n",
            "work",
            "create",
            "configmap",
            "x",
            "--from-literal=a=b",
        ])
        .await;
    cluster
        .ok(&[
            "-n",
            "work",
            "create",
            "secret",
            "generic",
            "s",
            "--from-literal=password=hunter2",
        ])
        .await;
    assert!(
        cluster
            .ok(&["-n", "work", "get", "sa"])
            .await
            .contains("default")
    );
    cluster.ok(&["delete", "namespace", "work"]).await;
    assert!(
        cluster
            .fails(&["get", "namespace", "work"])
            .await
            .contains("NotFound")
    );
    let (_, left) = cluster
        .get("/api/v1/configmaps?fieldSelector=metadata.namespace=work")
        .await;
    assert_eq!(left["items"], json!([]));
}

#[tokio::test]
async fn api_resources_and_versions() {
    let cluster = Cluster::start().await;
    let resources = cluster.ok(&["api-resources"]).await;
    for line in [
        "pods",
        "leases",
        "customresourcedefinitions",
        "poddisruptionbudgets",
    ] {
        assert!(resources.contains(line), "{resources}");
    }
    assert!(cluster.ok(&["version"]).await.contains("v1.36"));
    cluster.ok(&["cluster-info"]).await;
    assert!(
        cluster
            .ok(&["get", "--raw", "/readyz"])
            .await
            .contains("ok")
    );
}

#[tokio::test]
async fn mistakes_in_manifests_are_refused() {
    let cluster = Cluster::start().await;
    let (code, _, err) = cluster
        .run(
            &["create", "--validate=false", "-f", "-"],
            Some("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n"),
        )
        .await;
    assert_ne!(code, 0);
    assert!(
        err.contains("The Pod \"x\" is invalid: spec.containers: Required value"),
        "{err}"
    );
    let (code, _, err) = cluster
        .run(
            &["create", "--validate=false", "-f", "-"],
            Some("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: 5}\n"),
        )
        .await;
    assert_ne!(code, 0);
    assert!(
        err.contains("json: cannot unmarshal number into Go struct field Pod.spec.containers"),
        "{err}"
    );
    let (code, _, err) = cluster
        .run(&["-n", "nowhere", "create", "configmap", "x"], None)
        .await;
    assert_ne!(code, 0);
    assert!(err.contains("namespaces \"nowhere\" not found"), "{err}");
}

/// Since 1.31 kubectl speaks SPDY within a WebSocket, unless it is told otherwise; before that without.
#[tokio::test]
async fn port_forward() {
    for in_web_socket in ["true", "false"] {
        forwards(in_web_socket).await;
    }
}

async fn forwards(in_web_socket: &str) {
    let cluster = Cluster::start().await;
    let port = kubelet().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    let status = json!({"status": {"podIP": "127.0.0.1", "phase": "Running"}});
    let path = "/api/v1/namespaces/default/pods/one/status";
    cluster
        .send(
            reqwest::Method::PATCH,
            path,
            "application/merge-patch+json",
            &status,
        )
        .await;
    let mut child = cluster
        .kubectl(&["port-forward", "pod/one", &format!(":{port}"), ":1"])
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", in_web_socket)
        .spawn()
        .expect("kubectl");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut complaints = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut local = async |to: &str| loop {
        let line = within(lines.next_line()).await.expect("readable");
        let line = line.expect("it says where it listens");
        let from = line.strip_prefix("Forwarding from 127.0.0.1:");
        if let Some(at) = from.and_then(|it| it.strip_suffix(&format!(" -> {to}"))) {
            return at.parse::<u16>().expect("a port");
        }
    };
    let (served, closed) = (local(&port.to_string()).await, local("1").await);
    // One connection after the other, and two at once.
    let get = async |at: u16| {
        let url = format!("http://127.0.0.1:{at}/containerLogs/a/b/c");
        let client = reqwest::Client::builder().no_proxy().build().expect("one");
        within(client.get(url).send()).await
    };
    for _ in 0..3 {
        let (one, other) = tokio::join!(get(served), get(served));
        for answer in [one, other] {
            let text = answer.expect("an answer").text().await.expect("text");
            assert!(text.contains("log of a/b/c"), "{text}");
        }
    }
    assert!(get(closed).await.is_err(), "nobody listens there");
    loop {
        let line = within(complaints.next_line()).await.expect("readable");
        let line = line.expect("kubectl tells the error");
        if line.contains("error forwarding port 1: Connection refused") {
            break;
        }
    }
    child.kill().await.expect("it ends");
}
