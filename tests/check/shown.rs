//! What a run of `ms2m check` shows, and how it is asked for.

use serde_json::Value;

use crate::support::cli::{Outcome, start};
use crate::support::{App, World};

/// The document of `ms2m check -o json`.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) document: Value,
    pub(crate) code: Option<i32>,
}

impl Shown {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        Self {
            document: outcome.json(),
            code: outcome.code,
        }
    }

    /// The check of this group whose name has `part` in it.
    #[track_caller]
    pub(crate) fn check(&self, group: &str, part: &str) -> &Value {
        let named =
            |it: &&Value, words: &str| it["name"].as_str().is_some_and(|name| name.contains(words));
        let groups = self.document["groups"].as_array().into_iter().flatten();
        let checks = groups
            .filter(|it| named(it, group))
            .flat_map(|it| it["checks"].as_array().into_iter().flatten());
        let found = checks.into_iter().find(|it| named(it, part));
        found.unwrap_or_else(|| panic!("no check '{part}' of {group} in {:#}", self.document))
    }

    /// Panics unless that check came to `outcome`.
    #[track_caller]
    pub(crate) fn expect(&self, group: &str, part: &str, outcome: &str) -> &Self {
        let check = self.check(group, part);
        assert_eq!(
            check["outcome"], outcome,
            "{check:#}\nin {:#}",
            self.document
        );
        if outcome != "pass" {
            assert!(check["meaning"].is_array(), "it says why: {check:#}");
        }
        self
    }

    /// The remedies of a check.
    #[track_caller]
    pub(crate) fn remedies(&self, group: &str, part: &str) -> Vec<String> {
        let remedies = &self.check(group, part)["remedies"];
        let texts = remedies.as_array().into_iter().flatten();
        texts
            .map(|it| it.as_str().expect("a text").to_owned())
            .collect()
    }

    /// All names of checks that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let groups = self.document["groups"].as_array().into_iter().flatten();
        groups
            .flat_map(|it| it["checks"].as_array().into_iter().flatten())
            .filter(|it| it["outcome"] == "fail")
            .filter_map(|it| it["name"].as_str())
            .collect()
    }
}

/// Runs a remedy as it is printed, as the administrator of the cluster.
pub(crate) async fn apply(world: &World, remedy: &str) {
    let output = tokio::process::Command::new("sh")
        .args(["-c", remedy])
        .env("KUBECONFIG", &world.places.kubeconfig)
        .output()
        .await
        .expect("a shell runs");
    assert!(output.status.success(), "{remedy}: {output:?}");
}

/// Arguments of `ms2m check` for the migration of an application, with `-o json`.
pub(crate) fn arguments(app: &App) -> Vec<String> {
    let mut arguments = app.migrate_arguments();
    "check".clone_into(&mut arguments[0]);
    arguments
}

/// Checks the migration of an application. Neither the application nor the broker is changed, and
/// no password is shown.
pub(crate) async fn check(app: &App, more: &[&str]) -> Shown {
    let mut arguments = arguments(app);
    let mut more = more.iter();
    while let Some(flag) = more.next() {
        match arguments.iter().position(|argument| argument == flag) {
            Some(at) => arguments[at + 1] = (*more.next().expect("its value")).to_owned(),
            None => arguments.push((*flag).to_owned()),
        }
    }
    let before = (app.cluster_listing().await, app.broker_listing().await);
    let outcome = app.ms2m(&arguments).await;
    let after = (app.cluster_listing().await, app.broker_listing().await);
    assert_eq!(before, after, "a check changes nothing");
    without_password(app.world, &outcome);
    Shown::of(&outcome)
}

/// Checks the cluster in `namespace`, with what `environment` says.
pub(crate) async fn check_cluster(
    world: &World,
    namespace: &str,
    environment: &[(&str, &str)],
) -> Shown {
    let arguments = ["check", "-n", namespace, "-o", "json"];
    let outcome = start(world, &arguments, environment).outcome().await;
    without_password(world, &outcome);
    Shown::of(&outcome)
}

/// Panics if the broker's password is anywhere.
pub(crate) fn without_password(world: &World, outcome: &Outcome) {
    let url = ms2m::broker::BrokerUrl::parse(&world.places.broker_url).expect("a broker URL");
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!all.contains(&url.password()), "{all}");
}
