//! kubectl's commands that make objects out of flags, or several requests out of one line.

use serde_json::json;

use crate::support::{Cluster, kubelet, pod, until, within};

#[tokio::test]
async fn everything_that_kubectl_creates_by_flags() {
    let cluster = Cluster::start().await;
    let minor = cluster.kubectl_minor().await;
    let run = async |line: &str| cluster.ok(&line.split(' ').collect::<Vec<_>>()).await;
    for line in [
        "create secret generic s --from-literal=user=a --from-literal=password=b",
        "create secret docker-registry reg --docker-server=r:5000 --docker-username=u --docker-password=p",
        "create configmap c --from-literal=k=v",
        "create serviceaccount robot",
        "create role r --verb=get,list --resource=pods,pods/log --resource-name=a",
        "create clusterrole cr --verb=create --resource=nodes/proxy",
        "create rolebinding rb --role=r --serviceaccount=default:robot --group=g",
        "create clusterrolebinding crb --clusterrole=cr --user=jane",
        "create deployment web --image=nginx:1",
        "create job once --image=busybox:1 -- sleep 1",
        "create cronjob often --image=busybox:1 --schedule=@hourly",
        "create service clusterip svc --tcp=80:8080",
        "create quota q --hard=pods=5,cpu=1",
        "create poddisruptionbudget pdb --selector=app=web --min-available=50%",
        "create priorityclass high --value=1000",
        "run runner --image=busybox:1 --restart=Never --env=A=B",
        "expose deployment web --port=80 --target-port=http",
        "rollout restart deployment web",
        "set image deployment/web nginx=nginx:2",
        "auth can-i --list",
    ] {
        // Older ones send these in beta versions, which no server of today has.
        if minor < 25 && (line.contains("cronjob") || line.contains("poddisruptionbudget")) {
            continue;
        }
        run(line).await;
    }
    assert_eq!(run("get secret s -o jsonpath={.data.user}").await, "YQ==");
    assert_eq!(
        run("get secret reg -o jsonpath={.type}").await,
        "kubernetes.io/dockerconfigjson"
    );
    assert_eq!(run("get role r -o jsonpath={.rules[0].verbs[*]}/{.rules[0].resources[*]}/{.rules[0].resourceNames[*]}").await, "get list/pods pods/log/a");
    assert_eq!(
        run("get rolebinding rb -o jsonpath={.subjects[*].kind}/{.roleRef.name}").await,
        "Group ServiceAccount/r"
    );
    assert_eq!(run("get job once -o jsonpath={.spec.template.spec.containers[0].command[*]}/{.spec.template.spec.restartPolicy}").await, "sleep 1/Never");
    assert_eq!(
        run("get svc svc -o jsonpath={.spec.ports[0].targetPort}").await,
        "8080"
    );
    if minor >= 25 {
        assert_eq!(
            run("get pdb pdb -o jsonpath={.spec.minAvailable}/{.spec.selector.matchLabels.app}")
                .await,
            "50%/web"
        );
    }
    assert_eq!(run("get quota q -o jsonpath={.spec.hard.pods}").await, "5");
    assert_eq!(
        run("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}").await,
        "nginx:2"
    );
    assert_eq!(run("get pc high -o jsonpath={.value}").await, "1000");
}

#[tokio::test]
async fn a_node_is_drained() {
    let cluster = Cluster::start().await;
    let port = kubelet().await;
    cluster.node("node-a", port).await;
    let mut object = pod("one");
    object["spec"]["nodeName"] = "node-a".into();
    cluster
        .create("/api/v1/namespaces/default/pods", object)
        .await;
    let drain = cluster
        .kubectl(&["drain", "node-a", "--force", "--timeout=50s"])
        .spawn()
        .expect("kubectl");
    let path = "/api/v1/namespaces/default/pods/one";
    until("the pod is being deleted", || async {
        cluster.get(path).await.1["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    // What its kubelet would do once the process has ended.
    let (code, _) = cluster
        .send(
            reqwest::Method::DELETE,
            path,
            "application/json",
            &json!({"gracePeriodSeconds": 0}),
        )
        .await;
    assert_eq!(code, 200);
    let output = within(drain.wait_with_output())
        .await
        .expect("kubectl ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        cluster
            .ok(&["get", "nodes"])
            .await
            .contains("Ready,SchedulingDisabled")
    );
    cluster.ok(&["uncordon", "node-a"]).await;
    assert!(
        !cluster
            .ok(&["get", "nodes"])
            .await
            .contains("SchedulingDisabled")
    );
}
