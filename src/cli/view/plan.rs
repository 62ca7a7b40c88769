//! What a migration would do.

use super::{boxed, pairs};
use crate::api::Strategy;
use crate::cli::settings::Resolved;
use crate::cli::settings::value::show_compression;
use crate::cli::ui::{Paint, Tone};
use crate::migration::plan::Plan;

/// A few lines to say yes or no to.
#[must_use]
pub fn brief(plan: &Plan, settings: &[Resolved], paint: Paint) -> String {
    let mut text = format!(
        "{}\n{}",
        paint.tone(Tone::Strong, &headline(plan)),
        facts(plan, settings)
    );
    for warning in &plan.warnings {
        text.push_str(&format!(
            "\n{}: {warning}",
            paint.tone(Tone::Warning, "warning")
        ));
    }
    text
}

/// What ends a plan that is only shown.
pub const UNCHANGED: &str = "Nothing was changed.";

/// The plan, its steps, and where each setting comes from.
#[must_use]
pub fn full(plan: &Plan, settings: &[Resolved], paint: Paint, columns: u16) -> String {
    format!("{}\n\n{UNCHANGED}", body(plan, settings, paint, columns))
}

/// The same with more to come.
#[must_use]
pub fn body(plan: &Plan, settings: &[Resolved], paint: Paint, columns: u16) -> String {
    let steps: Vec<String> = steps(plan)
        .iter()
        .enumerate()
        .map(|(index, step)| format!("  {}. {step}", index + 1))
        .collect();
    format!(
        "{}\n\n{}\n{}\n\n{}\n{}",
        brief(plan, settings, paint),
        paint.tone(Tone::Strong, "Steps"),
        steps.join("\n"),
        paint.tone(Tone::Strong, "Settings"),
        origins(settings, columns)
    )
}

fn headline(plan: &Plan) -> String {
    format!(
        "Move {}/{} (container {}) from {} to {}",
        plan.namespace, plan.source_pod, plan.container, plan.source_node, plan.target_node
    )
}

fn facts(plan: &Plan, settings: &[Resolved]) -> String {
    let bindings: Vec<String> = plan
        .bindings
        .iter()
        .map(|binding| match binding.routing_key.as_str() {
            "" => binding.exchange.clone(),
            key => format!("{} with key {key}", binding.exchange),
        })
        .collect();
    let broker = settings
        .iter()
        .find(|resolved| resolved.setting.name == "broker-url")
        .and_then(|resolved| resolved.value.clone())
        .unwrap_or_default();
    pairs(&[
        ("  Migration", plan.name.clone()),
        (
            "  Target",
            format!("pod {}, {}", plan.target_pod, plan.strategy),
        ),
        (
            "  Queue",
            format!("{}, bound to {}", plan.queue, bindings.join(", ")),
        ),
        ("  Broker", broker),
        ("  Checkpoint", plan.checkpoint_image.clone()),
        (
            "  Transfer",
            format!(
                "{}, compression {}",
                plan.transfer_image,
                show_compression(&plan.compression)
            ),
        ),
    ])
}

/// What will be done, in order.
fn steps(plan: &Plan) -> Vec<String> {
    let queue = &plan.queue;
    let target = &plan.target_pod;
    let source = &plan.source_pod;
    let node = &plan.target_node;
    let set = plan
        .owner
        .as_ref()
        .filter(|owner| owner.kind == "StatefulSet");
    let set = set.map(|set| format!("{} {}", set.kind, set.name));
    let set = set.unwrap_or_else(|| "the owner".to_owned());
    let end = format!(
        "open the gate, see {target} consume {queue}, take the gate and the replay queues out"
    );
    let (handover, end) = match plan.strategy {
        Strategy::ShadowPod => (
            format!("start {target} on {node} from that image"),
            format!("remove {source} (the commit point), {end}"),
        ),
        Strategy::Sequential => (
            format!(
                "delete {set} without its pods, remove {source} (the commit point), start {target} on \
                 {node} from that image"
            ),
            format!("put {set} back, {end}"),
        ),
    };
    let mut steps = vec![
        format!(
            "Pending: take the lock on {source}, pull its image on {}",
            plan.target_node
        ),
        format!(
            "Checkpointing: put the gate in front of {queue} and close it, let {source} empty the \
             queue, checkpoint it, send it to its own replay queue"
        ),
        format!(
            "Transferring: push the archive from {} as {}",
            plan.source_node, plan.checkpoint_image
        ),
        format!("Restoring: {handover}"),
        format!("Replaying: let {target} apply what has waited for it"),
        format!("Finalizing: {end}"),
    ];
    if plan.strategy == Strategy::ShadowPod && set != "the owner" {
        steps.push(format!(
            "Finalizing, once more: delete {set} without its pods at the commit point, give the state \
             of {target} to a new {source} on {node} in the same way, put {set} back"
        ));
    }
    steps
}

/// Every setting, its value and where it was said.
fn origins(settings: &[Resolved], columns: u16) -> String {
    let mut table = boxed(columns);
    table.set_header(vec!["Setting", "Value", "From"]);
    for resolved in settings {
        let value = match resolved.value.as_deref() {
            Some("") => "(empty)",
            Some(value) => value,
            None => "",
        };
        table.add_row(vec![
            resolved.setting.name.to_owned(),
            value.to_owned(),
            resolved.origin.to_string(),
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::api::{Compression, HandoffBinding};
    use crate::cli::settings::{Origin, table};
    use crate::migration::ports::OwnerView;

    fn plan() -> Plan {
        Plan {
            name: "worker-0-x7k2f".to_owned(),
            namespace: "default".to_owned(),
            source_pod: "worker-0".to_owned(),
            source_uid: "u-1".to_owned(),
            source_node: "node-a".to_owned(),
            container: "worker".to_owned(),
            base_image: "registry.example.com/worker@sha256:00".to_owned(),
            target_node: "node-b".to_owned(),
            target_pod: "worker-0-shadow".to_owned(),
            strategy: Strategy::ShadowPod,
            owner: None,
            queue: "orders".to_owned(),
            bindings: vec![HandoffBinding {
                exchange: "events".to_owned(),
                routing_key: "orders.*".to_owned(),
                arguments: std::collections::BTreeMap::new(),
            }],
            checkpoint_image: "registry.example.com/checkpoints:worker-0-x7k2f.3056abea8b7d"
                .to_owned(),
            transfer_image: "registry.example.com/ms2m-transfer:0.1.0".to_owned(),
            compression: Compression::Gzip,
            warnings: vec!["the broker does not tell its bindings".to_owned()],
            estimate: std::collections::BTreeMap::new(),
        }
    }

    fn settings() -> Vec<Resolved> {
        let resolved = |setting, value: Option<&str>, origin| Resolved {
            setting,
            value: value.map(ToOwned::to_owned),
            origin,
        };
        vec![
            resolved(&table::CONTAINER, None, Origin::Default),
            resolved(
                &table::REPOSITORY,
                Some("registry.example.com/checkpoints"),
                Origin::Config(
                    PathBuf::from("/home/operator/.config/ms2m/config.yaml"),
                    "contexts.production.repository".to_owned(),
                ),
            ),
            resolved(
                &table::QUEUE,
                Some("orders"),
                Origin::Annotation(table::QUEUE.annotation()),
            ),
            resolved(&table::ROUTING_KEY, Some(""), Origin::Default),
            resolved(
                &table::BROKER_URL,
                Some("amqp://mq.example.com"),
                Origin::Environment(table::BROKER_URL.env()),
            ),
            resolved(
                &table::MAX_PAUSE,
                Some("500ms"),
                Origin::Flag(table::MAX_PAUSE.flag()),
            ),
        ]
    }

    #[test]
    fn a_set_is_in_the_steps_of_its_pods() {
        let of = |strategy, target: &str| {
            let plan = Plan {
                strategy,
                target_pod: target.to_owned(),
                owner: Some(OwnerView {
                    kind: "StatefulSet".to_owned(),
                    name: "worker".to_owned(),
                }),
                ..plan()
            };
            steps(&plan).join("\n")
        };
        let first = of(Strategy::Sequential, "worker-0");
        assert!(
            first.contains("delete StatefulSet worker without its pods, remove worker-0"),
            "{first}"
        );
        let twice = of(Strategy::ShadowPod, "worker-0-shadow");
        assert!(
            twice.contains("give the state of worker-0-shadow to a new worker-0"),
            "{twice}"
        );
    }

    #[test]
    fn a_dry_run_shows_plan_steps_and_settings() {
        insta::assert_snapshot!(full(&plan(), &settings(), Paint(false), 80), @r"
        Move default/worker-0 (container worker) from node-a to node-b
          Migration   worker-0-x7k2f
          Target      pod worker-0-shadow, ShadowPod
          Queue       orders, bound to events with key orders.*
          Broker      amqp://mq.example.com
          Checkpoint  registry.example.com/checkpoints:worker-0-x7k2f.3056abea8b7d
          Transfer    registry.example.com/ms2m-transfer:0.1.0, compression gzip
        warning: the broker does not tell its bindings

        Steps
          1. Pending: take the lock on worker-0, pull its image on node-b
          2. Checkpointing: put the gate in front of orders and close it, let worker-0 empty the queue, checkpoint it, send it to its own replay queue
          3. Transferring: push the archive from node-a as registry.example.com/checkpoints:worker-0-x7k2f.3056abea8b7d
          4. Restoring: start worker-0-shadow on node-b from that image
          5. Replaying: let worker-0-shadow apply what has waited for it
          6. Finalizing: remove worker-0 (the commit point), open the gate, see worker-0-shadow consume orders, take the gate and the replay queues out

        Settings
        ╭─────────────┬────────────────────────────────┬───────────────────────────────╮
        │ Setting     ┆ Value                          ┆ From                          │
        ╞═════════════╪════════════════════════════════╪═══════════════════════════════╡
        │ container   ┆                                ┆ default                       │
        │ repository  ┆ registry.example.com/checkpoin ┆ contexts.production.repositor │
        │             ┆ ts                             ┆ y in /home/operator/.config/m │
        │             ┆                                ┆ s2m/config.yaml               │
        │ queue       ┆ orders                         ┆ annotation                    │
        │             ┆                                ┆ migration.ms2m.io/queue       │
        │ routing-key ┆ (empty)                        ┆ default                       │
        │ broker-url  ┆ amqp://mq.example.com          ┆ $MS2M_BROKER_URL              │
        │ max-pause   ┆ 500ms                          ┆ --max-pause                   │
        ╰─────────────┴────────────────────────────────┴───────────────────────────────╯

        Nothing was changed.
        ");
    }

    #[test]
    fn a_dry_run_on_a_wide_screen() {
        let shown = full(&plan(), &settings(), Paint(false), 200);
        let (_, settings) = shown.split_once("Settings\n").expect("it has that part");
        insta::assert_snapshot!(settings, @r"
        ╭─────────────┬──────────────────────────────────┬───────────────────────────────────────────────────────────────────────────╮
        │ Setting     ┆ Value                            ┆ From                                                                      │
        ╞═════════════╪══════════════════════════════════╪═══════════════════════════════════════════════════════════════════════════╡
        │ container   ┆                                  ┆ default                                                                   │
        │ repository  ┆ registry.example.com/checkpoints ┆ contexts.production.repository in /home/operator/.config/ms2m/config.yaml │
        │ queue       ┆ orders                           ┆ annotation migration.ms2m.io/queue                                        │
        │ routing-key ┆ (empty)                          ┆ default                                                                   │
        │ broker-url  ┆ amqp://mq.example.com            ┆ $MS2M_BROKER_URL                                                          │
        │ max-pause   ┆ 500ms                            ┆ --max-pause                                                               │
        ╰─────────────┴──────────────────────────────────┴───────────────────────────────────────────────────────────────────────────╯

        Nothing was changed.
        ");
    }
}
