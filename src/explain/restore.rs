//! Transfer and restore: what registries, kubelets, runtimes and CRIU say when they fail. The more
//! particular ones come first.

use super::explanations;

/// Where it was seen.
const CRIO: &str = "measured on CRI-O 1.36.3 with runc 1.3.6 and CRIU 4.2.1";

explanations! { RESTORE;
    IMAGE_NOT_KNOWN = "image-not-known", "the container's own image is not on the target node" {
        means: "a restore is made on the image that the source container was made of, which CRI-O never pulls for it",
        causes: &["the image was collected as garbage on the target node just then", "the target node may not pull it"],
        next: &["see that the target node can pull it by digest, with the pod's pull secrets", "start again: ms2m pulls it first"],
        says: &["image not known"],
        source: CRIO,
    }
    IMAGE_UNTAGGED = "image-untagged", "the container's own image has lost its tag on the target node" {
        means: "CRI-O restores such a container, but the kubelet cannot tell its status, and the pod hangs with its process running",
        next: &["pull the image by digest on the target node, then start again", "see that the pod is gone from the node: crictl ps -a"],
        says: &["status.Image is not set"],
        source: CRIO,
    }
    MOUNTS_MISSING = "mounts-missing", "the target pod lacks a mount of the source container" {
        means: "every mount of the old container, the service account token included, must be in the new pod under the same path",
        causes: &["an admission webhook adds mounts to one of the two pods, or takes some away"],
        next: &["compare the mounts of the two: kubectl get pod POD -o yaml"],
        says: &["expects following bind mounts defined"],
        source: CRIO,
    }
    TCP_ESTABLISHED = "tcp-established", "the checkpoint was taken with `tcp-established`" {
        means: "such a connection keeps the old pod's address, which the new pod does not have",
        next: &["put `tcp-close` in the place of `tcp-established` into /etc/criu/runc.conf (with crun: /etc/criu/crun.conf) on both nodes"],
        says: &["Can't bind inet socket back"],
        source: CRIO,
    }
    FILE_CHANGED = "file-changed", "a file that the process has open has changed since the checkpoint" {
        means: "CRIU refuses a file that has another size than at the checkpoint; on storage that both pods share the source goes on writing to it",
        next: &["let the application keep what it writes in memory or in a volume of its own", "a pod of a StatefulSet: --strategy sequential, so that the source stops first"],
        says: &["has bad size"],
        source: "the sources of CRIU 4.2",
    }
    SIGNATURE_POLICY = "signature-policy", "CRI-O restores nothing in a namespace with a signature policy" {
        means: "a checkpoint image carries no signature that the policy could check",
        next: &["take the namespace's policy away (signature_policy_dir of CRI-O, usually /etc/crio/policies), or move the pod to another namespace"],
        says: &["signature policy", "signature_policy"],
        source: CRIO,
    }
    HTTPS_TO_LOCALHOST = "https-to-localhost", "the target node's runtime speaks HTTPS to the receiver of a direct transfer" {
        means: "the receiver serves plain HTTP on the node's loopback, which CRI-O has to be told",
        next: &["CRI-O: put `[[registry]]`, `location = \"localhost:5351\"` (or the port of --direct-port) and `insecure = true` into a file in /etc/containers/registries.conf.d on that node, and `systemctl reload crio`", "another registry without TLS: the same with its address"],
        says: &["server gave HTTP response to HTTPS client"],
        source: "measured on CRI-O 1.36.3",
    }
    RESTORE_REFUSED = "restore-refused", "CRIU could not restore the process on the target node" {
        means: "CRIU itself has failed there; the kubelet goes on trying, and it goes on failing",
        causes: &["the checkpoint was taken under runc and the target node uses crun, or the other way round", "`tcp-close` is missing in CRIU's configuration on the target node", "an older kernel, or a CPU that lacks features"],
        next: &["read CRIU's own log on the target node: restore.log in the container's directory", "see what the nodes differ in: ms2m check POD --to NODE"],
        says: &["criu failed: type RESTORE", "criu failed: type NOTIFY"],
        source: "measured on containerd 2.1.9 and CRI-O 1.36.3",
    }
    RESTORE_FAILED = "restore-failed", "the target's container could not be started" {
        means: "the target node's runtime does not start the container from the checkpoint image; without CRIU's own words nobody knows why",
        causes: &["what the kubelet says in the pod's events"],
        next: &["see the events: kubectl get events -n NAMESPACE --sort-by=.lastTimestamp", "see what the nodes differ in: ms2m check POD --to NODE"],
        says: &["CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff", "OCI runtime restore failed"],
        source: "measured on CRI-O 1.36.3 and containerd 2.1.9",
    }
    IMAGE_PULL = "image-pull", "a node cannot pull an image" {
        means: "the target node, or the node of the transfer, cannot get an image from its registry",
        causes: &["a wrong name, or the image is not there", "no pull secret, or one without the right to pull", "the registry is not reachable from that node, or has no TLS"],
        next: &["see why: kubectl describe pod POD", "the transfer's own image: --transfer-image; its credentials and the checkpoint's: --registry-secret"],
        says: &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"],
        source: "the sources of Kubernetes 1.36",
    }
    TRANSFER_FAILED = "transfer-failed", "the checkpoint did not reach the registry or the receiver" {
        means: "the transfer's Job on the source node could not read, pack or send the archive",
        causes: &["credentials that may not push", "the registry, or the receiver's port, is not reachable from the source node", "the Job's pod could not start"],
        next: &["see its log: ms2m logs NAME", "credentials: --registry-secret; a registry without TLS: --registry-plain-http", "try whether the registry can be pushed to: ms2m check POD --to NODE"],
    }
    REGISTRY_UNUSABLE = "registry-unusable", "the registry does not take the checkpoint from here" {
        means: "checkpoints are pushed by the nodes, and deleted by ms2m when they are restored",
        causes: &["no credentials on this machine", "a wrong --repository, or one that has to be made first"],
        next: &["docker login REGISTRY", "for the transfer: --registry-secret", "a registry without TLS: --registry-plain-http"],
    }
    UNSCHEDULED = "unscheduled", "the scheduler finds no place for a pod of the migration" {
        means: "no node fits, or the one that is meant has not enough free memory, CPU or pods",
        next: &["see why: kubectl describe pod POD", "make room there, or name another node: --to NODE"],
        says: &["the scheduler finds no place"],
    }
}
