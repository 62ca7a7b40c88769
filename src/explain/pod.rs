//! What stands against a migration in the pod itself and in what owns it.

use super::explanations;

explanations! { POD;
    POD_UNFIT = "pod-unfit", "the pod does not run" {
        means: "only a running pod has a memory that could be moved",
        causes: &["the name is mistyped, or the namespace is another one", "the pod is starting, ending or being deleted"],
        next: &["see it: kubectl get pod POD -n NAMESPACE -o wide", "wait until it runs"],
    }
    CONTAINER_UNFIT = "container-unfit", "the container to be moved is not there or does not run" {
        means: "one container of the pod is checkpointed, the first unless another is named, and it must run",
        next: &["name one of the pod's containers: --container NAME", "see why it does not run: kubectl describe pod POD"],
    }
    OWNER_FORBIDS = "owner-forbids", "the pod's owner stands against it" {
        means: "what owns the pod would start another one, or delete one of the two, in mid-migration",
        causes: &["a DaemonSet or a Job owns it", "an operator manages the StatefulSet and would put it back", "the owner is being deleted", "the chosen strategy is for pods of another owner"],
        next: &["read the remedy under the error: it names the owner", "an owner that ms2m does not know is left alone with --orphan; the target has no owner then"],
        source: "the sources of Kubernetes 1.36, and measured on its controllers",
    }
    ROLLOUT_UNDER_WAY = "rollout-under-way", "a rollout of the pod's owner is under way" {
        means: "the owner is about to replace its pods, and would lose track of it or delete the wrong one",
        next: &["wait for it to end: kubectl rollout status KIND/NAME", "or undo it: kubectl rollout undo KIND/NAME"],
    }
    BUDGET_EXHAUSTED = "budget-exhausted", "a PodDisruptionBudget allows no pod to be missing" {
        means: "sequentially the source goes before the target is there, which the budget forbids now",
        next: &["wait until the other pods are healthy: kubectl get pdb", "or keep the source until the target serves: --strategy shadow-pod", "or go on all the same: --force"],
    }
    CLAIM_ONE_NODE = "claim-one-node", "a claim of the pod can be mounted on one node at a time" {
        means: "with strategy ShadowPod source and target run side by side on two nodes, and the second could not mount it",
        next: &["a pod of a StatefulSet: --strategy sequential, so that the source lets go of the claim first"],
    }
    CLAIMS_DELETED = "claims-deleted", "the StatefulSet deletes its pods' claims" {
        means: "ms2m has to delete the set, without its pods, for a moment, and its retention policy would delete data with it",
        next: &["set spec.persistentVolumeClaimRetentionPolicy to Retain for the time of the migration"],
        source: "the sources of Kubernetes 1.36",
    }
    OPTIONS_CLASH = "options-clash", "two settings of the migration exclude each other" {
        means: "each makes sense, but together they would leave no way back or no pod that works",
        next: &["leave out the one that the error names first"],
    }
    TARGET_NAME_TAKEN = "target-name-taken", "a pod with the target's name is there already" {
        means: "the target pod has a fixed name, POD-shadow, and another pod has it",
        causes: &["a leftover of an older migration that was kept on purpose", "another application"],
        next: &["if it is not needed: kubectl delete pod POD-shadow -n NAMESPACE"],
    }
    LEFT_BEHIND = "left-behind", "something would stay behind, and --strict is set" {
        means: "contents of emptyDir, hostPath and /dev/shm do not travel with a checkpoint, and other containers start fresh",
        next: &["see all of it: ms2m check POD --to NODE", "if it does not matter, leave --strict out"],
        source: "measured on CRI-O 1.36.3 and containerd 2.1.9",
    }
    POD_CHANGED = "pod-changed", "the pod is not the one that was planned for" {
        means: "it was replaced or deleted between the plan and the beginning",
        next: &["start it again, to get a plan of the pod as it is now"],
    }
}
