//! What has to be there before a command of a document, and how it ends. A command of which nothing is
//! said here is typed where the one before it has left the world, and ends with 0.

/// What has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// `worker-0` on `node-a` consumes its queue, and its annotations say which.
    Worker,
    /// The same without annotations.
    BareWorker,
    /// The same with variables that name the broker, which is inside the cluster, and nothing else does.
    Undiscovered,
    /// The worker takes its time over what waits for it.
    Busy,
    /// A migration of it, whose `ms2m` was killed.
    Unfinished,
    /// One that the controller has begun and the worker holds up.
    UnderWay,
    /// The controller, and a Secret `mq` with the broker's credentials.
    Controller,
    /// The migration has the label `team=orders`.
    Labelled,
    /// A pod without a queue besides.
    Loner,
    /// The API server's own identity may not take checkpoints.
    NoRight,
    /// Nothing tells CRIU what to do with open connections.
    NoTcpClose,
    /// The controller finds the broker's Service, of which no DNS tells here.
    HostAliases,
    /// The migration before has ended.
    Ended,
    /// `migrations.yaml`.
    Manifest,
    /// An evaluation of one run.
    Evaluated,
}

/// How a command ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// By itself, with this code.
    Code(i32),
    /// Ctrl-C at each of these moments, and then this code.
    Interrupted(&'static [When], i32),
}

/// A moment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// It has said these words.
    Says(&'static str),
    /// A message waits in the worker's queue.
    Queued,
}

use When::{Queued, Says};

/// A command that is not just typed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) document: &'static str,
    /// As one line, without its comment.
    pub(crate) command: &'static str,
    pub(crate) before: &'static [Before],
    pub(crate) end: End,
    /// What it says, besides.
    pub(crate) says: &'static str,
}

impl Case {
    pub(crate) const fn plain() -> Self {
        Self {
            document: "",
            command: "",
            before: &[],
            end: End::Code(0),
            says: "",
        }
    }

    const fn ends(mut self, code: i32) -> Self {
        self.end = End::Code(code);
        self
    }

    const fn interrupted(mut self, when: &'static [When], code: i32) -> Self {
        self.end = End::Interrupted(when, code);
        self
    }

    const fn says(mut self, words: &'static str) -> Self {
        self.says = words;
        self
    }
}

const fn case(document: &'static str, before: &'static [Before], command: &'static str) -> Case {
    let mut case = Case::plain();
    case.document = document;
    case.command = command;
    case.before = before;
    case
}

const fn readme(before: &'static [Before], command: &'static str) -> Case {
    case("README.md", before, command)
}

const fn guide(before: &'static [Before], command: &'static str) -> Case {
    case("docs/operator.md", before, command)
}

/// Those of one document and command in the order in which the document has them.
pub(crate) const CASES: &[Case] = &[
    readme(&[Before::Worker], "ms2m migrate worker-0 --to node-b").says("worker-0 moved"),
    readme(&[], "examples/demo.sh").says("0 lost, 0 doubled, 0 out of order: exact"),
    readme(&[Before::Worker, Before::NoRight], "ms2m check worker-0 --to node-b")
        .ends(3)
        .says("next: kubectl create clusterrole kubelet-checkpoint --verb=create --resource=nodes/checkpoint"),
    readme(
        &[Before::BareWorker],
        "ms2m migrate worker-0 --to node-b --queue orders --exchange events --routing-key orders.new \
         --repository registry.example.com/checkpoints",
    )
    .says("worker-0 moved"),
    readme(&[Before::Worker], "ms2m migrate worker-0 --to node-b --dry-run"),
    readme(&[Before::Unfinished], "ms2m status worker-0-x7k2f"),
    readme(&[], "ms2m migrate --resume worker-0-x7k2f").says("worker-0 moved"),
    readme(&[Before::Unfinished], "ms2m abort worker-0-x7k2f").says("is rolled back"),
    readme(&[], "ms2m drain node-a --dry-run").says("worker-0"),
    readme(&[Before::Undiscovered], "ms2m migrate worker-0 --to node-b --discover")
        .says("found routing-key orders.new in the broker's bindings of queue orders"),
    readme(&[Before::Worker, Before::Loner], "kubectl cordon node-a"),
    readme(&[], "ms2m drain node-a --partial").says("next: say it: kubectl annotate pod loner -n default"),
    readme(&[Before::Worker, Before::NoTcpClose], "ms2m migrate worker-0 --to node-b --yes")
        .ends(4)
        .says("see: ms2m explain open-connection"),
    readme(&[Before::Busy], "ms2m migrate worker-0 --to node-b --yes")
        .interrupted(&[Says("gate closed"), Says("interrupted: rolling back")], 130),
    readme(&[], "ms2m abort worker-0-x7k2f -n default").says("is rolled back"),
    readme(
        &[Before::Worker, Before::Controller],
        "ms2m create worker-0 --to node-b --broker-credentials mq",
    ),
    readme(&[Before::Manifest], "ms2m create -f migrations.yaml --dry-run=client"),
    readme(&[Before::Ended, Before::Worker], "ms2m migrate worker-0 --to node-b --via-controller --broker-credentials mq"),
    readme(&[Before::UnderWay], "ms2m abort worker-0-x7k2f").says("is rolled back"),
    readme(&[], "ms2m retry worker-0-x7k2f --watch").says("worker-0 moved"),
    readme(&[], "ms2m logs worker-0-x7k2f -f"),
    readme(&[], "ms2m delete --finished --older-than 7d"),
    guide(&[Before::NoRight], "kubectl create clusterrole kubelet-checkpoint --verb=create --resource=nodes/checkpoint"),
    guide(
        &[Before::BareWorker],
        "kubectl annotate pod worker-0 -n shop migration.ms2m.io/queue=orders \
         migration.ms2m.io/exchange=events migration.ms2m.io/routing-key='orders.#'",
    ),
    guide(&[], "ms2m migrate worker-0 --to node-b -n shop").says("worker-0 moved"),
    guide(&[Before::Worker], "kubectl cordon node-a"),
    guide(&[], "ms2m drain node-a -n shop").says("completed in"),
    guide(&[Before::Unfinished], "ms2m status worker-0-x7k2f -n shop").says("ms2m migrate --resume"),
    guide(&[], "ms2m abort worker-0-x7k2f -n shop").says("is rolled back"),
    guide(&[Before::Unfinished], "ms2m migrate --resume worker-0-x7k2f -n shop").says("worker-0 moved"),
    guide(&[], "ms2m install --image registry.example.com/ms2m:0.1.0"),
    guide(
        &[Before::HostAliases, Before::Worker],
        "ms2m create worker-0 --to node-b -n shop --broker-credentials mq",
    ),
    guide(&[], "ms2m watch worker-0-x7k2f -n shop").says("worker-0 moved"),
    readme(&[Before::Labelled], "ms2m status -A -w -l team=orders")
        .interrupted(&[Says("worker-0-")], 130),
    case(
        "docs/developer.md",
        &[],
        "ms2m-producer run --exchange events --routing-key orders.new --rate 100 --until-signal --record record.json",
    )
    .interrupted(&[Queued], 0),
    case("docs/developer.md", &[Before::Worker], "ms2m check worker-0 --to node-b"),
    case("docs/developer.md", &[], "ms2m migrate worker-0 --to node-b").says("worker-0 moved"),
    case(
        "examples/worker/README.md",
        &[Before::Worker],
        "ms2m-producer run --exchange orders --routing-key orders.new --publishers 4 --rate 100 --duration 10s \
         --record record.json",
    )
    .says(" confirmed"),
    case(
        "examples/worker/README.md",
        &[],
        "ms2m-producer audit --record record.json --state-url http://10.0.0.7:8080/state",
    )
    .says("0 lost, 0 doubled, 0 out of order: exact ("),
    case("examples/evaluate/README.md", &[Before::Evaluated], "ms2m-evaluate run --out evaluation")
        .interrupted(&[Says(" of them done")], 130),
    case("examples/sandbox/README.md", &[], "ms2m-sandbox up").interrupted(&[Says("\"kubeconfig\"")], 0),
];
