//! `ms2m support-bundle NAME`: what somebody far away needs to understand a migration, in one file.
//!
//! Whatever cannot be had is said in the file itself. Nothing secret goes in: Secrets are not read,
//! what is told of pods is chosen field by field, and passwords are taken out of URLs.

mod archive;

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use color_eyre::eyre::WrapErr;
use jiff::Timestamp;

use super::logs;
use super::status;
use super::subject::Subject;
use super::which::{self, Which};
use crate::broker::AmqpBroker;
use crate::cli::args::GlobalArgs;
use crate::cli::failure::{Outcome, refused};
use crate::cli::run::runtime;
use crate::cli::settings::flags::{EndArgs, SettingArgs};
use crate::cli::settings::migration::Typed;
use crate::cli::settings::value;
use crate::cli::settings::{Config, Layers};
use crate::cli::ui::{Paint, Ui};
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Driver, Entry, Writers};
use crate::migration::error::{Error, PortError};
use crate::migration::handoff::Names;
use crate::migration::ports::{Broker as _, PortResult};
use archive::Bundle;

/// Collect what helps to understand a migration, in one file
///
/// The migration and its timeline, events, the transfer's and the controller's lines, the pods and nodes
/// that take part, versions, and the broker's queues and bindings. No Secret is read, and nothing of a
/// pod's environment, arguments or annotations goes in. What could not be had is said in about.txt.
#[derive(Debug, Args)]
pub struct SupportBundleArgs {
    /// The migration; or a pod, for its latest one, as worker-0 or pod/worker-0
    #[arg(value_parser = which::parse)]
    pub name: Which,

    /// Where to write it [default: ms2m-NAME.tar.gz]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Namespace of the controller
    #[arg(long, value_name = "NAMESPACE", default_value = "ms2m-system", value_parser = value::name, env = "MS2M_CONTROLLER_NAMESPACE", hide_env_values = true)]
    pub controller_namespace: String,

    /// How the broker is reached; without it, or if it cannot be, nothing of the broker goes in.
    #[command(flatten)]
    pub settings: EndArgs,
}

/// Collects it.
///
/// # Errors
/// There is no such migration, or the file cannot be written.
pub fn run(
    ui: &Ui,
    global: &GlobalArgs,
    args: &SupportBundleArgs,
    matches: &ArgMatches,
) -> Outcome {
    let config = Config::load(global.config.as_deref())?;
    let layers = Layers::new(matches, &config);
    let typed = Typed::read(&args.settings, &layers)?;
    runtime()?.block_on(Box::pin(collect(ui, global, args, layers, typed)))
}

async fn collect(
    ui: &Ui,
    global: &GlobalArgs,
    args: &SupportBundleArgs,
    mut layers: Layers<'_>,
    typed: Typed,
) -> Outcome {
    let reached = Reached::connect(global).await?;
    let migrations = reached.cluster.migrations(false);
    let found = migrations
        .list(None)
        .await
        .map_err(|error| refused("failed to read the migrations", &error))?;
    let entries: Vec<Entry> = found.into_iter().map(status::public).collect();
    let which = args.name.clone().or_pod();
    let entry = which::find(&entries, &which, &reached.namespace)?;
    let name = &entry.record.name;

    layers.context.clone_from(&reached.context);
    let named = Which::Migration(name.clone());
    let broker = match Subject::of_migration(&reached, &named).await {
        Ok(subject) => broker_of(&reached, &subject, args, &mut layers, typed),
        Err(error) => Err(error),
    };

    let mut bundle = Bundle::new(name, Timestamp::now());
    of_migration(&mut bundle, &reached, entry).await;
    of_logs(&mut bundle, &reached, entry, &args.controller_namespace).await;
    of_cluster(&mut bundle, &reached, entry).await;
    match broker {
        Ok(broker) => {
            let queue = &entry.record.spec.message_queue_config.queue_name;
            bundle.add("broker.yaml", of_broker(&broker, queue).await);
        }
        Err(error) => bundle.missing("broker.yaml", &words(&error)),
    }

    let file = args.file.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(format!("ms2m-{name}.tar.gz")));
    let missing = bundle
        .write(&file)
        .wrap_err_with(|| format!("failed to write the support bundle to {}", file.display()))?;
    for line in missing {
        ui.words(&format!("not in it: {line}"));
    }
    Ok(ui.data(&format!("{} written", file.display()))?)
}

fn broker_of(
    reached: &Reached,
    subject: &Subject,
    args: &SupportBundleArgs,
    layers: &mut Layers<'_>,
    typed: Typed,
) -> Result<AmqpBroker, Error> {
    let given = SettingArgs {
        end: args.settings.clone(),
        ..SettingArgs::default()
    };
    let settings = subject.settle(&given, layers, typed)?;
    Ok(reached.broker(&settings.broker, settings.management.as_ref()))
}

fn words(error: &Error) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.what),
        None => error.what.clone(),
    }
}

async fn of_migration(bundle: &mut Bundle, reached: &Reached, entry: &Entry) {
    bundle.yaml("migration.yaml", &entry.record);
    bundle.add(
        "status.txt",
        Ok(status::in_full(reached, entry, Paint(false)).await),
    );
    let events = reached.cluster.migrations(false).events(entry).await;
    let lines = events.map(|events| {
        let line = |event: &crate::cluster::migrations::Told| {
            let time = event.time.map(|it| it.to_string()).unwrap_or_default();
            format!(
                "{time} {} {} x{} {}",
                event.kind, event.reason, event.count, event.message
            )
        };
        events.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    bundle.add("events.txt", lines);
}

async fn of_logs(bundle: &mut Bundle, reached: &Reached, entry: &Entry, controller: &str) {
    let mut writers = vec![("logs/transfer.log", Writers::transfer(&entry.record))];
    if entry.driver == Driver::Controller {
        let of_controller = Writers::controller(&entry.record, controller);
        writers.push(("logs/controller.log", of_controller));
    }
    let migration = format!("{}/{}", entry.record.namespace, entry.record.name);
    for (file, writers) in writers {
        let read = reached.cluster.migrations(false).read_logs(&writers).await;
        let text = read.and_then(|(pods, lines)| {
            if pods == 0 {
                let why = logs::missing(&writers, pods, &entry.record);
                return Err(PortError::NotFound(why));
            }
            let lines = lines.iter().filter(|line| logs::is_of(line, &migration));
            let lines = lines.map(|line| format!("{} {}", line.pod, line.text));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        });
        bundle.add(file, text);
    }
}

async fn of_cluster(bundle: &mut Bundle, reached: &Reached, entry: &Entry) {
    let cluster = &reached.cluster;
    let (spec, status) = (&entry.record.spec, &entry.record.status);
    let version = cluster.server_version().await;
    bundle.add("server.txt", version.map(|it| format!("API server {it}\n")));
    let nodes = [
        status.source_node.as_ref(),
        status.target_node.as_ref().or(spec.target_node.as_ref()),
    ];
    for node in nodes.into_iter().flatten() {
        let file = format!("nodes/{node}.yaml");
        bundle.found(&file, cluster.node_evidence(node).await);
    }
    let mut pods = vec![spec.source_pod.clone()];
    pods.extend(
        status
            .target_pod
            .iter()
            .filter(|it| **it != spec.source_pod)
            .cloned(),
    );
    for pod in &pods {
        bundle.found(&format!("pods/{pod}.yaml"), cluster.pod_evidence(pod).await);
    }
    let lines = cluster.event_lines(&pods).await;
    bundle.add("pods/events.txt", lines.map(|lines| lines.join("\n")));
}

/// Product, queues, consumers and bindings, as YAML would have them.
async fn of_broker(broker: &AmqpBroker, queue: &str) -> PortResult<String> {
    let names = Names::of(queue);
    let about = broker.describe().await?;
    let mut text = format!("product: {:?}\nqueues:\n", about.product);
    let all = [&names.queue, &names.replay, &names.hold].map(String::as_str);
    for (name, seen) in all.iter().zip(broker.queues(&all).await?) {
        let Some(seen) = seen else {
            text.push_str(&format!("- {{name: {name:?}, exists: false}}\n"));
            continue;
        };
        let unacknowledged = seen
            .unacknowledged
            .map_or("null".to_owned(), |it| it.to_string());
        text.push_str(&format!(
            "- {{name: {name:?}, ready: {}, unacknowledged: {unacknowledged}, consumers: {}}}\n",
            seen.ready, seen.consumers
        ));
    }
    let bindings = broker.bindings(&names.queue).await?.unwrap_or_default();
    text.push_str("bindings:\n");
    for one in bindings {
        text.push_str(&format!(
            "- {{exchange: {:?}, routingKey: {:?}}}\n",
            one.exchange, one.routing_key
        ));
    }
    Ok(text)
}
