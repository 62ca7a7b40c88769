//! `ms2m status -w` on a terminal.

use serde_json::{Value, json};

use crate::support::terminal::{CTRL_C, Left};
use crate::support::{Terminal, World};

const NAMESPACE: &str = "watched";

/// Makes or changes the record of a migration.
async fn record(world: &World, name: &str, phase: &str) {
    let record = json!({
        "name": name, "namespace": NAMESPACE, "created": "2026-01-02T03:04:05Z",
        "spec": {
            "sourcePod": "worker-0", "targetNode": "node-b",
            "checkpointImageRepository": "registry.example.com/checkpoints",
            "messageQueueConfig": {
                "queueName": "orders", "brokerUrl": "amqp://broker", "exchangeName": "events",
            },
        },
        "status": {
            "phase": phase, "sourceNode": "node-a", "targetNode": "node-b",
            "targetPod": "worker-0-shadow", "strategy": "ShadowPod",
            "startTime": "2026-01-02T03:04:05Z",
        },
    });
    let manifest: Value = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": format!("ms2m-{name}"), "labels": {
                "migration.ms2m.io/role": "journal", "migration.ms2m.io/migration": name,
            },
        },
        "data": {"record.json": record.to_string()},
    });
    let arguments = ["apply", "-n", NAMESPACE, "-f", "-"];
    world.kubectl_with(&arguments, &manifest.to_string()).await;
}

/// One table, whatever the size was in between: no line twice, none left over.
fn whole(text: &str, names: &[&str]) {
    for name in names.iter().copied().chain(["NAME "]) {
        assert_eq!(text.matches(name).count(), 1, "{name}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_redrawn_in_place_at_every_size() {
    let world = World::get();
    world.kubectl(&["create", "namespace", NAMESPACE]).await;
    record(world, "one-00001", "Transferring").await;
    let arguments = ["status", "-w", "-n", NAMESPACE];
    let mut terminal = Terminal::start(world, (100, 12), &arguments, &[]);
    terminal.shows("Transferring").await;
    record(world, "two-00002", "Pending").await;
    terminal.shows("two-00002").await;
    record(world, "one-00001", "Restoring").await;
    terminal.shows("Restoring").await;
    whole(&terminal.text(), &["one-00001", "two-00002"]);
    for (columns, rows) in [(70, 12), (120, 20), (90, 6), (50, 12)] {
        terminal.resize((columns, rows));
        terminal.redrawn().await;
        // What is cut says how wide it is.
        let room = usize::from(columns);
        let narrow = columns < 60;
        let fits = |text: &str| {
            let longest = text.lines().map(|line| line.chars().count()).max();
            longest.is_some_and(|longest| longest <= room && (longest == room || !narrow))
                && text
                    .lines()
                    .filter(|line| line.contains("worker-0"))
                    .count()
                    == 2
        };
        terminal
            .await_text(&format!("{columns} columns"), fits)
            .await;
        whole(&terminal.text(), &["one-00001", "two-00002"]);
    }
    terminal.press(CTRL_C).await;
    let Left {
        text, code, frames, ..
    } = terminal.left().await;
    assert_eq!(code, 130, "{text}");
    let last = frames.iter().rfind(|frame| !frame.contains("[exit"));
    whole(last.map_or("", String::as_str), &["one-00001", "two-00002"]);
    assert!(!text.contains("^C"), "{text}");
    for frame in frames.iter().filter(|frame| !frame.contains("[exit")) {
        assert!(
            frame.matches("NAME ").count() <= 1,
            "drawn beside itself:\n{frame}"
        );
    }
}
