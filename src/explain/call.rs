//! The checkpoint call: what API server, kubelet, runtime and CRIU say when it fails. The more
//! particular ones come first.

use super::explanations;

/// The lines that CRIU needs, and where they go.
const CRIU_LINES: &str = "put the lines `tcp-close` and `skip-in-flight` into /etc/criu/runc.conf (with crun: /etc/criu/crun.conf) on both nodes";

/// Where it was seen.
const MEASURED: &str = "measured on CRI-O 1.36.3 with runc 1.3.6 and CRIU 4.2.1";

explanations! { CALL;
    OPEN_CONNECTION = "open-connection", "the process has an open TCP connection, and CRIU was not told what to do with it" {
        means: "CRIU refuses to dump a process with an open connection unless `tcp-close` is in its configuration",
        causes: &["/etc/criu/runc.conf or crun.conf is missing on the source node, or is the one of the other low-level runtime"],
        next: &[CRIU_LINES],
        says: &["Connected TCP socket"],
        source: MEASURED,
    }
    IN_FLIGHT_CONNECTION = "in-flight-connection", "a connection was just arriving at a listening socket" {
        means: "CRIU refuses to dump a connection that is not established yet unless `skip-in-flight` is in its configuration; a readiness probe is enough",
        causes: &["/etc/criu/runc.conf or crun.conf on the source node has `tcp-close` alone"],
        next: &[CRIU_LINES, "or try again: it is a matter of the moment, though under HTTP traffic 11 of 12 attempts failed"],
        says: &["In-flight connection"],
        source: MEASURED,
    }
    CHECKPOINT_AT_ONCE = "checkpoint-at-once", "another checkpoint of the container is under way" {
        means: "the runtime has paused the container for another checkpoint, and takes one at a time",
        causes: &["somebody else checkpoints the pod", "an earlier call whose answer was lost still runs"],
        next: &["wait for it to end, then start again"],
        says: &["failed to pause container"],
        source: MEASURED,
    }
    KUBELET_DENIES = "kubelet-denies", "the kubelet refuses the API server's own identity" {
        means: "the API server passes the checkpoint call on under its own name, which lacks `create nodes/checkpoint`; kubeadm 1.36.1 and later leave it out",
        next: &["kubectl create clusterrole kubelet-checkpoint --verb=create --resource=nodes/checkpoint", "kubectl create clusterrolebinding kubelet-checkpoint --clusterrole=kubelet-checkpoint --user=kube-apiserver-kubelet-client"],
        says: &["subresource(s)=[checkpoint]", "the kubelet refuses the API server"],
        source: "the sources of Kubernetes 1.36",
    }
    PROXY_DENIED = "proxy-denied", "you may not call kubelets through the API server" {
        means: "the checkpoint call goes through the API server's node proxy, which takes `create nodes/proxy`",
        next: &["grant `create nodes/proxy` to whoever runs ms2m: examples/manifests/rbac-cli.yaml", "see all rights: ms2m check"],
        says: &["nodes/proxy", "the API server refuses the checkpoint call"],
        source: "measured on Kubernetes 1.36.2",
    }
    NO_CHECKPOINT_CALL = "no-checkpoint-call", "the kubelet knows no checkpoint call" {
        means: "the feature gate ContainerCheckpoint is off there; it is on by default since Kubernetes 1.30",
        next: &["put `featureGates: {ContainerCheckpoint: true}` into the kubelet's configuration (/var/lib/kubelet/config.yaml) on the node, then: systemctl restart kubelet"],
        says: &["404 page not found", "the kubelet knows no checkpoint"],
        source: "the sources of Kubernetes 1.36",
    }
    NODE_UNKNOWN = "node-unknown", "the API server knows no such node" {
        means: "the node was removed from the cluster between the plan and the checkpoint",
        next: &["see the nodes: kubectl get nodes"],
        says: &["nodes \"…\" not found"],
        source: "measured on Kubernetes 1.36.2",
    }
    POD_GONE = "pod-gone", "the kubelet has no such pod" {
        means: "the pod was deleted or has left its node between the plan and the checkpoint",
        next: &["see where it is: kubectl get pod POD -o wide", "start again"],
        says: &["pod does not exist"],
        source: "measured on Kubernetes 1.36.2",
    }
    CONTAINER_GONE = "container-gone", "the kubelet has no such container in the pod" {
        means: "the container is not running on the node any more: it is just being restarted, or has another name",
        next: &["see it: kubectl describe pod POD", "name another one: --container NAME"],
        says: &["container …does not exist"],
        source: "measured on Kubernetes 1.36.2",
    }
    CHECKPOINT_FAILED = "checkpoint-failed", "the runtime could not take the checkpoint" {
        means: "the runtime or CRIU on the source node has failed for a reason that ms2m does not know; the source goes on",
        causes: &["CRIU is not installed, or too old for the kernel", "a file, device or namespace that CRIU cannot dump", "the disk under /var/lib/kubelet/checkpoints is full"],
        next: &["read CRIU's own log on the source node: dump.log in the container's directory, or the runtime's journal", "see what the nodes lack: ms2m check POD --to NODE"],
        says: &["checkpointing of … failed"],
        source: "the sources of Kubernetes 1.36",
    }
    CHECKPOINT_SLOW = "checkpoint-slow", "no answer to the checkpoint call came in time" {
        means: "the kubelet may still be writing the archive; a second call would only disturb it",
        causes: &["more memory than the disk takes in the time", "a load balancer before the API server that closes idle connections: the call is silent until its end"],
        next: &["reach the API server without that load balancer", "see whether an archive is left on the source node, under /var/lib/kubelet/checkpoints: it holds the memory of the process"],
        says: &["no answer to the checkpoint call"],
        source: "the sources of Kubernetes 1.36",
    }
}
