//! How a command ends when it has no more particular code: one for each kind of failure.

use super::explanations;

explanations! { ENDS;
    USAGE = "usage", "the request makes no sense as it was typed or configured" {
        means: "an argument, a setting or a file cannot be read, or contradicts another; nothing was changed",
        causes: &["a typing error", "a setting of another layer: an environment variable, an annotation of the pod, the configuration file"],
        next: &["see what is meant: ms2m COMMAND --help", "see where each setting comes from: ms2m migrate POD --to NODE --dry-run"],
    }
    REFUSED = "refused", "cluster or broker do not allow it" {
        means: "something stands against it as the world is now; nothing was changed",
        next: &["see everything that stands against a migration: ms2m check POD --to NODE"],
    }
    ROLLED_BACK = "rolled-back", "the migration failed on the way" {
        means: "it failed before its commit point and was rolled back: the source serves as before, and no message was lost",
        next: &["put right what the error names, then start it again: ms2m migrate POD --to NODE, or for a resource: ms2m retry NAME"],
    }
    INTERRUPTED = "interrupted", "the migration was interrupted and rolled back" {
        means: "Ctrl-C, SIGTERM, a closed terminal or ms2m abort ended it before its commit point: the source serves as before",
        next: &["start it again when it suits: ms2m migrate POD --to NODE"],
    }
    UNFINISHED = "unfinished", "the migration failed after its commit point" {
        means: "past that point there is only forward: the target has the state, and something is left to finish",
        next: &["run the same command again, or: ms2m migrate --resume NAME", "see how far it is: ms2m status NAME"],
    }
    STUCK = "stuck", "the roll-back could not be finished" {
        means: "something that the migration had changed could not be undone; the error and ms2m status NAME say what is left",
        causes: &["the broker or the API server was away for too long", "rights were taken away in mid-migration"],
        next: &["once the reason is gone: ms2m abort NAME undoes the rest"],
    }
    LOCK_LOST = "lock-lost", "this process lost the lock on the pod" {
        means: "another process may be at work, so this one stopped without another effect; the record says how far the migration is",
        causes: &["the process was suspended, or cut off from the cluster, for longer than its lock lasts", "somebody removed the lock"],
        next: &["see who goes on with it: ms2m status", "if nobody does: ms2m migrate --resume NAME"],
    }
    HANDED_OVER = "handed-over", "this process left the migration to another one" {
        means: "it was asked to go and stopped between two effects; another process, such as the next leader, goes on",
        next: &["see how far it is: ms2m status NAME"],
    }
    TOO_LATE = "too-late", "the migration could not be aborted any more" {
        means: "it was past its commit point, where there is only forward: the target serves",
        next: &["to have the pod back on its old node, move it again: ms2m migrate TARGET --to NODE"],
    }
    SOURCE_LOST = "source-lost", "the source was lost before the commit point" {
        means: "it crashed, was deleted or is on a node that is out of reach, before anybody else had its state; the migration was rolled back, and what the source had not applied waits in the queue",
        next: &["start the pod again as after a crash; its owner does so by itself", "see why it ended: ms2m support-bundle NAME"],
    }
    TARGET_LOST = "target-lost", "the target was lost after the commit point" {
        means: "it crashed or was deleted when the source had gone already, and the pod's state with it, as after any crash of a pod; what it had not applied waits in the queue",
        next: &["start the pod again as after a crash; its owner does so by itself", "see why it ended: ms2m support-bundle NAME"],
    }
    TIMED_OUT = "timed-out", "what was waited for has not come in time" {
        means: "this command has waited as long as --timeout says and goes; what it waited for goes on without it",
        causes: &["it takes longer than was thought", "nobody carries it out: no controller is there, or its process is gone"],
        next: &["look again: ms2m watch NAME, or ms2m status NAME", "give it more time: --timeout"],
    }
    MESSAGES_IN_DOUBT = "messages-in-doubt", "not every message is known to have been applied exactly once and in order" {
        means: "the migration has ended, but something was seen on the way that speaks against it; the result and status.receipt.doubts say what",
        causes: &["the broker was killed in mid-migration and came back without the closing of the gate", "messages were put back into the queue when the gate had opened, or more came in than could be put back before it", "the application lost its connection between the opening of the gate and the end of its replay queue, and came back on the primary queue: newer messages before older ones"],
        next: &["compare what the application holds with what was published in that time", "stop a broker in an orderly way, never by killing it", "let the application come back to the queue that its last order named, if it is still there"],
        source: "measured on RabbitMQ 3.10",
    }
    UNEXPECTED = "unexpected", "something that nobody has foreseen" {
        means: "a failure of this machine or of ms2m itself, such as a full disk or a mistake in the program",
        next: &["see more: run the command again with -vv", "if it is a mistake of ms2m, report it with ms2m support-bundle NAME"],
    }
}
