//! `ms2m install`: its arguments, and the export. What is sent to a cluster is in `install/job.rs`.

mod job;
mod told;

use std::time::Duration;

use clap::{ArgMatches, Args, ValueEnum};

use self::job::Job;
pub(super) use self::job::{half_done, selector};
pub(super) use self::told::Told;
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::install::{self, Options};
use crate::migration::error::Error;

/// Install the controller in the cluster, or print its manifests
///
/// The CRD, a namespace, roles, and the Deployment ms2m-controller with all that belongs to it are
/// applied, and what is there already becomes what it should be: to upgrade, install again. Then
/// ms2m waits until the controller serves. With --export the manifests are printed, each rule of
/// each role with its reason, and no cluster is asked.
///
/// There is no published image: make one with Dockerfile or examples/build-images.sh.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Print the manifests as YAML, and touch nothing
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub export: bool,

    /// Image of the controller, as registry.example.com/ms2m:0.1.0; needed unless --export
    #[arg(long, value_parser = value::name, required_unless_present = "export", env = "MS2M_IMAGE", hide_env_values = true)]
    pub image: Option<String>,

    /// Where the controller runs
    #[command(flatten)]
    pub place: PlaceArgs,

    /// The only namespace whose migrations it carries out, with rights there alone [default: all]
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace, env = "MS2M_WATCH_NAMESPACE", hide_env_values = true)]
    pub watch_namespace: Option<String>,

    /// How many controllers run; one works, and another takes over when it ends
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=9), env = "MS2M_REPLICAS", hide_env_values = true)]
    pub replicas: u16,

    /// How many migrations may be under way at once
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..), env = "MS2M_MAX_AT_ONCE", hide_env_values = true)]
    pub max_at_once: u16,

    /// How many of them may take part of one node
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..), env = "MS2M_MAX_PER_NODE", hide_env_values = true)]
    pub max_per_node: u16,

    /// Where it serves metrics and probes.
    #[arg(long, help = "Where it serves metrics and probes, as [::]:8080; $(POD_IP) is the pod's address", value_name = "ADDRESS:PORT", default_value = install::LISTEN, value_parser = listen, env = "MS2M_LISTEN", hide_env_values = true)]
    pub listen: String,

    /// Take over fields that somebody else has set
    #[arg(long)]
    pub force_conflicts: bool,

    /// How it is carried out.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// Where the controller is.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// Namespace that the controller runs in
    #[arg(long, value_name = "NAMESPACE", default_value = install::NAMESPACE, value_parser = namespace, env = "MS2M_INSTALL_NAMESPACE", hide_env_values = true)]
    pub install_namespace: String,
}

/// What installing and uninstalling have in common.
#[derive(Debug, Clone, Args)]
pub struct MannerArgs {
    /// Change nothing: say what would be sent (client), or have the API server check it (server)
    #[arg(long, value_name = "WHERE", value_enum)]
    pub dry_run: Option<DryRun>,

    /// Wait until everything is as it should be [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag)]
    pub wait: Option<bool>,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = value::duration, env = "MS2M_TIMEOUT", hide_env_values = true)]
    pub timeout: Duration,

    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,

    /// Format of the result on stdout
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Where a dry run happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Here: no cluster is asked
    Client,
    /// In the API server, which checks everything and keeps nothing
    Server,
}

/// Takes the name of a namespace.
fn namespace(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = value::name(text)?;
    if name.len() <= 63 && name.chars().all(fits) && !name.starts_with('-') && !name.ends_with('-')
    {
        Ok(name)
    } else {
        Err("it is the name of a namespace: lower-case letters, digits and '-'".to_owned())
    }
}

/// Takes an address and a port. The address may be a reference that only the pod knows.
fn listen(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Ok(text.to_owned()),
        _ => Err("it is an address and a port, as 0.0.0.0:8080".to_owned()),
    }
}

impl InstallArgs {
    fn options(&self) -> Options {
        Options {
            namespace: self.place.install_namespace.clone(),
            watch: self.watch_namespace.clone(),
            image: self.image.clone(),
            replicas: self.replicas.into(),
            max_at_once: self.max_at_once,
            max_per_node: self.max_per_node,
            listen: self.listen.clone(),
        }
    }
}

/// Installs or exports.
///
/// # Errors
/// The cluster does not take it, or the controller does not serve in time.
pub fn run(ui: &Ui, global: &GlobalArgs, args: &InstallArgs, matches: &ArgMatches) -> Outcome {
    no_pods_namespace(matches)?;
    let options = args.options();
    if args.export {
        return Ok(ui.data(&install::yaml(&options))?);
    }
    let mut told = Told::new(ui, &args.manner);
    if args.manner.dry_run == Some(DryRun::Client) {
        for document in install::documents(&options) {
            told.would_apply(&document)?;
        }
        return told.end(None);
    }
    runtime()?.block_on(async {
        let reached = Reached::connect(global).await?;
        Job {
            ui,
            args,
            options: &options,
            reached: &reached,
            told,
        }
        .run()
        .await
    })
}

/// `--namespace` is that of a pod, and whoever types it here means one of two others.
pub(super) fn no_pods_namespace(matches: &ArgMatches) -> Result<(), Failure> {
    let typed = matches.value_source("namespace") == Some(clap::parser::ValueSource::CommandLine);
    if typed {
        return Err(Error::usage("--namespace names the namespace of a pod, and there is none here")
            .hint("--install-namespace is where the controller runs, --watch-namespace whose migrations it carries out")
            .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_listens_at_an_address_and_a_port() {
        for good in ["0.0.0.0:8080", "[::]:80", "$(POD_IP):8080"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for bad in ["8080", ":", "0.0.0.0:0", "0.0.0.0:http", "0.0.0.0:65536"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_namespace_is_a_label() {
        assert!(namespace("ms2m-system").is_ok());
        for bad in ["", "Shop", "a.b", "-a", "a-", "a b"] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}
