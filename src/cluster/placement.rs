//! Where a pod that ms2m makes may run: pinned to one node by node affinity, never by `nodeName`,
//! so that the scheduler still sees taints, cordons and room. Pure.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration,
};

/// The label by which pods are commonly pinned to one node.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// The field by which ms2m pins pods.
const NODE_NAME: &str = "metadata.name";

/// `affinity` with the pod pinned to `node`. Other rules stay, save those that pin it elsewhere.
pub(super) fn pinned(affinity: Option<Affinity>, node: &str) -> Affinity {
    let mut affinity = affinity.unwrap_or_default();
    let mut of_nodes = affinity.node_affinity.take().unwrap_or_default();
    let required = of_nodes
        .required_during_scheduling_ignored_during_execution
        .take();
    let mut terms = required
        .map(|it| it.node_selector_terms)
        .unwrap_or_default();
    for term in &mut terms {
        unpin(term);
    }
    // Terms are alternatives: one that asks for nothing more makes the others pointless.
    if terms.is_empty() || terms.iter().any(|it| *it == NodeSelectorTerm::default()) {
        terms = vec![NodeSelectorTerm::default()];
    }
    for term in &mut terms {
        term.match_fields
            .get_or_insert_default()
            .push(NodeSelectorRequirement {
                key: NODE_NAME.to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![node.to_owned()]),
            });
    }
    of_nodes.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: terms,
    });
    // Preferences cannot matter where there is no choice.
    of_nodes.preferred_during_scheduling_ignored_during_execution = None;
    Affinity {
        node_affinity: Some(NodeAffinity { ..of_nodes }),
        ..affinity
    }
}

/// A toleration for every taint, those of a cordoned node included.
pub(super) fn tolerates_everything() -> Vec<Toleration> {
    vec![Toleration {
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    }]
}

fn unpin(term: &mut NodeSelectorTerm) {
    drop_key(&mut term.match_fields, NODE_NAME);
    drop_key(&mut term.match_expressions, HOSTNAME);
}

fn drop_key(requirements: &mut Option<Vec<NodeSelectorRequirement>>, key: &str) {
    if let Some(rows) = requirements {
        rows.retain(|it| it.key != key);
        if rows.is_empty() {
            *requirements = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn terms(before: Value) -> Value {
        let affinity: Affinity = serde_json::from_value(before).expect("an affinity");
        let after = pinned(Some(affinity), "node-b");
        let after = serde_json::to_value(after).expect("JSON");
        after["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            .clone()
    }

    fn required(terms: Value) -> Value {
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
    }

    #[test]
    fn a_pod_without_rules_is_pinned() {
        let pin = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-b"]}]}]);
        assert_eq!(terms(json!({})), pin);
        let elsewhere = required(json!([{
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}],
            "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-a"]}]
        }]));
        assert_eq!(terms(elsewhere), pin);
    }

    #[test]
    fn other_rules_stay_in_each_alternative() {
        let ssd =
            json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
        let big = json!({"matchExpressions": [{"key": "size", "operator": "Exists"}]});
        let found = terms(required(json!([ssd, big])));
        for (index, key) in ["disk", "size"].into_iter().enumerate() {
            assert_eq!(found[index]["matchExpressions"][0]["key"], key);
            assert_eq!(found[index]["matchFields"][0]["values"][0], "node-b");
        }
    }

    #[test]
    fn rules_about_other_pods_stay() {
        let with: Affinity = serde_json::from_value(json!({
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname"}
            ]}
        }))
        .expect("an affinity");
        let rules = with.pod_anti_affinity.clone();
        assert_eq!(pinned(Some(with), "node-b").pod_anti_affinity, rules);
    }
}
