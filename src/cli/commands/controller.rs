//! `ms2m controller`.

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::settings::value;
use crate::cluster::{self, ConnectOptions};
use crate::controller::{Limits, Options, run as carry_out};
use crate::migration::error::Error;

/// Carry out StatefulMigration resources, in the cluster
///
/// With --namespace those of one namespace, else those of all. Of several controllers one leads, by a
/// Lease; the others stand by. SIGTERM leaves each migration as it stands, at the next moment at which
/// nothing is under way, and another controller goes on with it.
///
/// In a cluster it runs as `ms2m install` sets it up. With a kubeconfig it runs anywhere, for
/// development.
#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// How many migrations may be under way at once
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = clap::value_parser!(u16).range(1..), env = "MS2M_MAX_AT_ONCE", hide_env_values = true)]
    pub max_at_once: u16,

    /// How many of them may leave or reach one node
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = clap::value_parser!(u16).range(1..), env = "MS2M_MAX_PER_NODE", hide_env_values = true)]
    pub max_per_node: u16,

    /// Where to listen for /metrics, /healthz and /readyz; port 0 takes any free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "MS2M_LISTEN",
        hide_env_values = true
    )]
    pub listen: SocketAddr,

    /// Name of the Lease by which one of several controllers leads
    #[arg(long, value_name = "NAME", default_value = "ms2m-controller", value_parser = value::name, env = "MS2M_LEASE", hide_env_values = true)]
    pub lease: String,

    /// Namespace of that Lease [default: $POD_NAMESPACE, or the context's]
    #[arg(long, value_name = "NAMESPACE", value_parser = value::name, env = "MS2M_LEASE_NAMESPACE", hide_env_values = true)]
    pub lease_namespace: Option<String>,
}

/// Runs the controller until SIGTERM or SIGINT.
///
/// # Errors
/// The cluster cannot be used, or the leadership was lost.
pub fn run(global: &GlobalArgs, args: &ControllerArgs) -> Outcome {
    runtime()?.block_on(Box::pin(controller(global, args)))
}

async fn controller(global: &GlobalArgs, args: &ControllerArgs) -> Outcome {
    let connect = ConnectOptions {
        kubeconfig: global.kubeconfig.clone(),
        context: global.context.clone(),
        namespace: None,
        user_agent: Some(concat!("ms2m-controller/", env!("CARGO_PKG_VERSION")).to_owned()),
    };
    let cluster = cluster::connect(&connect)
        .await
        .map_err(|error| refused("failed to find the cluster", &error))?;
    let of_pod = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let options = Options {
        namespace: global.namespace.clone(),
        limits: Limits {
            at_once: args.max_at_once.into(),
            per_node: args.max_per_node.into(),
        },
        listen: args.listen,
        lease_namespace: args
            .lease_namespace
            .clone()
            .or_else(|| of_pod("POD_NAMESPACE"))
            .unwrap_or_else(|| cluster.namespace().to_owned()),
        lease: args.lease.clone(),
        instance: of_pod("POD_NAME").unwrap_or_else(|| format!("pid-{}", std::process::id())),
    };
    let stop = CancellationToken::new();
    let listening = tokio::spawn(until_told(stop.clone()));
    let result: Result<(), Error> = Box::pin(carry_out(cluster, options, stop)).await;
    listening.abort();
    Ok(result?)
}

/// Stops at the first signal; the second one ends the process at once, which loses nothing either.
async fn until_told(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be listened for: only SIGKILL ends this controller");
        return;
    };
    let mut told = async || {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    };
    let name = told().await;
    tracing::info!(
        signal = name,
        "the controller ends: all migrations are left as they stand"
    );
    stop.cancel();
    told().await;
    // As a shell says it of SIGTERM.
    std::process::exit(143);
}
