//! What a command is about: a pod, an unfinished migration of it, and the settings that follow
//! from both.

use super::which::{self, Which};
use crate::api::{DRIVEN_BY_CLI, DRIVEN_BY_LABEL, Phase};
use crate::cli::discover::discover;
use crate::cli::failure::refused;
use crate::cli::settings::Layers;
use crate::cli::settings::flags::SettingArgs;
use crate::cli::settings::migration::{Settings, Typed, recorded};
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::migrations::Driver;
use crate::explain;
use crate::migration::error::{Error, PortError};
use crate::migration::plan;
use crate::migration::ports::{Cluster, Journal, PodView};
use crate::migration::record::Record;

/// A pod, and its migration if one was begun.
pub(super) struct Subject {
    /// Name of the pod.
    pub(super) pod: String,
    /// The migration that a command goes on with.
    pub(super) record: Option<Record>,
    /// The pod, where it is there and can be seen.
    view: Option<PodView>,
}

impl Subject {
    /// The pod with its unfinished migration, if it has one. With one the pod itself may be gone.
    pub(super) async fn of_pod(reached: &Reached, pod: &str) -> Result<Self, Error> {
        let (view, records) = tokio::join!(reached.cluster.pod(pod), reached.journal.list());
        let view = match view {
            Ok(view) => view,
            Err(error) => return Err(unseen(reached, &format!("pod {pod}"), &error).await),
        };
        let records = match records {
            Ok(records) => records,
            Err(error) => return Err(unseen(reached, "unfinished migrations", &error).await),
        };
        let record = records.into_iter().find(|record| {
            record.is_unfinished() && record.is_begun() && record.spec.source_pod == pod
        });
        match &record {
            Some(record) => not_the_controller_s(reached, record).await?,
            None if view.is_none() => return Err(reached.no_such_pod(pod).await),
            None => {}
        }
        Ok(Self {
            pod: pod.to_owned(),
            record,
            view,
        })
    }

    /// The unfinished migration of that name.
    pub(super) async fn to_resume(reached: &Reached, name: &str) -> Result<Self, Error> {
        let subject = Self::of_migration(reached, &Which::Migration(name.to_owned())).await?;
        match &subject.record {
            Some(record) if !record.is_unfinished() => Err(ended(record)),
            Some(record) if !record.is_begun() => Err(Error::refused(format!(
                "migration {name} was not begun yet, so there is nothing to go on with"
            ))
            .hint(format!("end it: {}", record.abort_command()))),
            Some(record) => {
                not_the_controller_s(reached, record).await?;
                Ok(subject)
            }
            None => Ok(subject),
        }
    }

    /// The migration that is meant, whether or not it has ended.
    pub(super) async fn of_migration(reached: &Reached, which: &Which) -> Result<Self, Error> {
        let records = match reached.journal.list().await {
            Ok(records) => records,
            Err(error) => return Err(unseen(reached, "the migrations", &error).await),
        };
        let record = which::find(&records, which, &reached.namespace)?;
        let pod = record.spec.source_pod.clone();
        // Its annotations only help; the record has what is needed.
        let view = reached.cluster.pod(&pod).await.unwrap_or_default();
        Ok(Self {
            pod,
            record: Some(record.clone()),
            view,
        })
    }

    /// Looks up what nobody has said, in its pod or in the one that came of it.
    pub(super) async fn discover(
        &self,
        ui: &Ui,
        reached: &Reached,
        args: &SettingArgs,
        typed: &Typed,
        layers: &mut Layers<'_>,
    ) -> Result<(), Error> {
        self.speaks(layers);
        let record = self.record.as_ref();
        let target = record.and_then(|it| it.status.target_pod.as_deref());
        let pods: Vec<&str> = [Some(self.pod.as_str()), target]
            .into_iter()
            .flatten()
            .collect();
        discover(ui, reached, &pods, args, typed, layers).await
    }

    /// What the pod and its migration say.
    fn speaks(&self, layers: &mut Layers<'_>) {
        if let Some(view) = &self.view {
            layers.annotations.clone_from(&view.annotations);
        }
        layers.record = self.record.as_ref().map(recorded);
    }

    /// Settles everything that a migration takes.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`]: something cannot be read, or is missing.
    pub(super) fn settle(
        &self,
        args: &SettingArgs,
        layers: &mut Layers<'_>,
        typed: Typed,
    ) -> Result<Settings, Error> {
        self.speaks(layers);
        match Settings::resolve(args, typed, layers)? {
            Some(settings) => Ok(settings),
            None => Err(layers.incomplete()),
        }
    }
}

/// Whoever may not even look learns of all the rights that are missing, at once.
async fn unseen(reached: &Reached, what: &str, error: &PortError) -> Error {
    if matches!(error, PortError::Denied(_))
        && let Ok(missing) = reached.cluster.missing_permissions(None).await
        && let Err(refusal) = plan::permissions(&missing)
    {
        return refusal;
    }
    refused(format!("failed to look at {what}"), error)
}

/// Refuses to go on with what the controller carries out: it does so by itself, and two that drive
/// one migration would take turns.
async fn not_the_controller_s(reached: &Reached, record: &Record) -> Result<(), Error> {
    let (name, namespace) = (&record.name, &record.namespace);
    let driver = reached.cluster.migrations(false).driver_of(name).await;
    match driver {
        Ok(Driver::Cli) => Ok(()),
        Ok(Driver::Controller) => Err(Error::refused(format!(
            "pod {} is in migration {name}, which the controller carries out",
            record.spec.source_pod
        ))
        .code(&explain::CONTROLLER_DRIVES)
        .hint(format!("follow it: ms2m watch {name} -n {namespace}"))
        .hint(format!("roll it back: {}", record.abort_command()))
        .hint(format!(
            "if there is no controller any more, take it over: kubectl label sm {name} -n {namespace} \
             {DRIVEN_BY_LABEL}={DRIVEN_BY_CLI}, then: {}",
            record.resume_command()
        ))),
        Err(error) => Err(refused(format!("failed to look at migration {name}"), &error)),
    }
}

fn ended(record: &Record) -> Error {
    let (name, pod) = (&record.name, &record.spec.source_pod);
    let target = record.status.target_pod.as_deref().unwrap_or_default();
    let error =
        Error::refused(format!("migration {name} has ended")).code(&explain::MIGRATION_ENDED);
    match record.status.phase {
        Some(Phase::Completed) => error.because(format!("it is completed: pod {target} serves")),
        _ if record.lost().is_some() => {
            error.because(record.status.message.clone().unwrap_or_default())
        }
        _ => error
            .because(record.status.message.clone().unwrap_or_default())
            .hint(format!(
                "begin another one: ms2m migrate {pod} --to NODE -n {}",
                record.namespace
            )),
    }
}
