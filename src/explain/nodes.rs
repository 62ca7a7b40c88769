//! What stands against a migration in the two nodes, and in the namespace.

use super::explanations;

explanations! { NODES;
    SOURCE_NODE_UNFIT = "source-node-unfit", "the pod's node is not ready" {
        means: "a checkpoint takes the kubelet of the node that the pod runs on",
        next: &["see why: kubectl describe node NODE", "wait until it is back"],
    }
    TARGET_NODE_UNFIT = "target-node-unfit", "the pod cannot go to that node, or to any" {
        means: "the target has to be another node, in the cluster, and ready; where none is named, one must fit",
        next: &["see the nodes: kubectl get nodes -o wide", "name another one: --to NODE", "see what stands against each: ms2m check POD --to NODE"],
    }
    ARCHITECTURE_MISMATCH = "architecture-mismatch", "the two nodes have different architectures" {
        means: "a process goes on with the same machine code, so it cannot go on there",
        next: &["choose a node of the same architecture: kubectl get nodes -L kubernetes.io/arch"],
    }
    RUNTIME_MISMATCH = "runtime-mismatch", "the two nodes run different container runtimes" {
        means: "a checkpoint taken by CRI-O is not restored by containerd, nor the other way round",
        causes: &["a node pool of another kind"],
        next: &["choose a node with the same runtime: kubectl get nodes -o wide"],
        says: &["status.dump", "io.kubernetes.cri-o.Annotations"],
        source: "measured on CRI-O 1.36.3 and containerd 2.1.9",
    }
    RUNTIME_NO_CHECKPOINT = "runtime-no-checkpoint", "the source node's runtime takes no checkpoints" {
        means: "containerd takes them since 2.0, CRI-O since 1.25 with CRIU and `enable_criu_support = true`",
        next: &["install CRIU on the source node, and with CRI-O set `enable_criu_support = true` in its configuration", "or upgrade the runtime"],
        says: &["checkpoint/restore support not available", "CheckpointContainer not implemented", "unknown method CheckpointContainer"],
        source: "the sources of containerd and CRI-O, autumn 2026",
    }
    RUNTIME_NO_RESTORE = "runtime-no-restore", "the target node's runtime restores no checkpoints" {
        means: "containerd restores them from images from 2.1 to 2.3 (2.2.7 and 2.3.4 and later with `enable_experimental_restore_via_create = true`), CRI-O from 1.30 with `enable_criu_support = true`; any other starts the checkpoint image as an ordinary one",
        causes: &["containerd 2.0, or 2.4 and later", "CRI-O without `enable_criu_support = true`, or after September 2026 without `container_level_enabled = \"checkpoint_restore\"`", "CRIU is not installed"],
        next: &["choose a node whose runtime restores, or switch it on there", "see the table of runtimes in the README"],
        says: &["no command specified"],
        source: "measured on CRI-O 1.36.3; the sources of containerd and CRI-O, autumn 2026",
    }
    LOW_LEVEL_MISMATCH = "low-level-mismatch", "the two nodes run containers by different low-level runtimes" {
        means: "a checkpoint taken under one of runc and crun is not restored by the other",
        causes: &["CRI-O runs containers by crun since 1.31 unless it is told otherwise; one of the nodes is told otherwise"],
        next: &["choose a node with the same one: ms2m check POD --to NODE --probe", "or set the same default runtime on both nodes"],
        source: "measured on CRI-O 1.36.3 with runc 1.3.6 and crun 1.28",
    }
    CRIU_MISSING = "criu-missing", "CRIU is not there, or too old" {
        means: "runtimes take and restore checkpoints by CRIU, 3.16 or later; with crun, 4.2 or later",
        next: &["install it on the node: apt-get install criu, or dnf install criu", "then restart the runtime: systemctl restart crio, or containerd", "look again: ms2m check --probe"],
        says: &["CRIU binary not found"],
        source: "the sources of CRI-O and containerd, autumn 2026",
    }
    DISK_FULL = "disk-full", "the disk of the checkpoints has no room for one" {
        means: "an archive is as large as the memory in use, and lies in /var/lib/kubelet/checkpoints until it has been sent",
        causes: &["archives that others left: the kubelet deletes none"],
        next: &["see what lies there, on the node: du -sh /var/lib/kubelet/checkpoints", "make room, or mount a larger disk there"],
    }
    NODE_FORBIDDEN = "node-forbidden", "rules or taints keep the pod off that node" {
        means: "the pod's affinity, node selector or tolerations do not allow the target node",
        next: &["name another node: --to NODE", "or change the pod's rules, or the node's taints"],
    }
    CLAIM_OUT_OF_REACH = "claim-out-of-reach", "the target node does not reach a volume of the pod" {
        means: "the volume is bound to other nodes, as a local disk or one of another zone is; its contents do not travel with the pod",
        next: &["choose a node that reaches it: kubectl get pv VOLUME -o yaml"],
    }
    NO_TWO_NODES = "no-two-nodes", "there are no two nodes between which a pod can be moved" {
        means: "it takes two nodes that are ready, with the same runtime and the same architecture",
        next: &["see what they have: kubectl get nodes -o wide"],
    }
    NAMESPACE_ADMISSION = "namespace-admission", "the namespace does not admit a pod that a migration makes" {
        means: "the transfer's pod reads the checkpoint as root from the node, and target and pull are further pods",
        causes: &["the namespace's Pod Security level is below privileged", "a ResourceQuota has no room for three more pods", "a policy of the cluster"],
        next: &["kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=privileged --overwrite", "make room in the quota: kubectl edit resourcequota -n NAMESPACE"],
        says: &["violates PodSecurity", "exceeded quota: "],
    }
    PORTS_TAKEN = "ports-taken", "a port that the pod asks for is taken on the target node" {
        means: "another pod has the host port, so the scheduler would find no place for the target",
        next: &["name another node: --to NODE"],
    }
    KUBERNETES_TOO_OLD = "kubernetes-too-old", "the cluster's kubelets take no checkpoints" {
        means: "kubelets take checkpoints since Kubernetes 1.25, and by default since 1.30",
        next: &["upgrade the cluster to Kubernetes 1.30 or later"],
    }
}
