//! Which nodes a pod may run on. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use kube::ResourceExt as _;

use super::host_ports;
use super::storage::Needs;

/// Why a node is not for a pod, in the scheduler's words.
fn unfit(pod: &Pod, node: &Node, pods: &[&Pod], needs: &Needs) -> Option<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let tolerations = spec.tolerations.clone().unwrap_or_default();
    let node_spec = node.spec.clone().unwrap_or_default();
    if node_spec.unschedulable == Some(true) && !tolerates(&tolerations, &unschedulable()) {
        return Some("node(s) were unschedulable".to_owned());
    }
    let taints = node_spec.taints.unwrap_or_default();
    let untolerated = taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerates(&tolerations, taint));
    if let Some(taint) = untolerated {
        let value = taint.value.clone().unwrap_or_default();
        return Some(format!(
            "node(s) had untolerated taint {{{}: {value}}}",
            taint.key
        ));
    }
    if !selected(&spec, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if host_ports::conflict(pod, &node.name_any(), pods) {
        return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
    }
    needs.unfit(node).map(str::to_owned)
}

/// The name of the best of the nodes that are fit: the one with the fewest pods, which spreads
/// them as the real scheduler's scores mostly do; by name among equals. `needs` is what the
/// pod's claims ask for, or why no node at all will do.
pub(super) fn choose(
    pod: &Pod,
    nodes: &[&Node],
    pods: &[&Pod],
    needs: Result<&Needs, &String>,
) -> Result<String, String> {
    let needs = needs.map_err(|why| format!("0/{} nodes are available: {why}.", nodes.len()))?;
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut fit = Vec::new();
    for node in nodes {
        match unfit(pod, node, pods, needs) {
            None => fit.push(node.name_any()),
            Some(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    let running = |name: &String| {
        let on_node =
            |pod: &&&Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(name);
        pods.iter().filter(on_node).count()
    };
    fit.sort_by_key(|name| (running(name), name.clone()));
    fit.into_iter().next().ok_or_else(|| {
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        format!(
            "0/{} nodes are available: {}.",
            nodes.len(),
            reasons.join(", ")
        )
    })
}

fn unschedulable() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    }
}

fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let same_value = toleration.operator.as_deref() == Some("Exists")
            || toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default();
        (key.is_empty() || key == taint.key)
            && (effect.is_empty() || effect == taint.effect)
            && same_value
    })
}

fn selected(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.labels();
    let by_label = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let by_affinity = required.is_none_or(|required| {
        required
            .node_selector_terms
            .iter()
            .any(|term| matches(term, node))
    });
    by_label && by_affinity
}

/// A term without any requirement matches nothing.
pub(super) fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    if expressions.clone().next().is_none() && fields.clone().next().is_none() {
        return false;
    }
    let name = node.name_any();
    expressions
        .map(|requirement| {
            (
                requirement,
                node.labels().get(&requirement.key).map(String::as_str),
            )
        })
        .chain(fields.map(|requirement| {
            let value = (requirement.key == "metadata.name").then_some(name.as_str());
            (requirement, value)
        }))
        .all(|(requirement, value)| meets(requirement, value))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().flatten().any(|one| one == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = requirement
        .values
        .iter()
        .flatten()
        .next()
        .and_then(|text| number(text));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value
            .and_then(number)
            .zip(bound)
            .is_some_and(|(value, bound)| value > bound),
        "Lt" => value
            .and_then(number)
            .zip(bound)
            .is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, spec: serde_json::Value) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "n": "5" } },
            "spec": spec,
        }))
        .expect("is a node")
    }

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({ "spec": spec })).expect("is a pod")
    }

    #[test]
    fn a_pod_goes_where_it_may() {
        let plain = node("a", json!({}));
        let cordoned = node(
            "b",
            json!({ "unschedulable": true, "taints": [
            { "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" },
        ] }),
        );
        let nodes = [&plain, &cordoned];
        let anywhere = choose(&pod(json!({})), &nodes, &[], Ok(&Needs::default()));
        assert_eq!(anywhere, Ok("a".to_owned()));
        let by_name = json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["b"] }] },
            ] },
        } } });
        let refused = choose(&pod(by_name.clone()), &nodes, &[], Ok(&Needs::default()))
            .expect_err("is cordoned");
        assert!(
            refused.starts_with("0/2 nodes are available: "),
            "{refused}"
        );
        let mut tolerant = by_name;
        tolerant["tolerations"] = json!([{ "operator": "Exists" }]);
        let chosen = choose(&pod(tolerant), &nodes, &[], Ok(&Needs::default()));
        assert_eq!(chosen, Ok("b".to_owned()));
    }

    #[test]
    fn operators_mean_what_they_say() {
        let plain = node("a", json!({}));
        for (operator, values, fits) in [
            ("In", json!(["5"]), true),
            ("NotIn", json!(["5"]), false),
            ("Exists", json!([]), true),
            ("DoesNotExist", json!([]), false),
            ("Gt", json!(["4"]), true),
            ("Lt", json!(["4"]), false),
        ] {
            let pod = pod(json!({ "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                    { "matchExpressions": [{ "key": "n", "operator": operator, "values": values }] },
                ] },
            } } }));
            assert_eq!(
                unfit(&pod, &plain, &[], &Needs::default()).is_none(),
                fits,
                "{operator}"
            );
        }
    }
}
