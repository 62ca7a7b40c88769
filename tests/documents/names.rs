//! What a document's reader puts something of their own in place of.

use crate::scenes::Scene;

/// A migration, in all documents.
pub(crate) const MIGRATION: &str = "worker-0-x7k2f";

/// A command with what this world has in the place of the examples' names.
pub(crate) async fn in_this_world(scene: &Scene, text: &str) -> String {
    let places = &scene.world.places;
    let programs = crate::shell::programs().display().to_string();
    let mut text = text.to_owned();
    for (name, own) in [
        // All pods of the sandbox share one network, so each listens at its own address alone.
        (
            "ms2m install --image registry.example.com/ms2m:0.1.0",
            "ms2m install --image registry.example.com/ms2m:0.1.0 --listen '$(POD_IP):8080'",
        ),
        (
            "amqp://user:PASSWORD@broker.example.com",
            places.broker_url.as_str(),
        ),
        ("amqp://guest:guest@127.0.0.1:5672/%2f", &places.broker_url),
        ("registry.example.com", &places.registry),
        ("$PWD/target/x86_64-unknown-linux-gnu/release", &programs),
        ("target/*/release", &programs),
        // What it does before is to install packages and to build.
        (
            "examples/demo.sh",
            "DEMO_RATE=100 DEMO_BACKLOG=0 ms2m-sandbox run --nodes node-a,node-b -- examples/demo.sh --inside",
        ),
    ] {
        text = text.replace(name, own);
    }
    if text.contains(MIGRATION) {
        text = text.replace(MIGRATION, &scene.migration().await);
    }
    if text.contains("10.0.0.7") {
        text = text.replace("10.0.0.7", &scene.address().await);
    }
    text
}
