//! Where a pod that ms2m makes may run: pinned to one node by node affinity, never by `nodeName`,
//! so that the scheduler still sees taints, cordons and room. Pure.

use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
    Taint, Toleration,
};
use kube::ResourceExt as _;

/// The label by which pods are commonly pinned to one node.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// The taint of a cordoned node.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

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

/// Why `pod` may not run on `node` by its own rules, once it is pinned there: as the scheduler would
/// find after the checkpoint, when it is late to know.
pub(super) fn unfit(pod: &Pod, node: &Node) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let untolerated = taints
        .into_iter()
        .flatten()
        // A cordon is a matter of its own: the operator has named the node, or another is chosen.
        .filter(|taint| taint.key != UNSCHEDULABLE && taint.effect != "PreferNoSchedule")
        .find(|taint| !tolerations.iter().any(|it| tolerates(it, taint)));
    if let Some(taint) = untolerated {
        return Some(format!(
            "it does not tolerate the node's taint {}",
            taint.key
        ));
    }
    let selector = spec.node_selector.iter().flatten();
    let labels = node.labels();
    let missing = selector
        .filter(|(key, _)| *key != HOSTNAME)
        .find(|(key, value)| labels.get(*key) != Some(*value));
    if let Some((key, value)) = missing {
        return Some(format!("its node selector asks for {key}={value}"));
    }
    let pinned = pinned(spec.affinity.clone(), &node.name_any());
    let required = pinned
        .node_affinity
        .and_then(|it| it.required_during_scheduling_ignored_during_execution);
    required
        .is_some_and(|selector| !fits(&selector, node))
        .then(|| "its node affinity does not allow it".to_owned())
}

/// Whether a node meets one of the selector's terms.
pub(super) fn fits(selector: &NodeSelector, node: &Node) -> bool {
    let mut terms = selector.node_selector_terms.iter();
    terms.any(|term| meets_term(term, node))
}

/// A term that asks for nothing is met by no node (as the scheduler has it).
fn meets_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let name = node.name_any();
    let labels = node.labels();
    let by_label = term.match_expressions.iter().flatten();
    let by_field = term.match_fields.iter().flatten();
    if by_label.clone().next().is_none() && by_field.clone().next().is_none() {
        return false;
    }
    by_label
        .map(|asked| (asked, labels.get(&asked.key).map(String::as_str)))
        .chain(by_field.map(|asked| (asked, (asked.key == NODE_NAME).then_some(name.as_str()))))
        .all(|(asked, value)| meets(asked, value))
}

fn meets(asked: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = asked.values.as_deref().unwrap_or_default();
    let among = value.is_some_and(|value| values.iter().any(|it| it == value));
    let compared = |holds: fn(i64, i64) -> bool| {
        let number = value.and_then(|value| value.parse().ok());
        let limit = values.first().and_then(|limit| limit.parse().ok());
        number
            .zip(limit)
            .is_some_and(|(number, limit)| holds(number, limit))
    };
    match asked.operator.as_str() {
        "In" => among,
        "NotIn" => !among,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|number, limit| number > limit),
        "Lt" => compared(|number, limit| number < limit),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let same_value = toleration.value.as_deref().unwrap_or_default()
        == taint.value.as_deref().unwrap_or_default();
    (key.is_empty() && exists || key == taint.key)
        && (effect.is_empty() || effect == taint.effect)
        && (exists || same_value)
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

    fn node() -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "node-b", "labels": {"disk": "ssd", "size": "8"}},
            "spec": {"taints": [
                {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                {"key": "quiet", "effect": "PreferNoSchedule"}
            ]}
        }))
        .expect("a node")
    }

    fn against(spec: Value) -> Option<String> {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).expect("a pod");
        unfit(&pod, &node())
    }

    #[test]
    fn what_the_scheduler_would_say_is_known_beforehand() {
        let tolerant = json!([{"key": "gpu", "operator": "Exists"}]);
        let says = |spec: Value, words: &str| {
            let said = against(spec).unwrap_or_default();
            assert!(said.contains(words), "{said:?}");
        };
        says(json!({}), "taint gpu");
        says(
            json!({"tolerations": [{"key": "gpu", "value": "no"}]}),
            "taint gpu",
        );
        let gpu = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
        assert_eq!(against(json!({"tolerations": gpu})), None);
        let selector = |disk: &str| json!({"tolerations": tolerant, "nodeSelector": {"disk": disk, "kubernetes.io/hostname": "node-a"}});
        assert_eq!(
            against(selector("ssd")),
            None,
            "the pin to the old node goes"
        );
        says(selector("hdd"), "disk=hdd");
        let asks = |operator: &str, value: &str| {
            let asked = json!([{"matchExpressions": [{"key": "size", "operator": operator, "values": [value]}]}]);
            let mut spec = json!({"tolerations": tolerant});
            spec["affinity"] = required(asked);
            against(spec)
        };
        assert_eq!(asks("Gt", "4"), None);
        assert!(asks("Lt", "4").is_some());
        assert!(asks("NotIn", "8").is_some());
        assert_eq!(asks("In", "8"), None);
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
