//! The handoff on its way: what the application or the broker did not do in time.

use super::explanations;

explanations! { HANDOFF;
    SOURCE_SILENT = "source-silent", "the source does not obey its control queue" {
        means: "it was told PING, START_REPLAY or END_REPLAY and nothing shows that it has read that in time",
        causes: &["the application does not read ms2m.control.POD, or reads it rarely", "it is stuck in one message for too long"],
        next: &["see whether it listens: rabbitmqctl list_queues -p VHOST name messages consumers", "give it more time: --obey-timeout", "one that does not listen can be moved without promises: --handoff mirror"],
    }
    TARGET_SILENT = "target-silent", "the restored process does not come back to the broker or does not obey" {
        means: "a restored process has a dead connection: it has to reconnect, and to take its pod's name from /etc/hostname",
        causes: &["it does not reconnect when its connection drops", "it listens on the source's control queue", "the target node does not reach the broker"],
        next: &["see its log: kubectl logs TARGET", "see 'The consumer contract' in the README", "give it more time: --obey-timeout"],
    }
    STALE_IDENTITY = "stale-identity", "the restored process goes by the source's name" {
        means: "it listens on the control queue of the source: $HOSTNAME and gethostname() keep the old name in a restored process",
        next: &["let the application read its pod's name from /etc/hostname on each reconnect", "or let ms2m stop the source first, with no way back from there: --stale-identity stop-source"],
        source: "measured on CRI-O 1.36.3 and containerd 2.1.9",
    }
    QUEUE_NOT_QUIET = "queue-not-quiet", "the source did not finish its queue in time" {
        means: "before the checkpoint nothing may be left in the queue, ready or unacknowledged",
        causes: &["the source is slow, or has a long backlog", "its producers also publish over a way that ms2m does not see, such as the default exchange"],
        next: &["give it more time: --drain-timeout", "see what arrives: rabbitmqctl list_queues -p VHOST name messages_ready messages_unacknowledged"],
    }
    QUEUE_CONSUMED = "queue-consumed", "something else consumes the queue" {
        means: "before the gate opens nobody may consume the queue, or its messages would be lost to the target",
        next: &["see who it is: rabbitmqctl list_consumers -p VHOST", "end it, then start again"],
    }
    TARGET_ENDED = "target-ended", "the target has ended or was deleted in mid-migration" {
        means: "a target is never started twice, since its state would go back in time",
        causes: &["it crashed after the restore", "somebody, or its node, has deleted it"],
        next: &["see its log: ms2m support-bundle NAME", "see its node: kubectl describe node NODE"],
    }
    GATE_LEAKED = "gate-leaked", "the broker came back without a change that it had confirmed" {
        means: "a broker that is killed within about two seconds of a change to its bindings may lose it, so messages went past the gate in mid-migration",
        causes: &["a RabbitMQ with the older metadata store (Mnesia) was killed, not stopped"],
        next: &["compare what the application holds with what was published in that time", "stop a broker in an orderly way, never by killing it"],
        source: "measured on RabbitMQ 3.10",
    }
}
