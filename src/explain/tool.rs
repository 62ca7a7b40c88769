//! The cluster as such, the migrations in it, and ms2m's own commands.

use super::explanations;

explanations! { TOOL;
    API_UNREACHABLE = "api-unreachable", "the Kubernetes API cannot be reached" {
        means: "the address in the kubeconfig does not answer, or not as an API server",
        causes: &["another context is meant", "a VPN or a tunnel is down", "no kubeconfig"],
        next: &["check it: kubectl cluster-info", "name another one: --context or --kubeconfig"],
        says: &["the API server cannot be reached"],
    }
    NO_CREDENTIALS = "no-credentials", "the Kubernetes API does not accept who you are" {
        means: "the kubeconfig has no credentials for it, or such as have run out",
        next: &["check who you are: kubectl auth whoami", "log in again as your cluster wants it"],
        says: &["no credentials for the API server", "Unauthorized"],
    }
    RIGHTS_MISSING = "rights-missing", "you lack rights in the cluster" {
        means: "the API server has refused something that ms2m needs",
        next: &["see each right and what it is for: ms2m check", "ask an administrator to bind the roles of examples/manifests/rbac-cli.yaml to you"],
        says: &["is forbidden: User"],
        source: "Kubernetes RBAC",
    }
    CRD_MISSING = "crd-missing", "the cluster does not know StatefulMigrations" {
        means: "the CustomResourceDefinition is not installed, so there are no resources for a controller",
        next: &["install it: ms2m crd | kubectl apply --server-side -f -", "or with the controller: ms2m install --image IMAGE"],
        says: &["CustomResourceDefinition is not installed"],
    }
    UNDER_WAY = "under-way", "a migration of the pod is under way" {
        means: "one process at a time may move a pod, and another migration of it has not ended",
        next: &["follow it: ms2m watch NAME", "go on with one that nobody works on: ms2m migrate --resume NAME", "or undo it: ms2m abort NAME"],
    }
    NAME_TAKEN = "name-taken", "a migration has had that name" {
        means: "the record of a migration stays as its history, and its name is not given twice",
        next: &["give another name with --name, or none", "remove what has ended: ms2m delete NAME"],
    }
    MIGRATION_MISSING = "migration-missing", "there is no such migration" {
        means: "no record of that name, or of that pod, is in the namespace",
        next: &["see all of them: ms2m status -A"],
    }
    MIGRATION_ENDED = "migration-ended", "the migration has ended" {
        means: "there is nothing to go on with, to abort or to retry",
        next: &["see what it came to: ms2m status NAME", "begin another one: ms2m migrate POD --to NODE"],
    }
    CONTROLLER_DRIVES = "controller-drives", "the controller carries the migration out" {
        means: "two that drive one migration would take turns, so the command line leaves it alone",
        next: &["follow it: ms2m watch NAME", "undo it: ms2m abort NAME", "if there is no controller any more: kubectl label sm NAME migration.ms2m.io/driven-by=cli, then ms2m migrate --resume NAME"],
    }
    NOT_CONFIRMED = "not-confirmed", "the question was not answered with yes" {
        means: "nothing was changed",
        next: &["to be asked nothing: --yes"],
    }
    SETTING_MISSING = "setting-missing", "nothing says a setting that a migration takes" {
        means: "each setting comes from a flag, else an environment variable, else an annotation of the pod, else the configuration file",
        next: &["give it in one of the ways that stand under the error", "see where each comes from: ms2m migrate POD --to NODE --dry-run"],
    }
    CANNOT_ALL_MOVE = "cannot-all-move", "not every pod of the node can be moved" {
        means: "without --partial a node is emptied wholly or not at all, and some of its pods cannot move",
        next: &["read under each pod what stands against it", "move the others: --partial"],
    }
    QUEUE_UNNAMED = "queue-unnamed", "nothing says which queue the pod consumes" {
        means: "ms2m drain moves the pods whose queue is named in their annotations",
        next: &["kubectl annotate pod POD migration.ms2m.io/queue=QUEUE", "or, if it has no state, leave it to kubectl drain"],
    }
    RESOURCE_INVALID = "resource-invalid", "a manifest breaks a rule of the CRD" {
        means: "the API server would refuse it, or has",
        next: &["see the rules: kubectl explain sm.spec", "check without a cluster: ms2m create -f FILE --dry-run=client"],
    }
    CONTROLLER_NOT_SERVING = "controller-not-serving", "the controller was installed and does not serve" {
        means: "everything is in place, but its pods are not ready in time",
        causes: &["its image cannot be pulled", "the namespace does not admit its pods"],
        next: &["see why: kubectl describe pods -n ms2m-system", "wait longer: ms2m install --timeout"],
    }
    FIELD_CONFLICT = "field-conflict", "somebody else has set a field that ms2m would set" {
        means: "objects are applied by server-side apply, which overwrites nothing that another manager owns",
        next: &["choose flags that fit", "or take the fields over: ms2m install --force-conflicts"],
        says: &["Apply failed with"],
        source: "Kubernetes server-side apply",
    }
    STILL_NEEDED = "still-needed", "migrations still need what was to be removed" {
        means: "without it a migration under way could be neither finished nor rolled back",
        next: &["wait for them, or undo them: ms2m abort NAME", "see them: ms2m status -A"],
    }
    ARCHIVE_UNREADABLE = "archive-unreadable", "the file is no checkpoint archive that can be read" {
        means: "a checkpoint archive is an uncompressed tar with config.dump, spec.dump and CRIU's images",
        causes: &["another file", "an archive that was cut short", "no right to read it: archives belong to root"],
        next: &["look into it: tar tf FILE"],
    }
    SECRET_UNUSABLE = "secret-unusable", "a Secret that the resource names cannot be used" {
        means: "the controller takes the broker's user and password from it, in the migration's namespace",
        causes: &["it is not there, or has other keys", "the controller may not read Secrets there"],
        next: &["see its keys: kubectl describe secret NAME", "make it: kubectl create secret generic NAME --from-literal=username=U --from-literal=password=P"],
    }
}
