//! `ms2m create POD`, `ms2m create -f FILE`: resources for the controller to carry out.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use serde_json::json;

use super::created::{self, Verdict};
use crate::api::{DRIVEN_BY_CLI, DRIVEN_BY_LABEL};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::interrupt;
use crate::cli::manifest::validate::{self, Fault};
use crate::cli::manifest::{self, Manifest};
use crate::cli::output::Output;
use crate::cli::run::runtime;
use crate::cli::settings::flags::{ControllerArgs, SettingArgs};
use crate::cli::settings::migration::Typed;
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::Ui;
use crate::cli::view::created as view;
use crate::cli::wire::Reached;
use crate::cluster::migrations::Entry;
use crate::explain;
use crate::migration::error::Error;

/// Make a StatefulMigration for the controller to carry out
///
/// From the same settings as ms2m migrate, or from manifests. Nothing is planned here: the
/// controller finds out whether the pod can be moved, and says so in the resource's status. What
/// the CRD's rules are against is told field by field, without a cluster; of several manifests none
/// is made if one is refused.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The pod to move, as worker-0 or pod/worker-0
    #[arg(value_parser = value::pod, required_unless_present = "filename")]
    pub pod: Option<String>,

    /// Manifests, YAML or JSON, - for standard input; repeatable
    #[arg(short, long, value_name = "FILE", conflicts_with = "pod")]
    pub filename: Vec<PathBuf>,

    /// The node to move it to [default: the controller chooses]
    #[arg(long, value_name = "NODE", value_parser = value::name, env = "MS2M_TO", hide_env_values = true)]
    pub to: Option<String>,

    /// Name of the migration [default: the pod's with five random letters]
    #[arg(long, value_parser = value::migration, env = "MS2M_NAME", hide_env_values = true)]
    pub name: Option<String>,

    /// Make nothing. client: check by the CRD's rules alone; server: let the API server check as well
    #[arg(long, value_name = "WHO", value_enum)]
    pub dry_run: Option<DryRun>,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Where the controller has credentials from.
    #[command(flatten)]
    pub controller: ControllerArgs,

    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Who checks in place of making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// This process, without a cluster
    Client,
    /// The API server
    Server,
}

/// Makes them.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: a manifest is not valid;
/// [`crate::migration::error::ErrorKind::Refused`]: the API server is against it.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &CreateArgs, matches: &ArgMatches) -> Outcome {
    let config = Config::load(global.config.as_deref())?;
    let job = Job { ui, global, args };
    if args.filename.is_empty() {
        let layers = Layers::new(matches, &config);
        let typed = Typed::read(&args.settings.end, &layers)?;
        return runtime()?.block_on(Box::pin(job.of_flags(layers, typed)));
    }
    // The environment's are for migrations that are made of flags; a manifest has its own.
    for flag in ["to", "name"] {
        if matches.value_source(flag) == Some(ValueSource::CommandLine) {
            return Err(
                Error::usage(format!("--{flag} cannot be used with --filename"))
                    .hint("write it into the manifest, or leave the manifest out and name the pod")
                    .into(),
            );
        }
    }
    let manifests = manifest::read(&args.filename)?;
    job.warn(&manifests);
    job.check(&manifests)?;
    if args.dry_run == Some(DryRun::Client) {
        return job.tell_unmade(&manifests);
    }
    runtime()?.block_on(Box::pin(async {
        let reached = Reached::connect(global).await?;
        job.make(&reached, &manifests).await
    }))
}

struct Job<'a> {
    ui: &'a Ui,
    global: &'a GlobalArgs,
    args: &'a CreateArgs,
}

impl Job<'_> {
    async fn of_flags(&self, mut layers: Layers<'_>, typed: Typed) -> Outcome {
        let wanted = created::Order {
            pod: self.args.pod.as_deref().unwrap_or_default(),
            to: self.args.to.as_deref(),
            name: self.args.name.as_deref(),
            settings: &self.args.settings,
            controller: &self.args.controller,
        };
        let offline = self.args.dry_run == Some(DryRun::Client);
        let reached = match Reached::connect(self.global).await {
            Ok(reached) => Some(reached),
            Err(_) if offline => None,
            Err(error) => return Err(error.into()),
        };
        let made = created::resource(
            self.ui,
            reached.as_ref(),
            offline,
            &wanted,
            &mut layers,
            typed,
        );
        let manifests = [Manifest::of_flags(&made.await?)];
        self.check(&manifests)?;
        match reached {
            Some(reached) if !offline => self.make(&reached, &manifests).await,
            _ => self.tell_unmade(&manifests),
        }
    }

    fn warn(&self, manifests: &[Manifest]) {
        for manifest in manifests {
            let (place, name) = (&manifest.place, manifest.name());
            for field in &manifest.secrets {
                self.ui.words(&format!(
                    "warning: {place} ({name}) has user and password in {field}: left out, since everybody who \
                     may read the resource could read them; keep them in a Secret, and name it in \
                     spec.messageQueueConfig.credentials"
                ));
            }
            if manifest.value["metadata"]["labels"][DRIVEN_BY_LABEL] == DRIVEN_BY_CLI {
                self.ui.words(&format!(
                    "warning: {place} ({name}) has the label {DRIVEN_BY_LABEL}={DRIVEN_BY_CLI}: no controller will \
                     carry it out"
                ));
            }
        }
    }

    /// Refuses all of them if the CRD's rules are against one.
    fn check(&self, manifests: &[Manifest]) -> Result<(), Failure> {
        let faults: Vec<Vec<Fault>> = manifests
            .iter()
            .map(|manifest| validate::faults(&manifest.value))
            .collect();
        let bad = faults.iter().filter(|faults| !faults.is_empty()).count();
        if bad == 0 {
            return Ok(());
        }
        let verdicts = faults.iter().map(|faults| match faults.len() {
            0 => Verdict::Valid,
            count => Verdict::Invalid(count),
        });
        self.table(manifests, &verdicts.collect::<Vec<_>>())?;
        let lines = manifests
            .iter()
            .zip(&faults)
            .flat_map(|(manifest, faults)| {
                faults.iter().map(|fault| match manifests.len() {
                    1 => fault.to_string(),
                    _ => format!("{} ({}): {fault}", manifest.place, manifest.name()),
                })
            });
        let what = match manifests {
            [one] => format!("{} is not valid", one.place),
            _ => format!("{bad} of {} manifests are not valid", manifests.len()),
        };
        let lines: Vec<String> = lines.collect();
        Err(Error::usage(what)
            .code(&explain::RESOURCE_INVALID)
            .because(lines.join("\n"))
            .into())
    }

    /// Makes all of them, or with a dry run none. Of several, none is made that the API server is
    /// not asked about first.
    async fn make(&self, reached: &Reached, manifests: &[Manifest]) -> Outcome {
        let resources = created::placed(self.global, &reached.namespace, manifests)?;
        let dry_run = self.args.dry_run.is_some();
        let migrations = reached.cluster.migrations(false);
        if dry_run || resources.len() > 1 {
            let mut verdicts = Vec::new();
            let mut refusals = Vec::new();
            for resource in &resources {
                match migrations.create(resource, true).await {
                    Ok(_) => verdicts.push(Verdict::Accepted),
                    Err(error) => {
                        verdicts.push(Verdict::Refused);
                        refusals.push(error);
                    }
                }
            }
            if !refusals.is_empty() {
                self.table(manifests, &verdicts)?;
                let reasons: Vec<_> = refusals.iter().collect();
                return Err(created::not_made(manifests.len(), &reasons).into());
            }
            if dry_run {
                return self.tell(manifests, &verdicts);
            }
        }
        let mut made = Vec::new();
        for resource in &resources {
            match migrations.create(resource, false).await {
                Ok(entry) => made.push(entry),
                Err(error) if made.is_empty() => {
                    return Err(created::not_made(1, &[&error]).into());
                }
                Err(error) => {
                    let names: Vec<&str> = made.iter().map(|it| it.record.name.as_str()).collect();
                    return Err(color_eyre::eyre::eyre!(
                        "{error}; made before it, and kept: {}",
                        names.join(", ")
                    )
                    .into());
                }
            }
        }
        self.told_made(manifests, &made)
    }

    fn told_made(&self, manifests: &[Manifest], made: &[Entry]) -> Outcome {
        let mut manifests = manifests.to_vec();
        for (manifest, entry) in manifests.iter_mut().zip(made) {
            let metadata = &mut manifest.value["metadata"];
            metadata["name"] = json!(entry.record.name);
            metadata["namespace"] = json!(entry.record.namespace);
            metadata["uid"] = json!(entry.uid);
        }
        let verdicts = vec![Verdict::Created; made.len()];
        self.tell(&manifests, &verdicts)?;
        if self.args.output.is_for_people() {
            for entry in made {
                let flags = interrupt::flags(self.global, &entry.record.namespace);
                self.ui.words(&format!(
                    "to follow it: ms2m watch {} {flags}",
                    entry.record.name
                ));
            }
        }
        Ok(())
    }

    fn tell_unmade(&self, manifests: &[Manifest]) -> Outcome {
        let verdicts = vec![Verdict::Valid; manifests.len()];
        self.tell(manifests, &verdicts)
    }

    /// The verdicts, where they are what was asked for.
    fn table(&self, manifests: &[Manifest], verdicts: &[Verdict]) -> std::io::Result<()> {
        if self.args.output.is_for_people() && manifests.len() > 1 {
            self.ui.data(&view::table(manifests, verdicts))?;
        }
        Ok(())
    }

    fn tell(&self, manifests: &[Manifest], verdicts: &[Verdict]) -> Outcome {
        created::tell(self.ui, self.args.output, manifests, verdicts)
    }
}
