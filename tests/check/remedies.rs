//! Remedies that are commands and of no other group of tests.

use crate::shown::{apply, check};
use crate::support::{App, Options, World, eventually};

/// The base image is pulled by the command that is printed.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_on_the_target_node() {
    const HAS: &str = "has the image";
    if !World::get().is_sandbox() {
        return;
    }
    // Nobody else pulls anything to this one's nodes.
    let world: &'static World = Box::leak(Box::new(World::sandbox(&["node-a", "node-b"])));
    let app = App::start_in(world, "image", &Options::default()).await;
    // A node without any image does not tell whether it would.
    let pause = &world.places.transfer_image;
    world
        .kubectl(&[
            "run",
            "other",
            "-n",
            &app.namespace,
            "--restart=Never",
            &format!("--image={pause}"),
            "--overrides={\"spec\":{\"nodeName\":\"node-b\"}}",
        ])
        .await;
    let shown = eventually("the node tells of an image", async || {
        let shown = check(&app, &[]).await;
        (shown.check("Nodes", HAS)["outcome"] == "warn").then_some(shown)
    })
    .await;
    let remedies = shown.remedies("Nodes", HAS);
    apply(world, &remedies[0]).await;
    eventually("the image is there", async || {
        let shown = check(&app, &[]).await;
        (shown.check("Nodes", HAS)["outcome"] == "pass").then_some(())
    })
    .await;
    let (_, command) = remedies[1].split_once(": ").expect("a command follows");
    apply(world, command).await;
    app.end().await;
}
