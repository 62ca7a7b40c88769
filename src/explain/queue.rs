//! What stands against a migration at the broker.

use super::explanations;

explanations! { QUEUE;
    BROKER_DENIES = "broker-denies", "the broker does not let its user do what a migration takes" {
        means: "the user has to make, bind, use and delete queues and exchanges whose names begin with the queue's, and read its control queue's",
        causes: &["wrong user or password", "permissions of the virtual host that cover the application's own names alone"],
        next: &["rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'", "see each right: ms2m check POD --to NODE"],
        says: &["ACCESS_REFUSED - ", "NOT_ALLOWED - "],
        source: "the AMQP 0-9-1 specification and RabbitMQ",
    }
    BROKER_UNREACHABLE = "broker-unreachable", "the broker cannot be reached from here" {
        means: "ms2m itself speaks to the broker, so its address must work on this machine too",
        causes: &["a wrong host, port or virtual host in --broker-url", "a name that only pods can resolve", "a firewall", "TLS: amqps:// where the broker speaks plain AMQP, or the other way round"],
        next: &["check the address: --broker-url", "from a workstation: kubectl port-forward svc/BROKER 5672"],
        says: &["the connection to the broker failed"],
    }
    EXCHANGE_MISSING = "exchange-missing", "the producers' exchange is not there" {
        means: "the gate stands between the exchange that the producers publish to and the queue",
        next: &["name it: --exchange NAME", "see what there is: rabbitmqctl list_exchanges -p VHOST"],
    }
    DEFAULT_EXCHANGE = "default-exchange", "the producers publish to the default exchange" {
        means: "its bindings cannot be changed, so no gate can stand before the queue",
        next: &["let the producers publish to an exchange of their own that is bound to the queue", "then name it: --exchange NAME"],
        source: "the AMQP 0-9-1 specification",
    }
    QUEUE_UNBOUND = "queue-unbound", "the queue is not bound to the exchange" {
        means: "messages reach the queue over another exchange, or over the default one, past the gate",
        next: &["see its bindings: rabbitmqctl list_bindings -p VHOST", "name the exchange that it is bound to: --exchange NAME"],
    }
    QUEUE_MISSING = "queue-missing", "the queue is not there" {
        means: "no queue of that name is in the virtual host of --broker-url",
        next: &["name the queue that the pod consumes: --queue NAME", "see what there is: rabbitmqctl list_queues -p VHOST name consumers"],
    }
    QUEUE_IDLE = "queue-idle", "nobody consumes the queue" {
        means: "the pod does not work on it, so it is probably not the pod's queue",
        causes: &["another queue is meant", "the application has lost its connection and has not come back"],
        next: &["name the queue that the pod consumes: --queue NAME", "see its log: kubectl logs POD"],
    }
    QUEUE_IN_MIGRATION = "queue-in-migration", "the queue is being migrated already" {
        means: "parts of a gate of that queue are at the broker: another migration of it is under way, or was left half done",
        next: &["see what it does: ms2m status -A", "undo one that nobody works on: ms2m abort NAME"],
    }
    QUEUE_DROPS = "queue-drops", "the broker may drop messages that wait" {
        means: "a policy limits the queue's length or the messages' lifetime, and covers the replay queues too, where messages wait for longer",
        next: &["lift the limit for the time of the migration", "or let the policy's pattern end with $ and say --force"],
    }
    QUEUE_SHARED = "queue-shared", "the pod is not the queue's only consumer" {
        means: "the others would take messages that the pod's state then lacks",
        next: &["give each pod a queue of its own", "if all consumers are the pod's own: --force"],
    }
    AUTOMATIC_ACKNOWLEDGEMENT = "automatic-acknowledgement", "the consumer does not acknowledge" {
        means: "with automatic acknowledgement nobody can tell what was sent to it and not applied yet; such messages are lost with its connection",
        next: &["let the application acknowledge a message after it has applied it", "to go on without a promise: --force"],
    }
    NO_CONTROL_QUEUE = "no-control-queue", "the application has no control queue" {
        means: "it does not listen on ms2m.control.POD for START_REPLAY and END_REPLAY, so it cannot take part in the handoff",
        next: &["see 'The consumer contract' in the README", "or move it without promises: --handoff mirror"],
    }
    CONTROL_QUEUE_SHARED = "control-queue-shared", "another process listens on the pod's control queue" {
        means: "it would obey what is meant for the pod, as a pod of the same name in another namespace does",
        next: &["let the two applications use different virtual hosts, or give the pods different names"],
    }
    QUEUE_OTHERWISE = "queue-otherwise", "a queue is there with other properties" {
        means: "an application or an older migration has declared a queue of that name with other arguments, and the broker refuses to change them",
        next: &["see its arguments: rabbitmqctl list_queues -p VHOST name arguments durable", "delete it if it is an empty leftover"],
        says: &["PRECONDITION_FAILED - inequivalent arg"],
        source: "measured on RabbitMQ 3.10 and 4.3",
    }
    QUEUE_NOT_EMPTY = "queue-not-empty", "a queue that was to be deleted is not empty or not unused" {
        means: "deleting it would lose messages, so the broker was asked not to",
        next: &["see what is in it: rabbitmqctl list_queues -p VHOST name messages consumers", "once nobody needs it: ms2m abort NAME, or ms2m migrate --resume NAME"],
        says: &["PRECONDITION_FAILED - queue '…' in vhost", "NOT_IMPLEMENTED - cannot delete queue"],
        source: "measured on classic (406) and quorum queues (540) of RabbitMQ 4.3",
    }
}
