//! Tests of the walk over all rules: a plan stops at the first refusal, a check sees all.

use super::*;
use crate::api::StatefulMigrationSpec;
use crate::migration::plan::{World, findings, plan};
use crate::migration::ports::{BrokerView, ConsumerView, QueueView};

fn node(name: &str) -> NodeView {
    NodeView {
        name: name.to_owned(),
        ready: true,
        unschedulable: false,
        runtime: "cri-o://1.36.3".to_owned(),
        architecture: "amd64".to_owned(),
        kernel: "6.12.48-amd64".to_owned(),
        cpu_features: ["AVX2".to_owned()].into(),
    }
}

fn pod() -> PodView {
    PodView {
        name: "worker-0".to_owned(),
        uid: "u".to_owned(),
        annotations: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        node: Some("node-a".to_owned()),
        phase: "Running".to_owned(),
        terminating: false,
        ready: true,
        containers: vec![ContainerView {
            name: "worker".to_owned(),
            image: "worker:1".to_owned(),
            image_id: "worker@sha256:00".to_owned(),
            running: true,
            liveness: None,
        }],
        init_containers: Vec::new(),
        volumes: Vec::new(),
        host_ports: false,
        owner: None,
        mirror: false,
    }
}

/// A world with nothing against the migration.
fn world() -> World {
    World {
        missing: Vec::new(),
        cluster: InCluster {
            pod: Some(pod()),
            pod_names: vec!["worker-0".to_owned()],
            nodes: vec![node("node-a"), node("node-b")],
            ..InCluster::default()
        },
        broker: AtBroker {
            broker: BrokerView {
                product: "RabbitMQ 4.3".to_owned(),
                management: None,
            },
            exchange_exists: true,
            queue: Some(QueueView {
                consumers: 1,
                ..QueueView::default()
            }),
            limits: Some(Vec::new()),
            bindings: Some(vec![HandoffBinding {
                exchange: "x".to_owned(),
                routing_key: String::new(),
                arguments: std::collections::BTreeMap::new(),
            }]),
            leftovers: Vec::new(),
            consumers: Some(vec![ConsumerView {
                acknowledges: true,
                prefetch: 1,
                peer_host: None,
                peer_port: None,
                connection: None,
                client_name: None,
            }]),
            has_control_queue: true,
            control_consumers: (1, 0),
        },
    }
}

fn request() -> Request {
    Request {
        name: "m".to_owned(),
        namespace: "shop".to_owned(),
        spec: StatefulMigrationSpec {
            target_node: Some("node-b".to_owned()),
            ..StatefulMigrationSpec::sample("worker-0")
        },
    }
}

fn seen(world: &World) -> Vec<Finding> {
    let seen = Seen {
        cluster: Some(&world.cluster),
        broker: Some(&world.broker),
    };
    findings(&request(), seen)
}

fn refused(found: &[Finding]) -> Vec<Rule> {
    let is_refused = |it: &&Finding| matches!(it.found, Found::Refused(_));
    found.iter().filter(is_refused).map(|it| it.rule).collect()
}

fn of(found: &[Finding], rule: Rule) -> &Found {
    let finding = found.iter().find(|it| it.rule == rule);
    &finding.expect("every rule is looked at").found
}

/// What a plan refuses is the first of what a check shows; a plan that is made has its warnings.
#[track_caller]
fn agree(world: &World) {
    let found = seen(world);
    let first = found.iter().find_map(|it| match &it.found {
        Found::Refused(error) => Some(error),
        Found::Held(_) | Found::Unseen(_) => None,
    });
    let said: Vec<&String> = found
        .iter()
        .filter_map(|it| match &it.found {
            Found::Held(warnings) => Some(warnings),
            Found::Refused(_) | Found::Unseen(_) => None,
        })
        .flatten()
        .collect();
    match plan(&request(), world) {
        Ok(plan) => {
            assert_eq!(first, None);
            assert_eq!(plan.warnings.iter().collect::<Vec<_>>(), said);
        }
        Err(error) => assert_eq!(Some(&error), first),
    }
}

/// A part of the world to break, and the rule that then stands against the migration.
type Break = (Rule, fn(&mut World));

const BREAKS: &[Break] = &[
    (Rule::Pod, |world| {
        if let Some(pod) = &mut world.cluster.pod {
            pod.phase = "Pending".to_owned();
        }
    }),
    (Rule::Container, |world| {
        if let Some(pod) = &mut world.cluster.pod {
            pod.containers[0].running = false;
        }
    }),
    (Rule::Owner, |world| {
        if let Some(pod) = &mut world.cluster.pod {
            pod.owner = Some(OwnerView {
                kind: "DaemonSet".to_owned(),
                name: "d".to_owned(),
            });
        }
    }),
    (Rule::SourceNode, |world| {
        world.cluster.nodes[0].ready = false
    }),
    (Rule::TargetNode, |world| {
        world.cluster.nodes[1].ready = false
    }),
    (Rule::Architecture, |world| {
        world.cluster.nodes[1].architecture = "arm64".to_owned();
    }),
    (Rule::SameRuntime, |world| {
        world.cluster.nodes[1].runtime = "containerd://2.1.9".to_owned();
    }),
    (Rule::Checkpoints, |world| {
        world.cluster.nodes[0].runtime = "cri-o://1.24.0".to_owned();
    }),
    (Rule::Restores, |world| {
        world.cluster.nodes[1].runtime = "cri-o://1.24.0".to_owned();
    }),
    (Rule::Fits, |world| {
        let why = "it does not tolerate the node's taint gpu".to_owned();
        world.cluster.around.unfit.insert("node-b".to_owned(), why);
    }),
    (Rule::TargetName, |world| {
        world.cluster.pod_names.push("worker-0-shadow".to_owned());
    }),
    (Rule::Exchange, |world| world.broker.exchange_exists = false),
    (Rule::Bindings, |world| {
        world.broker.bindings = Some(Vec::new())
    }),
    (Rule::Queue, |world| {
        world.broker.leftovers.push("queue r".to_owned())
    }),
    (Rule::Limits, |world| {
        world.broker.limits = Some(vec!["max-length 1 (policy p)".to_owned()]);
    }),
    (Rule::Alone, |world| {
        world.broker.queue = Some(QueueView {
            consumers: 2,
            ..QueueView::default()
        });
    }),
    (Rule::Acknowledges, |world| {
        if let Some(consumers) = &mut world.broker.consumers {
            consumers[0].acknowledges = false;
        }
    }),
    (Rule::Handoff, |world| {
        world.broker.has_control_queue = false
    }),
    (Rule::ControlQueues, |world| {
        world.broker.control_consumers = (2, 0)
    }),
];

#[test]
fn nothing_stands_against_a_world_in_order() {
    let found = seen(&world());
    for finding in &found {
        assert_eq!(finding.found, Found::Held(Vec::new()), "{:?}", finding.rule);
    }
    agree(&world());
}

#[test]
fn each_rule_refuses_what_it_is_about() {
    for (rule, break_it) in BREAKS {
        let mut broken = world();
        break_it(&mut broken);
        assert_eq!(refused(&seen(&broken)), [*rule]);
        agree(&broken);
    }
}

#[test]
fn of_two_refusals_a_plan_tells_the_first_and_a_check_both() {
    for (at, (one, break_one)) in BREAKS.iter().enumerate() {
        for (other, break_other) in &BREAKS[at + 1..] {
            let mut broken = world();
            break_one(&mut broken);
            break_other(&mut broken);
            agree(&broken);
            let found = refused(&seen(&broken));
            // The other one may have nothing left to look at.
            assert!(
                found.contains(one) || found.contains(other),
                "{one:?} {other:?}: {found:?}"
            );
        }
    }
}

#[test]
fn what_could_not_be_seen_is_never_held() {
    let world = world();
    let blind = findings(&request(), Seen::default());
    assert_eq!(blind.len(), seen(&world).len());
    for finding in &blind {
        assert!(matches!(finding.found, Found::Unseen(_)), "{finding:?}");
    }
    let without_broker = Seen {
        cluster: Some(&world.cluster),
        broker: None,
    };
    for finding in findings(&request(), without_broker) {
        let unseen = matches!(finding.found, Found::Unseen(_));
        assert_eq!(unseen, finding.rule.subject() == Subject::Broker);
    }
}

#[test]
fn what_holds_for_want_of_something_to_look_at_is_not_held() {
    let mut vague = world();
    vague.broker.limits = None;
    vague.broker.consumers = None;
    vague.cluster.nodes[1].cpu_features.clear();
    vague.cluster.nodes[1].kernel.clear();
    vague.cluster.around.unseen = vec!["claim c".to_owned()];
    let found = seen(&vague);
    for rule in [
        Rule::Limits,
        Rule::Acknowledges,
        Rule::Cpu,
        Rule::Kernel,
        Rule::Claims,
    ] {
        assert!(matches!(of(&found, rule), Found::Unseen(_)), "{rule:?}");
    }
    agree(&vague);
    let mut without_queue = world();
    without_queue.broker.queue = None;
    let found = seen(&without_queue);
    for rule in [
        Rule::Bindings,
        Rule::Limits,
        Rule::Alone,
        Rule::Acknowledges,
    ] {
        assert!(matches!(of(&found, rule), Found::Unseen(_)), "{rule:?}");
    }
    agree(&without_queue);
}

#[test]
fn an_older_kernel_and_a_lesser_cpu_are_warned_about() {
    let mut lesser = world();
    lesser.cluster.nodes[0]
        .cpu_features
        .insert("AVX512F".to_owned());
    lesser.cluster.nodes[1].kernel = "5.10.0".to_owned();
    let found = seen(&lesser);
    for (rule, words) in [(Rule::Cpu, "AVX512F"), (Rule::Kernel, "older than 6.12")] {
        let Found::Held(warnings) = of(&found, rule) else {
            panic!("{rule:?} only warns");
        };
        assert!(warnings.join("\n").contains(words), "{warnings:?}");
    }
    agree(&lesser);
}
