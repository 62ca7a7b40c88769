//! A broker that is reached through the API server, and the rights that this takes.

use crate::shown::{Shown, apply, arguments, check, without_password};
use crate::support::cli::start;
use crate::support::inside::Inside;
use crate::support::{App, Options, World};

const ANSWERS: &str = "it answers";
const FORWARD: &str = "pods/portforward";

/// The same check as another user, with no right but what the remedies have given.
async fn check_as(app: &App, kubeconfig: &tempfile::NamedTempFile, url: &str) -> Shown {
    let mut words = arguments(app);
    words.extend(["--broker-url".to_owned(), url.to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let path = kubeconfig.path().to_string_lossy().into_owned();
    let outcome = start(app.world, &words, &[("KUBECONFIG", &path)]);
    let outcome = outcome.outcome().await;
    without_password(app.world, &outcome);
    Shown::of(&outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_and_each_right_that_it_takes() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = App::start_in(world, "tunnelled", &Options::default()).await;
    let url = broker.url.as_str();
    let shown = check(&app, &["--broker-url", url]).await;
    let service = format!("by port-forward to Service {}/rabbit", broker.namespace);
    shown
        .expect("Broker", &service, "pass")
        .expect("Permissions", FORWARD, "pass");
    let user = format!("joe-{}", app.namespace);
    let kubeconfig = crate::rights::kubeconfig(&app, &user);
    for lacking in ["services", "endpointslices", FORWARD] {
        let shown = check_as(&app, &kubeconfig, url).await;
        shown
            .expect("Broker", ANSWERS, "fail")
            .expect("Permissions", lacking, "fail");
        let meaning = shown.check("Broker", ANSWERS)["meaning"].to_string();
        assert!(meaning.contains("is forbidden"), "{meaning}");
        assert!(meaning.contains(lacking), "{meaning}");
        for remedy in shown.remedies("Permissions", lacking) {
            apply(world, &remedy).await;
        }
    }
    let shown = check_as(&app, &kubeconfig, url).await;
    shown
        .expect("Broker", &service, "pass")
        .expect("Broker", "management API", "pass");
    app.end().await;
    broker.end().await;
}
