//! What kubelets and admission say → what to type about it. Pure. What the words mean is in
//! `cluster::remedy`, which a migration shows.

/// What to type when a checkpoint call to `node` would not get through, for the same answers.
pub(super) fn checkpoint_remedies(
    node: &str,
    code: u16,
    from_kubelet: bool,
    text: &str,
) -> Vec<String> {
    match (code, from_kubelet) {
        (403, true) => {
            // Forbidden (user=kube-apiserver-kubelet-client, verb=create, …)
            let user = text
                .split_once("user=")
                .and_then(|(_, rest)| rest.split([',', ')']).next())
                .unwrap_or("kube-apiserver-kubelet-client");
            vec![
                "kubectl create clusterrole kubelet-checkpoint --verb=create --resource=nodes/checkpoint"
                    .to_owned(),
                format!(
                    "kubectl create clusterrolebinding kubelet-checkpoint --clusterrole=kubelet-checkpoint --user={user}"
                ),
            ]
        }
        (404, true) => vec![format!(
            "on node {node} put `featureGates: {{ContainerCheckpoint: true}}` into the kubelet's configuration \
             (/var/lib/kubelet/config.yaml), then: systemctl restart kubelet"
        )],
        _ => vec![format!("see how the node is: kubectl describe node {node}")],
    }
}

/// What to do when `namespace` does not take a pod that a migration makes.
pub(super) fn admission_remedies(namespace: &str, text: &str) -> Vec<String> {
    if text.contains("PodSecurity") {
        return vec![format!(
            "kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged --overwrite"
        )];
    }
    if let Some((_, excess)) = text.split_once("exceeded quota: ") {
        return vec![quota_remedy(namespace, excess)];
    }
    Vec::new()
}

/// A migration has so many pods besides the source: the target, the transfer's, the one that pulls.
const PODS_BESIDES: u64 = 3;

/// `NAME, requested: pods=1, used: pods=4, limited: pods=4` → the command that makes room, where whole
/// numbers are counted.
fn quota_remedy(namespace: &str, excess: &str) -> String {
    let name = excess.split(',').next().unwrap_or_default().trim();
    let used = excess
        .split_once("used: ")
        .and_then(|(_, rest)| rest.split(", limited").next())
        .unwrap_or_default();
    let room: Option<Vec<String>> = used
        .split(',')
        .map(|one| {
            let (resource, used) = one.trim().split_once('=')?;
            let used: u64 = used.parse().ok()?;
            let counted = matches!(resource, "pods" | "count/pods");
            counted.then(|| format!("\"{resource}\":\"{}\"", used + PODS_BESIDES))
        })
        .collect();
    match room {
        Some(room) => format!(
            "kubectl patch resourcequota {name} -n {namespace} --type=merge -p '{{\"spec\":{{\"hard\":{{{}}}}}}}'",
            room.join(",")
        ),
        None => format!(
            "make room for {PODS_BESIDES} more pods: kubectl edit resourcequota {name} -n {namespace}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_takes_no_pod_comes_with_what_to_type() {
        let of = |text: &str| admission_remedies("shop", text).join("\n");
        assert_eq!(
            of(
                "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": hostPath volumes"
            ),
            "kubectl label namespace shop pod-security.kubernetes.io/enforce=privileged --overwrite"
        );
        assert_eq!(
            of(
                "pods \"x\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"
            ),
            r#"kubectl patch resourcequota few -n shop --type=merge -p '{"spec":{"hard":{"pods":"4"}}}'"#
        );
        let memory = of(
            "exceeded quota: q, requested: limits.memory=1Gi, used: limits.memory=4Gi, limited: limits.memory=4Gi",
        );
        assert!(
            memory.contains("kubectl edit resourcequota q -n shop"),
            "{memory}"
        );
        assert_eq!(of("denied by policy"), "");
    }
}
