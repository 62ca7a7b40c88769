//! What the installed roles allow, asked of the API server.

use serde_json::Value;

use crate::place::{Place, told};

const CONTROLLER: &str = "system:serviceaccount:ms2m-system:ms2m-controller";

/// Each verb of each rule, as `kubectl auth can-i` is asked about it.
fn questions(role: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let group = rule["apiGroups"][0].as_str().unwrap_or_default();
        let resource = rule["resources"][0].as_str().unwrap_or_default();
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let mut what = resource.to_owned();
        if !group.is_empty() {
            what = format!("{what}.{group}");
        }
        if let Some(name) = rule["resourceNames"][0].as_str() {
            what = format!("{what}/{name}");
        }
        if !sub.is_empty() {
            what = format!("{what} --subresource={sub}");
        }
        for verb in rule["verbs"].as_array().into_iter().flatten() {
            all.push(format!("{} {what}", verb.as_str().unwrap_or_default()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_may_do_what_its_roles_say_and_nothing_else() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    let pods = questions(&place.get("clusterrole ms2m-controller").await);
    let nodes = questions(&place.get("clusterrole ms2m-controller-nodes").await);
    assert!(pods.len() > 30 && nodes.len() == 4, "{pods:?} {nodes:?}");
    for question in &pods {
        let may = place
            .may(CONTROLLER, &format!("{question} -n default"))
            .await;
        assert!(may, "{question}");
    }
    for question in &nodes {
        assert!(place.may(CONTROLLER, question).await, "{question}");
    }
    for question in [
        "list secrets -n default",
        "create statefulmigrations.migration.ms2m.io -n default",
        "list configmaps -n default",
        "update pods -n default",
        "create pods --subresource=exec -n default",
        "patch nodes",
        "create clusterroles.rbac.authorization.k8s.io",
    ] {
        assert!(!place.may(CONTROLLER, question).await, "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_one_namespace_there_are_no_rights_elsewhere_but_on_nodes() {
    let place = Place::empty().await;
    place.kubectl("create namespace shop").await;
    place.install(&[]).await.expect_code(0);
    let watch = ["--watch-namespace", "shop"];
    let narrowed = place.install(&watch).await.expect_code(0);
    let removed = told(&narrowed, "removed");
    assert_eq!(removed.len(), 4, "{}", narrowed.stdout);

    let ours = "-l app.kubernetes.io/instance=ms2m-system";
    for kind in ["clusterroles", "clusterrolebindings"] {
        let names = place.names(&format!("{kind} {ours}")).await;
        assert_eq!(names, ["ms2m-controller-nodes"], "{kind}");
    }
    let pods = questions(&place.get("role ms2m-controller -n shop").await);
    for question in &pods {
        let of = async |namespace: &str| {
            let question = format!("{question} -n {namespace}");
            place.may(CONTROLLER, &question).await
        };
        assert!(of("shop").await, "{question}");
        assert!(!of("default").await, "{question}");
    }
    let lease = "leases.coordination.k8s.io";
    for (question, may) in [
        (format!("create {lease} -n ms2m-system"), true),
        (
            format!("update {lease}/ms2m-controller -n ms2m-system"),
            true,
        ),
        (format!("update {lease}/another -n ms2m-system"), false),
        ("create nodes --subresource=proxy".to_owned(), true),
    ] {
        assert_eq!(place.may(CONTROLLER, &question).await, may, "{question}");
    }
    let deployment = place.get("deployment ms2m-controller -n ms2m-system").await;
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--namespace=shop"), "{arguments}");

    // And back again.
    let wide = place.install(&[]).await.expect_code(0);
    assert_eq!(told(&wide, "removed").len(), 4, "{}", wide.stdout);
    let nothing = place.try_kubectl("get role ms2m-controller -n shop").await;
    nothing.expect_err("it has rights everywhere now");
}

/// Kubernetes' own roles have the rules of the resource.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_view_a_namespace_sees_its_migrations_and_changes_none() {
    let place = Place::empty().await;
    place.install(&[]).await.expect_code(0);
    for (user, role) in [
        ("ann", "ms2m-view"),
        ("bob", "view"),
        ("eve", "edit"),
        ("joe", "admin"),
    ] {
        let bind =
            format!("create rolebinding {user} --clusterrole={role} --user={user} -n default");
        place.kubectl(&bind).await;
    }
    place.migration("seen").await;
    for (user, changes) in [("ann", false), ("bob", false), ("eve", true), ("joe", true)] {
        let listed = place
            .kubectl(&format!("get sm -n default --as={user}"))
            .await;
        assert!(listed.contains("seen"), "{user}: {listed}");
        let abort = format!(
            "patch sm seen -n default --type=merge -p {{\"spec\":{{\"abort\":true}}}} --as={user}"
        );
        let answer = place.try_kubectl(&abort).await;
        assert_eq!(answer.is_ok(), changes, "{user}: {answer:?}");
        if let Err(words) = answer {
            assert!(words.contains("cannot patch resource"), "{words}");
        }
        let elsewhere = place
            .try_kubectl(&format!("get sm -n kube-system --as={user}"))
            .await;
        elsewhere.expect_err("the binding is of one namespace");
    }
    for user in ["ann", "bob", "eve", "joe"] {
        place
            .kubectl(&format!("delete rolebinding {user} -n default"))
            .await;
    }
}
