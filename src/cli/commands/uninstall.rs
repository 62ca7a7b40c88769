//! `ms2m uninstall`.

use clap::{ArgMatches, Args};

use super::install::{DryRun, MannerArgs, PlaceArgs, Told, half_done, no_pods_namespace, selector};
use crate::api::GROUP;
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::settings::value::show_duration;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::rights::CONTROLLER_LEASE;
use crate::cluster::{Change, Kind, Unended, Which};
use crate::explain;
use crate::migration::error::{Error, ErrorKind, PortError};

/// Remove the controller from the cluster
///
/// Everything that ms2m install made goes, in the reverse order. The CRD and the migrations in it stay
/// as the history of what was moved, unless --crd is given. Nothing goes while a migration needs the
/// controller: end it first (ms2m abort NAME rolls it back). Can be repeated.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Where the controller runs
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Remove the CRD too, and with it every StatefulMigration of the cluster
    #[arg(long)]
    pub crd: bool,

    /// How it is carried out.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// What there may be of an install, the last made first. Not the namespace, which may hold what is
/// somebody else's by now.
const KINDS: [Kind; 8] = [
    ("apps/v1", "Deployment"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "Service"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("v1", "ServiceAccount"),
];

/// What in the controller's namespace is worth keeping it for.
const WORTH: [Kind; 6] = [
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("migration.ms2m.io/v1alpha1", "StatefulMigration"),
];

/// Uninstalls.
///
/// # Errors
/// A migration needs the controller, or the cluster does not let it go.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &UninstallArgs, matches: &ArgMatches) -> Outcome {
    no_pods_namespace(matches)?;
    if args.manner.dry_run == Some(DryRun::Client) {
        return Err(
            Error::usage("without a cluster nobody knows what there is to remove")
                .hint("--dry-run=server says what would go")
                .into(),
        );
    }
    runtime()?.block_on(async {
        let reached = Reached::connect(global).await?;
        Job {
            ui,
            args,
            reached: &reached,
            told: Told::new(ui, &args.manner),
        }
        .run()
        .await
    })
}

/// Everything at hand.
struct Job<'a> {
    ui: &'a Ui,
    args: &'a UninstallArgs,
    reached: &'a Reached,
    told: Told<'a>,
}

impl Job<'_> {
    async fn run(mut self) -> Outcome {
        let looked = self.look().await;
        let found = looked.map_err(|error| refused("failed to look at the cluster", &error))?;
        if found.is_empty() {
            let namespace = &self.args.place.install_namespace;
            self.ui
                .words(&format!("there is no controller in namespace {namespace}"));
            return self.told.end(None);
        }
        self.nobody_needs_it().await?;
        self.confirm(&found)?;
        let dry_run = self.args.manner.dry_run.is_some();
        for which in &found {
            let removed = self.reached.cluster.remove_object(which, dry_run).await;
            if let Err(error) = removed {
                return Err(self.failed(which, &error));
            }
            self.told.change(which.clone(), Change::Removed)?;
        }
        if dry_run || self.args.manner.wait == Some(false) {
            return self.told.end(None);
        }
        self.wait(&found).await
    }

    /// What goes, in the order in which it goes.
    async fn look(&self) -> Result<Vec<Which>, PortError> {
        let (cluster, namespace) = (&self.reached.cluster, &self.args.place.install_namespace);
        let mut found = Vec::new();
        for kind in KINDS {
            found.extend(cluster.labelled(kind, &selector(namespace)).await?);
        }
        let lease = lease(namespace);
        if !found.is_empty() && cluster.exists(&lease).await? {
            found.push(lease);
        }
        let own = cluster
            .labelled(("v1", "Namespace"), &selector(namespace))
            .await?;
        for space in own {
            let kept_for = self.worth_keeping(&space.name, &found).await?;
            match kept_for.first() {
                None => found.push(space),
                Some(first) => self.ui.words(&format!(
                    "namespace {} stays: {first} in it is not the controller's",
                    space.name
                )),
            }
        }
        let crd = crd();
        if self.args.crd && cluster.exists(&crd).await? {
            found.push(crd);
        }
        Ok(found)
    }

    /// What there is in the controller's namespace besides what goes anyway.
    async fn worth_keeping(&self, space: &str, going: &[Which]) -> Result<Vec<Which>, PortError> {
        let mut others = Vec::new();
        for kind in WORTH {
            let there = self.reached.cluster.standing(kind, space).await?;
            others.extend(there.into_iter().filter(|it| !going.contains(it)));
        }
        Ok(others)
    }

    async fn nobody_needs_it(&self) -> Result<(), Failure> {
        let unended = self.reached.cluster.unended().await;
        let unended = unended.map_err(|error| refused("failed to list the migrations", &error))?;
        let needed: Vec<Unended> = unended
            .into_iter()
            .filter(|it| self.args.crd || !it.by_cli)
            .collect();
        if needed.is_empty() {
            return Ok(());
        }
        Err(in_need(&needed).into())
    }

    fn confirm(&self, found: &[Which]) -> Result<(), Failure> {
        let manner = &self.args.manner;
        if manner.dry_run.is_some() || manner.yes || !self.ui.can_ask() {
            return Ok(());
        }
        for which in found {
            self.ui.insist(&format!("  {which}"));
        }
        let context = self.reached.context.as_deref().unwrap_or("this cluster");
        match self.ui.confirm(&format!("Remove this from {context}?")) {
            Some(false) => Err(Error::refused("not confirmed")
                .code(&explain::NOT_CONFIRMED)
                .into()),
            Some(true) | None => Ok(()),
        }
    }

    async fn wait(&self, found: &[Which]) -> Outcome {
        let limit = self.args.manner.timeout;
        let left = match self.reached.cluster.gone(found, limit).await {
            Ok(left) => left,
            Err(error) => return Err(refused("failed to look at what goes", &error).into()),
        };
        self.told.end(Some(left.is_empty()))?;
        let Some(first) = left.first() else {
            return Ok(());
        };
        let names: Vec<_> = left.iter().map(ToString::to_string).collect();
        let what = format!("not all of it is gone after {}", show_duration(&limit));
        let error = Error::new(ErrorKind::TimedOut, what)
            .because(format!("still going: {}", names.join(", ")))
            .hint(format!("to see what holds it: kubectl get {first} -o yaml"));
        Err(half_done(self.ui, &error))
    }

    fn failed(&self, which: &Which, error: &PortError) -> Failure {
        let told = Error::refused(format!("failed to remove {which}")).because(error);
        if self.told.has_changed() {
            let _ = self.told.end(Some(false));
            let told = told.hint("uninstall again to do the rest");
            return half_done(self.ui, &told);
        }
        told.into()
    }
}

/// What the controller itself has made.
fn lease(namespace: &str) -> Which {
    Which {
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: CONTROLLER_LEASE.to_owned(),
    }
}

fn crd() -> Which {
    Which {
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        namespace: None,
        name: format!("statefulmigrations.{GROUP}"),
    }
}

/// How many migrations a refusal names.
const NAMED: usize = 10;

fn in_need(needed: &[Unended]) -> Error {
    let count = needed.len();
    let mut lines: Vec<String> = needed
        .iter()
        .take(NAMED)
        .map(|it| format!("{}/{} is {:?}", it.namespace, it.name, it.phase))
        .collect();
    if count > NAMED {
        lines.push(format!("and {} more", count - NAMED));
    }
    let what = match count {
        1 => "a migration is under way, or waits to be begun".to_owned(),
        _ => format!("{count} migrations are under way, or wait to be begun"),
    };
    let mut error = Error::refused(what)
        .code(&explain::STILL_NEEDED)
        .because(lines.join("\n"));
    for it in needed.iter().take(NAMED) {
        // One that has ended is held by its finalizer.
        let command = if it.phase.is_final() {
            "delete"
        } else {
            "abort"
        };
        error = error.hint(format!("ms2m {command} {} -n {}", it.name, it.namespace));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Phase;

    #[test]
    fn a_refusal_names_the_migrations_and_how_to_end_them() {
        let one = |number: usize| Unended {
            namespace: "shop".to_owned(),
            name: format!("m-{number}"),
            phase: Phase::Restoring,
            by_cli: false,
        };
        let error = in_need(&[one(1)]);
        assert_eq!(error.cause.as_deref(), Some("shop/m-1 is Restoring"));
        assert_eq!(error.hints, ["ms2m abort m-1 -n shop"]);
        let many: Vec<_> = (0..30).map(one).collect();
        let error = in_need(&many);
        assert!(error.what.starts_with("30 migrations"));
        assert!(error.cause.is_some_and(|it| it.ends_with("and 20 more")));
        assert_eq!(error.hints.len(), NAMED);
    }
}
