//! The roles and bindings that every cluster has, and the aggregation of roles by label.

use serde_json::{Value, json};

use super::meta;
use super::selectors::Selector;
use super::store::Store;

const API: &str = "rbac.authorization.k8s.io/v1";
/// Where cluster roles are kept.
pub(crate) const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

fn role(name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": API, "kind": "ClusterRole",
        "metadata": {
            "name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": rules,
    })
}

/// A role whose rules come from the roles labelled for it, and the role that feeds it.
fn aggregated(name: &str, rules: &[Value], also_to: Option<&str>) -> [Value; 2] {
    let label = |to: &str| format!("rbac.authorization.k8s.io/aggregate-to-{to}");
    let mut whole = role(name, &[]);
    whole["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {label(name): "true"}}]});
    if let Some(other) = also_to {
        whole["metadata"]["labels"][label(other)] = "true".into();
    }
    let mut part = role(&format!("system:aggregate-to-{name}"), rules);
    part["metadata"]["labels"][label(name)] = "true".into();
    [whole, part]
}

fn binding(name: &str, role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}))
        .collect();
    json!({
        "apiVersion": API, "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}

/// The objects a cluster starts with, each with the key under which it is kept.
pub(crate) fn objects() -> Vec<(&'static str, Value)> {
    let everything = json!({"verbs": ["*"], "nonResourceURLs": ["*"]});
    let discovery = json!({"verbs": ["get"], "nonResourceURLs": [
        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/",
    ]});
    let public = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]});
    let mut roles = vec![
        role("cluster-admin", &[rule(&["*"], "*", &["*"]), everything]),
        role("system:discovery", &[discovery]),
        role("system:public-info-viewer", &[public]),
        role("system:basic-user", &basic_user()),
    ];
    roles.extend(aggregated("view", &view(), Some("edit")));
    roles.extend(aggregated("edit", &edit(), Some("admin")));
    roles.extend(aggregated("admin", &admin(), None));
    let bindings = [
        binding("cluster-admin", "cluster-admin", &["system:masters"]),
        binding(
            "system:discovery",
            "system:discovery",
            &["system:authenticated"],
        ),
        binding(
            "system:basic-user",
            "system:basic-user",
            &["system:authenticated"],
        ),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ];
    let roles = roles.into_iter().map(|role| (CLUSTER_ROLES, role));
    let bindings = bindings
        .into_iter()
        .map(|b| ("clusterrolebindings.rbac.authorization.k8s.io", b));
    roles.chain(bindings).collect()
}

fn basic_user() -> [Value; 2] {
    [
        rule(
            &["create"],
            "authorization.k8s.io",
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        ),
        rule(
            &["create"],
            "authentication.k8s.io",
            &["selfsubjectreviews"],
        ),
    ]
}

const VIEWED: &[&str] = &[
    "configmaps",
    "endpoints",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "pods",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "serviceaccounts",
    "services",
    "services/status",
    "bindings",
    "events",
    "limitranges",
    "namespaces/status",
    "pods/log",
    "pods/status",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "namespaces",
];
const APPS: &[&str] = &[
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
];

fn view() -> Vec<Value> {
    let apps: Vec<&str> = APPS
        .iter()
        .chain(&[
            "controllerrevisions",
            "daemonsets/status",
            "deployments/status",
            "replicasets/status",
            "statefulsets/status",
        ])
        .copied()
        .collect();
    vec![
        rule(READ, "", VIEWED),
        rule(READ, "apps", &apps),
        rule(
            READ,
            "batch",
            &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
        ),
        rule(
            READ,
            "policy",
            &["poddisruptionbudgets", "poddisruptionbudgets/status"],
        ),
        rule(READ, "discovery.k8s.io", &["endpointslices"]),
        rule(READ, "events.k8s.io", &["events"]),
    ]
}

fn edit() -> Vec<Value> {
    const CORE: &[&str] = &[
        "configmaps",
        "events",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "secrets",
        "serviceaccounts",
        "services",
        "services/proxy",
        "pods",
        "pods/attach",
        "pods/exec",
        "pods/portforward",
        "pods/proxy",
    ];
    vec![
        rule(
            READ,
            "",
            &[
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "secrets",
                "services/proxy",
            ],
        ),
        rule(&["impersonate"], "", &["serviceaccounts"]),
        rule(WRITE, "", CORE),
        rule(&["create"], "", &["pods/eviction", "serviceaccounts/token"]),
        rule(WRITE, "apps", APPS),
        rule(WRITE, "batch", &["cronjobs", "jobs"]),
        rule(WRITE, "policy", &["poddisruptionbudgets"]),
        rule(
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
            "coordination.k8s.io",
            &["leases"],
        ),
    ]
}

fn admin() -> Vec<Value> {
    let all: Vec<&str> = READ.iter().chain(WRITE).copied().collect();
    vec![
        rule(
            &["create"],
            "authorization.k8s.io",
            &["localsubjectaccessreviews"],
        ),
        rule(
            &all,
            "rbac.authorization.k8s.io",
            &["rolebindings", "roles"],
        ),
    ]
}

/// The rules that an aggregated role has now; nothing for a role that is not aggregated.
pub(crate) fn aggregate(store: &Store, role: &Value) -> Option<Vec<Value>> {
    role.get("aggregationRule").filter(|rule| !rule.is_null())?;
    let selectors: Vec<Selector> = meta::list(role, "/aggregationRule/clusterRoleSelectors")
        .iter()
        .map(Selector::from_label_selector)
        .collect();
    let mut rules = Vec::new();
    for other in store.list(CLUSTER_ROLES, None).objects {
        if meta::name(&other) == meta::name(role)
            || !selectors.iter().any(|selector| selector.matches(&other))
        {
            continue;
        }
        for rule in meta::list(&other, "/rules") {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}
