//! Puts it into the cluster, takes away what an earlier install has left, and waits.

use super::{DryRun, InstallArgs, Told};
use crate::cli::exit;
use crate::cli::failure::{self, Failure, Outcome, refused};
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::{Change, Kind, Which, Writing};
use crate::explain;
use crate::install::{
    CONTROLLER, INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER, Options, documents, pods_selector,
};
use crate::migration::error::{Error, ErrorKind, PortError};

/// The kinds of which an install with other flags makes others: what is left of them are rights.
const RIGHTS: [Kind; 4] = [
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "Role"),
];

/// What everything of the controller in `namespace` is labelled with.
pub(in crate::cli::commands) fn selector(namespace: &str) -> String {
    format!("{MANAGED_BY_LABEL}={MANAGER},{INSTANCE_LABEL}={namespace}")
}

/// Everything at hand for one install.
pub(super) struct Job<'a> {
    pub(super) ui: &'a Ui,
    pub(super) args: &'a InstallArgs,
    pub(super) options: &'a Options,
    pub(super) reached: &'a Reached,
    pub(super) told: Told<'a>,
}

impl Job<'_> {
    pub(super) async fn run(mut self) -> Outcome {
        self.watched_is_there().await?;
        self.confirm()?;
        let all = documents(self.options);
        for document in &all {
            let which = Which::of(&document.object);
            let change = match self.apply(&which, &document.object).await {
                Ok(change) => change,
                Err(error) => return Err(self.failed(&format!("apply {which}"), &error)),
            };
            self.told.change(which, change)?;
        }
        let wanted: Vec<_> = all.iter().map(|it| Which::of(&it.object)).collect();
        if let Err(error) = self.prune(&wanted).await {
            return Err(self.failed("take away the rights of an earlier install", &error));
        }
        if self.is_dry_run() || self.args.manner.wait == Some(false) {
            return self.told.end(None);
        }
        self.wait(&wanted[0]).await
    }

    fn is_dry_run(&self) -> bool {
        self.args.manner.dry_run == Some(DryRun::Server)
    }

    /// A role cannot be made in a namespace that is not there, nor would anybody want one.
    async fn watched_is_there(&self) -> Result<(), Failure> {
        let Some(watched) = &self.options.watch else {
            return Ok(());
        };
        if *watched == self.options.namespace {
            return Ok(());
        }
        match self.reached.cluster.exists(&namespace(watched)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::refused(format!("there is no namespace {watched}"))
                .hint(format!("make it: kubectl create namespace {watched}"))
                .into()),
            Err(error) => Err(refused("failed to look at the cluster", &error).into()),
        }
    }

    fn confirm(&self) -> Result<(), Failure> {
        if self.is_dry_run() || self.args.manner.yes || !self.ui.can_ask() {
            return Ok(());
        }
        let context = self.reached.context.as_deref().unwrap_or("this cluster");
        let watched = match &self.options.watch {
            Some(watched) => format!("namespace {watched}"),
            None => "all namespaces".to_owned(),
        };
        self.ui.insist(&format!(
            "ms2m-controller in namespace {} of {context}, for the migrations of {watched}",
            self.options.namespace
        ));
        match self.ui.confirm("Install it?") {
            Some(false) => Err(Error::refused("not confirmed")
                .code(&explain::NOT_CONFIRMED)
                .into()),
            Some(true) | None => Ok(()),
        }
    }

    async fn apply(&self, which: &Which, object: &serde_json::Value) -> Result<Change, PortError> {
        let cluster = &self.reached.cluster;
        let how = Writing {
            manager: MANAGER,
            force: self.args.force_conflicts,
            dry_run: self.is_dry_run(),
        };
        if which.kind == "Namespace" && self.is_of_others(which).await? {
            return Ok(Change::Left);
        }
        match cluster.apply(object, how).await {
            // It would have been made a moment ago.
            Err(PortError::NotFound(words)) if self.is_dry_run() => match &which.namespace {
                Some(space) if !cluster.exists(&namespace(space)).await? => Ok(Change::Created),
                _ => Err(PortError::NotFound(words)),
            },
            other => other,
        }
    }

    /// Whether the namespace was there before: it gets no label that others would feel.
    async fn is_of_others(&self, which: &Which) -> Result<bool, PortError> {
        let manager = self
            .reached
            .cluster
            .label_of(which, MANAGED_BY_LABEL)
            .await?;
        Ok(manager.is_some_and(|it| it != MANAGER))
    }

    async fn prune(&mut self, wanted: &[Which]) -> Result<(), PortError> {
        let selector = selector(&self.options.namespace);
        for kind in RIGHTS {
            for found in self.reached.cluster.labelled(kind, &selector).await? {
                if wanted.contains(&found) {
                    continue;
                }
                let dry_run = self.is_dry_run();
                self.reached.cluster.remove_object(&found, dry_run).await?;
                // Stdout may be gone; the rights go all the same.
                let _ = self.told.change(found, Change::Removed);
            }
        }
        Ok(())
    }

    async fn wait(&self, crd: &Which) -> Outcome {
        let (cluster, limit) = (&self.reached.cluster, self.args.manner.timeout);
        let namespace = &self.options.namespace;
        self.ui.words("waiting until the controller serves");
        let begun = tokio::time::Instant::now();
        let served = cluster.crd_is_served(&crd.name, limit).await;
        let rest = limit.saturating_sub(begun.elapsed());
        let served = match served {
            Ok(true) => cluster.deployment_serves(namespace, CONTROLLER, rest).await,
            other => other,
        };
        match served {
            Ok(true) => {
                self.ui.words("the controller serves");
                self.told.end(Some(true))
            }
            Ok(false) => {
                self.told.end(Some(false))?;
                Err(self.too_slow().await)
            }
            Err(error) => Err(self.failed("wait for the controller", &error)),
        }
    }

    async fn too_slow(&self) -> Failure {
        let namespace = &self.options.namespace;
        let limit = crate::cli::settings::value::show_duration(&self.args.manner.timeout);
        let mut error = Error::new(
            ErrorKind::TimedOut,
            format!("the controller does not serve after {limit}"),
        )
        .code(&explain::CONTROLLER_NOT_SERVING);
        let hindrances = self
            .reached
            .cluster
            .hindrances(namespace, &pods_selector())
            .await
            .unwrap_or_default();
        if !hindrances.is_empty() {
            error = error.because(hindrances.join("\n"));
        }
        let error = error.hint(format!(
            "everything is in place; to look closer: kubectl describe pods -n {namespace}"
        ));
        half_done(self.ui, &error)
    }

    fn failed(&self, what: &str, error: &PortError) -> Failure {
        let mut told = Error::refused(format!("failed to {what}")).because(error);
        told = match error {
            PortError::Conflict(_) => told
                .code(&explain::FIELD_CONFLICT)
                .hint("choose flags that fit, or have the others give those fields up")
                .hint("or take them over: ms2m install --force-conflicts"),
            PortError::Denied(_) => told.code(&explain::RIGHTS_MISSING).hint(
                "installing takes the rights of an administrator: who grants rights must have them",
            ),
            _ => told,
        };
        if !self.told.has_changed() {
            return told.into();
        }
        // Scripts learn what is done already; the exit code tells the rest even without.
        let _ = self.told.end(Some(false));
        half_done(
            self.ui,
            &told.hint("what is done stays; install again to do the rest"),
        )
    }
}

/// Something was changed, which none of the kinds of a migration's failures says.
pub(in crate::cli::commands) fn half_done(ui: &Ui, error: &Error) -> Failure {
    let (kind, code) = match error.kind {
        ErrorKind::TimedOut => (ErrorKind::TimedOut, ErrorKind::TimedOut.exit_code()),
        _ => (ErrorKind::Usage, exit::UNFINISHED),
    };
    let told = error.clone().of_kind(kind);
    ui.insist(&failure::text(&told, ui.err_paint()));
    Failure::Told(code)
}

/// The namespace of that name.
fn namespace(name: &str) -> Which {
    Which {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}
