//! Who may do what: evaluation of the RBAC objects in the store, worded as the real authorizer.
//! Not here: the default roles (`rbac_defaults`) and the review resources (`reviews`).

use serde_json::{Value, json};

use super::auth::User;
use super::errors::ApiError;
use super::meta;
use super::request::RequestInfo;
use super::store::Store;

/// What a user wants to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    /// Empty for cluster scope.
    pub(crate) namespace: String,
    /// Set for a path that is no resource.
    pub(crate) path: Option<String>,
}

impl Attributes {
    pub(crate) fn of(info: &RequestInfo) -> Self {
        Self {
            verb: info.verb.clone(),
            group: info.group.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            name: info.name.clone(),
            namespace: info.namespace.clone().unwrap_or_default(),
            path: (!info.is_resource).then(|| info.path.clone()),
        }
    }

    fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The refusal of this, in the real server's words.
    pub(crate) fn refusal(&self, user: &User) -> ApiError {
        if let Some(path) = &self.path {
            let message = format!(
                "forbidden: User {:?} cannot {} path {path:?}",
                user.name, self.verb
            );
            let mut error = ApiError::new(403, "Forbidden", message);
            error.details = Some(json!({}));
            return error;
        }
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", self.namespace)
        };
        let full = if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        };
        let subject = if self.name.is_empty() {
            full
        } else {
            format!("{full} {:?}", self.name)
        };
        let message = format!(
            "{subject} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {scope}",
            user.name,
            self.verb,
            self.resource_path(),
            self.group
        );
        let mut details = json!({"kind": self.resource});
        if !self.name.is_empty() {
            details["name"] = self.name.clone().into();
        }
        if !self.group.is_empty() {
            details["group"] = self.group.clone().into();
        }
        let mut error = ApiError::new(403, "Forbidden", message);
        error.details = Some(details);
        error
    }
}

/// Whether `user` may, and by which binding; nothing if not.
pub(crate) fn allows(store: &Store, user: &User, wanted: &Attributes) -> Option<String> {
    if user.is_master() {
        return Some(String::new());
    }
    for (reason, rules) in rules_for(store, user, &wanted.namespace) {
        if rules.iter().any(|rule| rule_allows(rule, wanted)) {
            return Some(reason);
        }
    }
    None
}

/// The rules that hold for `user` in `namespace` (empty: cluster scope only), with the words
/// of the binding that gives each.
pub(crate) fn rules_for(store: &Store, user: &User, namespace: &str) -> Vec<(String, Vec<Value>)> {
    const API: &str = "rbac.authorization.k8s.io";
    let mut found = Vec::new();
    let mut add = |binding: &Value, kind: &str, binding_namespace: &str| {
        let Some(subject) = meta::list(binding, "/subjects")
            .iter()
            .find(|s| subject_is(s, user, binding_namespace))
        else {
            return;
        };
        let role_kind = meta::text(binding, "/roleRef/kind").unwrap_or_default();
        let role = meta::text(binding, "/roleRef/name").unwrap_or_default();
        let object = match role_kind {
            "ClusterRole" => store.get(&format!("clusterroles.{API}"), "", role),
            _ => store.get(&format!("roles.{API}"), binding_namespace, role),
        };
        let Some(object) = object else { return };
        let subject_name = meta::text(subject, "/name").unwrap_or_default();
        let subject_kind = meta::text(subject, "/kind").unwrap_or_default();
        let at = if binding_namespace.is_empty() {
            meta::name(binding).to_owned()
        } else {
            format!("{}/{binding_namespace}", meta::name(binding))
        };
        let reason = format!(
            "RBAC: allowed by {kind} {at:?} of {role_kind} {role:?} to {subject_kind} {subject_name:?}"
        );
        found.push((reason, meta::list(&object, "/rules").to_vec()));
    };
    for binding in store
        .list(&format!("clusterrolebindings.{API}"), None)
        .objects
    {
        add(&binding, "ClusterRoleBinding", "");
    }
    if !namespace.is_empty() {
        for binding in store
            .list(&format!("rolebindings.{API}"), Some(namespace))
            .objects
        {
            add(&binding, "RoleBinding", namespace);
        }
    }
    found
}

fn subject_is(subject: &Value, user: &User, binding_namespace: &str) -> bool {
    let name = meta::text(subject, "/name").unwrap_or_default();
    match meta::text(subject, "/kind") {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let namespace = meta::text(subject, "/namespace")
                .filter(|n| !n.is_empty())
                .unwrap_or(binding_namespace);
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

/// Whether one policy rule allows it.
pub(crate) fn rule_allows(rule: &Value, wanted: &Attributes) -> bool {
    let has = |field: &str, value: &str| {
        meta::list(rule, field)
            .iter()
            .filter_map(Value::as_str)
            .any(|v| v == "*" || v == value)
    };
    if !has("/verbs", &wanted.verb) {
        return false;
    }
    if let Some(path) = &wanted.path {
        return meta::list(rule, "/nonResourceURLs")
            .iter()
            .filter_map(Value::as_str)
            .any(|url| {
                url == "*"
                    || url == path
                    || url
                        .strip_suffix('*')
                        .is_some_and(|prefix| path.starts_with(prefix))
            });
    }
    let names = meta::list(rule, "/resourceNames");
    has("/apiGroups", &wanted.group)
        && meta::list(rule, "/resources")
            .iter()
            .filter_map(Value::as_str)
            .any(|resource| {
                resource == "*"
                    || resource == wanted.resource_path()
                    || (!wanted.subresource.is_empty()
                        && resource
                            .strip_prefix("*/")
                            .is_some_and(|sub| sub == wanted.subresource))
            })
        && (names.is_empty() || names.iter().any(|name| name == wanted.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            namespace: "n".into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_go_by_verb_group_resource_subresource_and_name() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"], "resourceNames": ["a"]});
        assert!(rule_allows(&rule, &wanted("get", "pods", "", "a")));
        assert!(rule_allows(&rule, &wanted("get", "pods", "log", "a")));
        assert!(!rule_allows(&rule, &wanted("get", "pods", "", "b")));
        assert!(!rule_allows(&rule, &wanted("get", "pods", "status", "a")));
        assert!(!rule_allows(&rule, &wanted("list", "pods", "", "a")));
        let any_status = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/status"]});
        assert!(rule_allows(
            &any_status,
            &wanted("patch", "pods", "status", "")
        ));
        assert!(!rule_allows(&any_status, &wanted("patch", "pods", "", "")));
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]});
        let path = |p: &str| Attributes {
            verb: "get".into(),
            path: Some(p.into()),
            ..Attributes::default()
        };
        assert!(rule_allows(&paths, &path("/healthz")) && rule_allows(&paths, &path("/api/v1")));
        assert!(!rule_allows(&paths, &path("/metrics")));
    }

    #[test]
    fn a_binding_gives_its_role_in_its_namespace_only() {
        let store = Store::new(10);
        let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        store
            .create(&"clusterroles.rbac.authorization.k8s.io".into(), role)
            .expect("new");
        let binding = json!({
            "metadata": {"name": "b", "namespace": "n"},
            "roleRef": {"kind": "ClusterRole", "name": "r"},
            "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot"}],
        });
        store
            .create(&"rolebindings.rbac.authorization.k8s.io".into(), binding)
            .expect("new");
        let jane = User {
            name: "jane".into(),
            ..User::default()
        };
        let bot = User {
            name: "system:serviceaccount:n:bot".into(),
            ..User::default()
        };
        let want = wanted("get", "pods", "", "");
        assert!(allows(&store, &jane, &want).is_some());
        assert!(allows(&store, &bot, &want).is_some());
        let elsewhere = Attributes {
            namespace: "m".into(),
            ..want
        };
        assert!(allows(&store, &jane, &elsewhere).is_none());
        assert_eq!(
            elsewhere.refusal(&jane).message,
            "pods is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \"m\""
        );
    }
}
