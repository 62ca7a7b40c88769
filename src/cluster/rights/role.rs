//! A role, its bindings, and how they read as YAML: each rule with a comment that says why, which
//! no serialiser writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role as NamespacedRole, RoleBinding, RoleRef,
    Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Why it is there: a sentence.
    pub why: String,
    /// The API group.
    pub group: &'static str,
    /// The resource, or `resource/subresource`.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// The objects that it is about; none for all.
    pub names: &'static [&'static str],
}

/// Where a role can be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleKind {
    /// In the cluster or in any namespace.
    ClusterRole,
    /// In this namespace only.
    Role(String),
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Where it can be bound.
    pub kind: RoleKind,
    /// Its name.
    pub name: String,
    /// What it is for: lines of comment.
    pub comment: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it allows.
    pub rules: Vec<Rule>,
}

impl Role {
    /// The object.
    #[must_use]
    pub fn object(&self) -> Value {
        let metadata = self.metadata(&self.name);
        let rules = Some(self.rules.iter().map(policy_rule).collect());
        let value = match self.kind {
            RoleKind::ClusterRole => serde_json::to_value(ClusterRole {
                metadata,
                rules,
                ..ClusterRole::default()
            }),
            RoleKind::Role(_) => serde_json::to_value(NamespacedRole { metadata, rules }),
        };
        value.unwrap_or_default()
    }

    /// The same as YAML, with its comments.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = comment(&self.comment);
        let kind = self.kind_name();
        let _ = write!(
            text,
            "apiVersion: {API_GROUP}/v1\nkind: {kind}\nmetadata:\n"
        );
        if !self.labels.is_empty() {
            text.push_str("  labels:\n");
        }
        for (key, value) in &self.labels {
            let value = Value::from(value.as_str());
            let _ = writeln!(text, "    {key}: {value}");
        }
        let _ = writeln!(text, "  name: {}", self.name);
        if let RoleKind::Role(namespace) = &self.kind {
            let _ = writeln!(text, "  namespace: {namespace}");
        }
        text.push_str("rules:\n");
        for rule in &self.rules {
            text.push_str(&comment(&rule.why));
            let _ = writeln!(text, "- apiGroups: [\"{}\"]", rule.group);
            let _ = writeln!(text, "  resources: [{}]", rule.resource);
            if !rule.names.is_empty() {
                let _ = writeln!(text, "  resourceNames: [{}]", rule.names.join(", "));
            }
            let _ = writeln!(text, "  verbs: [{}]", rule.verbs.join(", "));
        }
        text
    }

    /// The binding of the same name that gives it to `subject`: where the role is, so a
    /// ClusterRole's holds in the whole cluster.
    #[must_use]
    pub fn binding(&self, subject: Subject) -> Value {
        let role_ref = RoleRef {
            api_group: Some(API_GROUP.to_owned()),
            kind: self.kind_name().to_owned(),
            name: self.name.clone(),
        };
        let (metadata, subjects) = (self.metadata(&self.name), Some(vec![subject]));
        let value = match self.kind {
            RoleKind::ClusterRole => serde_json::to_value(ClusterRoleBinding {
                metadata,
                role_ref,
                subjects,
            }),
            RoleKind::Role(_) => serde_json::to_value(RoleBinding {
                metadata,
                role_ref,
                subjects,
            }),
        };
        value.unwrap_or_default()
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            RoleKind::ClusterRole => "ClusterRole",
            RoleKind::Role(_) => "Role",
        }
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: match &self.kind {
                RoleKind::ClusterRole => None,
                RoleKind::Role(namespace) => Some(namespace.clone()),
            },
            labels: (!self.labels.is_empty()).then(|| self.labels.clone()),
            ..ObjectMeta::default()
        }
    }
}

fn policy_rule(rule: &Rule) -> PolicyRule {
    let strings = |words: &[&str]| words.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(strings(&[rule.group])),
        resources: Some(strings(&[rule.resource])),
        resource_names: (!rule.names.is_empty()).then(|| strings(rule.names)),
        verbs: strings(rule.verbs),
        ..PolicyRule::default()
    }
}

/// `text` as comment lines of at most a hundred columns.
#[must_use]
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + word.chars().count() >= 100 {
                lines.push_str(&line);
                lines.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::rights::{Front, Scope, rules};

    #[test]
    fn the_text_is_the_object() {
        for front in [
            Front::CommandLine,
            Front::Controller,
            Front::Admin,
            Front::View,
        ] {
            for scope in [Scope::Namespace, Scope::Cluster, Scope::Own] {
                for kind in [RoleKind::ClusterRole, RoleKind::Role("shop".to_owned())] {
                    let role = Role {
                        kind,
                        name: "some".to_owned(),
                        comment: "What for.".to_owned(),
                        labels: [("a/b".to_owned(), "true".to_owned())].into(),
                        rules: rules(front, scope),
                    };
                    let mut read: Value = serde_yaml::from_str(&role.yaml()).expect("YAML");
                    if read["rules"].is_null() {
                        read["rules"] = Value::Array(Vec::new());
                    }
                    assert_eq!(read, role.object());
                }
            }
        }
    }

    #[test]
    fn comments_are_wrapped() {
        let text = comment(&"word ".repeat(40));
        assert!(text.lines().count() == 3, "{text}");
        assert!(
            text.lines()
                .all(|line| line.starts_with("# word") && line.len() <= 100)
        );
    }
}
