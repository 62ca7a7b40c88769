//! Permissions, one by one, and the commands that give them.

use serde_json::{Value, json};

use crate::shown::{Shown, apply, arguments};
use crate::support::cli::start;
use crate::support::{App, Options};

/// A kubeconfig of a user of that name, who has no right but to ask about his rights.
pub(crate) fn kubeconfig(app: &App, user: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(&app.world.places.kubeconfig).expect("a kubeconfig");
    let mut config: Value = serde_yaml::from_str(&text).expect("YAML");
    config["users"][0]["user"] = json!({"token": format!("user/{user}")});
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("it is written");
    file
}

async fn check_as(app: &App, kubeconfig: &tempfile::NamedTempFile) -> Shown {
    let arguments = arguments(app);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let path = kubeconfig.path().to_string_lossy().into_owned();
    let mut environment = vec![("KUBECONFIG", path.as_str())];
    let own = app.environment();
    environment.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    let outcome = start(app.world, &arguments, &environment).outcome().await;
    Shown::of(&outcome)
}

/// Whoever may do nothing sees what is missing, and the commands as printed give it.
#[tokio::test(flavor = "multi_thread")]
async fn each_missing_right_comes_with_the_commands_that_give_it() {
    let app = App::start("nobody", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let user = format!("jane-{}", app.namespace);
    let kubeconfig = kubeconfig(&app, &user);
    let shown = check_as(&app, &kubeconfig).await;
    assert_eq!(shown.code, Some(3));
    shown
        .expect("Permissions", "create nodes/proxy", "fail")
        .expect("Permissions", "configmaps", "fail")
        .expect("Permissions", "poddisruptionbudgets", "warn")
        .expect("Nodes", "its node is ready", "skipped")
        .expect("Broker", "it answers", "pass");
    let groups = shown.document["groups"].as_array().into_iter().flatten();
    let of_permissions: Vec<&Value> = groups
        .filter(|group| group["name"] == "Permissions")
        .flat_map(|group| group["checks"].as_array().into_iter().flatten())
        .collect();
    assert!(of_permissions.len() > 8, "{of_permissions:?}");
    for check in of_permissions {
        let resource = check["name"].as_str().unwrap_or_default();
        // There is no such resource before the CRD is installed, so kubectl would not take it.
        if resource.contains("statefulmigrations") {
            continue;
        }
        for remedy in check["remedies"].as_array().into_iter().flatten() {
            apply(app.world, remedy.as_str().expect("a command")).await;
        }
    }
    let shown = check_as(&app, &kubeconfig).await;
    assert_eq!(shown.failed(), Vec::<&str>::new(), "{:#}", shown.document);
    shown
        .expect("Permissions", "create nodes/proxy", "pass")
        .expect("Permissions", "poddisruptionbudgets", "pass")
        .expect("Nodes", "its node is ready", "pass");
    app.end().await;
}
