//! All settings of one migration: from the arguments and the layers below them to the engine's
//! request and limits.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::flags::{EndArgs, SettingArgs};
use super::layers::{Layers, unreadable};
use super::table::{self, Setting};
use super::value::{self, Secret};
use crate::api::{
    Handoff, MessageQueueConfig, StaleIdentity, StatefulMigrationSpec, Strategy, TransferConfig,
};
use crate::broker::BrokerUrl;
use crate::migration::error::Error;
use crate::migration::limits::Limits;
use crate::migration::plan::{self, Request};
use crate::migration::record::Record;

/// What was typed and may hold a password: read before anybody is asked, by code that does not
/// quote it.
#[derive(Debug, Clone)]
pub struct Typed {
    broker: Option<BrokerUrl>,
    management: Option<Url>,
}

impl Typed {
    /// Reads it.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`] without the text that cannot be read.
    pub fn read(args: &EndArgs, layers: &Layers<'_>) -> Result<Self, Error> {
        Ok(Self {
            broker: typed(&table::BROKER_URL, args.broker_url.as_ref(), layers, broker)?,
            management: typed(
                &table::MANAGEMENT_URL,
                args.management_url.as_ref(),
                layers,
                value::management_url,
            )?,
        })
    }
}

fn typed<T>(
    setting: &'static Setting,
    text: Option<&Secret>,
    layers: &Layers<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    text.map(|secret| {
        read(&secret.0).map_err(|why| unreadable(setting, &layers.typed_origin(setting), &why))
    })
    .transpose()
}

fn broker(text: &str) -> Result<BrokerUrl, String> {
    BrokerUrl::parse(text).map_err(|error| error.to_string())
}

/// All settings of one migration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The container to move.
    pub container: Option<String>,
    /// Registry path of the checkpoint image.
    pub repository: String,
    /// The primary queue.
    pub queue: String,
    /// The exchange that the producers publish to.
    pub exchange: String,
    /// The binding key.
    pub routing_key: String,
    /// The broker, with its password.
    pub broker: BrokerUrl,
    /// The management API, with its password.
    pub management: Option<Url>,
    /// How the pod changes places with its copy.
    pub strategy: Option<Strategy>,
    /// How the messages change over.
    pub handoff: Option<Handoff>,
    /// What to do about a target that still goes by the source's name.
    pub stale_identity: Option<StaleIdentity>,
    /// Go on in spite of what makes the result uncertain.
    pub force: Option<bool>,
    /// Move a pod whose owner ms2m does not know.
    pub orphan: Option<bool>,
    /// Refuse what is else only warned about.
    pub strict: Option<bool>,
    /// How the checkpoint travels.
    pub transfer: TransferConfig,
    /// How long things may take.
    pub limits: Limits,
}

/// The settings that matter to a cluster without a pod, each as far as anybody says it.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Registry path of the checkpoint image.
    pub repository: Option<String>,
    /// The broker, with its password.
    pub broker: Option<BrokerUrl>,
    /// The management API, with its password.
    pub management: Option<Url>,
    /// How checkpoints travel.
    pub transfer: TransferConfig,
}

impl Ends {
    /// Settles them; none is required.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`]: a layer has a value that cannot be read.
    pub fn resolve(
        args: &SettingArgs,
        given: Typed,
        layers: &mut Layers<'_>,
    ) -> Result<Self, Error> {
        let repository = args.many.repository.clone();
        Ok(Self {
            repository: layers.pick(
                &table::REPOSITORY,
                repository,
                value::repository,
                Clone::clone,
            )?,
            broker: layers.pick(&table::BROKER_URL, given.broker, broker, BrokerUrl::public)?,
            management: layers.pick(
                &table::MANAGEMENT_URL,
                given.management,
                value::management_url,
                value::show_url,
            )?,
            transfer: transfer(args, layers)?,
        })
    }
}

/// What is wanted of a pod, besides settings.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The pod to move.
    pub pod: &'a str,
    /// The node to move it to.
    pub to: Option<&'a str>,
    /// Name of the migration; a fresh one if none is given.
    pub name: Option<&'a str>,
}

impl Settings {
    /// Settles all; `None` when a required one is missing, which `layers` then knows.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Usage`]: a layer has a value that cannot be read.
    pub fn resolve(
        args: &SettingArgs,
        typed: Typed,
        layers: &mut Layers<'_>,
    ) -> Result<Option<Self>, Error> {
        layers.resolved.clear();
        layers.missing.clear();
        let container = text(layers, &table::CONTAINER, &args.one.container)?;
        let repository = layers.pick(
            &table::REPOSITORY,
            args.many.repository.clone(),
            value::repository,
            Clone::clone,
        )?;
        let queue = text(layers, &table::QUEUE, &args.one.queue)?;
        // No name is the default exchange's: the plan refuses it with the remedy.
        let exchange = layers.pick(
            &table::EXCHANGE,
            args.many.exchange.clone(),
            value::text,
            Clone::clone,
        )?;
        let routing_key = layers.pick(
            &table::ROUTING_KEY,
            args.one.routing_key.clone(),
            value::text,
            Clone::clone,
        )?;
        let broker = layers.pick(&table::BROKER_URL, typed.broker, broker, BrokerUrl::public)?;
        let management = layers.pick(
            &table::MANAGEMENT_URL,
            typed.management,
            value::management_url,
            value::show_url,
        )?;
        let strategy = layers.pick(
            &table::STRATEGY,
            args.many.strategy,
            value::strategy,
            ToString::to_string,
        )?;
        let handoff = layers.pick(
            &table::HANDOFF,
            args.many.handoff,
            value::handoff,
            value::show_handoff,
        )?;
        let stale_identity = layers.pick(
            &table::STALE_IDENTITY,
            args.many.stale_identity,
            value::stale_identity,
            value::show_stale_identity,
        )?;
        let force = flag(layers, &table::FORCE, args.many.force)?;
        let orphan = flag(layers, &table::ORPHAN, args.many.orphan)?;
        let strict = flag(layers, &table::STRICT, args.many.strict)?;
        let replay_cutoff = span(layers, &table::REPLAY_CUTOFF, args.many.replay_cutoff)?;
        let transfer = transfer(args, layers)?;
        let repository = repository.or_else(|| receivers_registry(&transfer, layers));
        let limits = limits(args, layers, replay_cutoff)?;
        let (Some(repository), Some(queue), Some(exchange), Some(broker)) =
            (repository, queue, exchange, broker)
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            container,
            repository,
            queue,
            exchange,
            routing_key: routing_key.unwrap_or_default(),
            broker,
            management,
            strategy,
            handoff,
            stale_identity,
            force,
            orphan,
            strict,
            transfer,
            limits,
        }))
    }

    /// Whether there is a password that a resource would be without.
    #[must_use]
    pub fn has_password(&self) -> bool {
        let management = self.management.as_ref();
        self.broker.has_password() || management.is_some_and(|url| url.password().is_some())
    }

    /// What the engine is asked for. Holds no password.
    #[must_use]
    pub fn request(&self, wanted: Wanted<'_>, namespace: &str) -> Request {
        let cutoff = self.limits.replay_cutoff;
        // The resource counts whole seconds; a part of one is not to become none.
        let whole = cutoff.as_secs() + u64::from(cutoff.subsec_nanos() > 0);
        Request {
            name: wanted
                .name
                .map_or_else(|| fresh_name(wanted.pod), str::to_owned),
            namespace: namespace.to_owned(),
            spec: StatefulMigrationSpec {
                source_pod: wanted.pod.to_owned(),
                container_name: self.container.clone(),
                target_node: wanted.to.map(str::to_owned),
                checkpoint_image_repository: self.repository.clone(),
                replay_cutoff_seconds: Some(whole.try_into().unwrap_or(i64::MAX)),
                message_queue_config: MessageQueueConfig {
                    queue_name: self.queue.clone(),
                    broker_url: self.broker.public(),
                    exchange_name: self.exchange.clone(),
                    routing_key: self.routing_key.clone(),
                    management_url: self.management.as_ref().map(value::show_url),
                    credentials: None,
                },
                migration_strategy: self.strategy,
                handoff: self.handoff,
                stale_identity: self.stale_identity,
                force: self.force,
                orphan: self.orphan,
                strict: self.strict,
                transfer: Some(self.transfer.clone()),
                timeouts: self.limits.timeouts(),
                abort: None,
            },
        }
    }
}

fn text(
    layers: &mut Layers<'_>,
    setting: &'static Setting,
    given: &Option<String>,
) -> Result<Option<String>, Error> {
    layers.pick(setting, given.clone(), value::name, Clone::clone)
}

fn span(
    layers: &mut Layers<'_>,
    setting: &'static Setting,
    given: Option<Duration>,
) -> Result<Duration, Error> {
    let value = layers.pick(setting, given, value::duration, value::show_duration)?;
    // Every duration has a default in the table.
    Ok(value.unwrap_or_default())
}

fn flag(
    layers: &mut Layers<'_>,
    setting: &'static Setting,
    given: Option<bool>,
) -> Result<Option<bool>, Error> {
    layers.pick(setting, given, value::flag, ToString::to_string)
}

fn transfer(args: &SettingArgs, layers: &mut Layers<'_>) -> Result<TransferConfig, Error> {
    Ok(TransferConfig {
        image: text(layers, &table::TRANSFER_IMAGE, &args.many.transfer_image)?,
        compression: layers.pick(
            &table::COMPRESSION,
            args.many.compression,
            value::compression,
            value::show_compression,
        )?,
        plain_http: flag(
            layers,
            &table::REGISTRY_PLAIN_HTTP,
            args.end.registry_plain_http,
        )?,
        credentials_secret: text(layers, &table::REGISTRY_SECRET, &args.many.registry_secret)?,
        keep_checkpoint: flag(layers, &table::KEEP_CHECKPOINT, args.many.keep_checkpoint)?,
        direct: flag(layers, &table::DIRECT, args.many.direct)?,
        direct_port: layers.pick(
            &table::DIRECT_PORT,
            args.many.direct_port,
            value::direct_port,
            ToString::to_string,
        )?,
    })
}

/// What stands for the registry where a direct transfer needs none. Its image cannot follow from it.
fn receivers_registry(transfer: &TransferConfig, layers: &mut Layers<'_>) -> Option<String> {
    let port = plan::port_of(transfer)?;
    layers
        .missing
        .retain(|it| it.name != table::REPOSITORY.name);
    if transfer.image.is_none() {
        layers.missing.push(&table::TRANSFER_IMAGE);
        return None;
    }
    Some(plan::receivers_registry(port))
}

fn limits(
    args: &SettingArgs,
    layers: &mut Layers<'_>,
    replay_cutoff: Duration,
) -> Result<Limits, Error> {
    Ok(Limits {
        replay_cutoff,
        max_pause: span(layers, &table::MAX_PAUSE, args.many.max_pause)?,
        settle: span(layers, &table::SETTLE, args.end.settle)?,
        drain: span(layers, &table::DRAIN_TIMEOUT, args.many.drain_timeout)?,
        obey: span(layers, &table::OBEY_TIMEOUT, args.end.obey_timeout)?,
        source_grace: span(layers, &table::SOURCE_GRACE, args.end.source_grace)?,
        ..Limits::default()
    })
}

/// The pod's name and five random letters, as `generateName` makes them; short enough for a
/// label's value, which has 63 characters at most.
#[must_use]
pub fn fresh_name(pod: &str) -> String {
    // No vowels and nothing that looks like something else, as in Kubernetes.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix: String = (0..5)
        .map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]))
        .collect();
    let stem: String = pod.chars().take(57).collect();
    format!("{}-{suffix}", stem.trim_end_matches(['-', '.']))
}

/// What the record of a migration says, as a layer.
#[must_use]
pub fn recorded(record: &Record) -> (String, BTreeMap<&'static str, String>) {
    let spec = &record.spec;
    let queue = &spec.message_queue_config;
    let transfer = spec.transfer.clone().unwrap_or_default();
    let timeouts = spec.timeouts.clone().unwrap_or_default();
    let values = [
        (&table::CONTAINER, spec.container_name.clone()),
        (
            &table::REPOSITORY,
            Some(spec.checkpoint_image_repository.clone()),
        ),
        (&table::QUEUE, Some(queue.queue_name.clone())),
        (&table::EXCHANGE, Some(queue.exchange_name.clone())),
        (&table::ROUTING_KEY, Some(queue.routing_key.clone())),
        (&table::BROKER_URL, Some(queue.broker_url.clone())),
        (&table::MANAGEMENT_URL, queue.management_url.clone()),
        (
            &table::STRATEGY,
            spec.migration_strategy.map(|strategy| strategy.to_string()),
        ),
        (
            &table::HANDOFF,
            spec.handoff.as_ref().map(value::show_handoff),
        ),
        (
            &table::STALE_IDENTITY,
            spec.stale_identity.as_ref().map(value::show_stale_identity),
        ),
        (&table::FORCE, spec.force.map(|flag| flag.to_string())),
        (&table::ORPHAN, spec.orphan.map(|flag| flag.to_string())),
        (&table::STRICT, spec.strict.map(|flag| flag.to_string())),
        (
            &table::REPLAY_CUTOFF,
            spec.replay_cutoff_seconds
                .map(|seconds| seconds.to_string()),
        ),
        (&table::TRANSFER_IMAGE, transfer.image),
        (
            &table::COMPRESSION,
            transfer.compression.as_ref().map(value::show_compression),
        ),
        (
            &table::REGISTRY_PLAIN_HTTP,
            transfer.plain_http.map(|flag| flag.to_string()),
        ),
        (&table::REGISTRY_SECRET, transfer.credentials_secret),
        (
            &table::KEEP_CHECKPOINT,
            transfer.keep_checkpoint.map(|flag| flag.to_string()),
        ),
        (&table::DIRECT, transfer.direct.map(|flag| flag.to_string())),
        (
            &table::DIRECT_PORT,
            transfer.direct_port.map(|port| port.to_string()),
        ),
        (&table::MAX_PAUSE, timeouts.max_pause),
        (&table::SETTLE, timeouts.settle),
        (&table::DRAIN_TIMEOUT, timeouts.drain),
        (&table::OBEY_TIMEOUT, timeouts.obey),
        (&table::SOURCE_GRACE, timeouts.source_grace),
    ];
    let said = values
        .into_iter()
        .filter_map(|(setting, value)| Some((setting.name, value?)))
        .collect();
    (record.name.clone(), said)
}

#[cfg(test)]
mod tests {
    use clap::{ArgMatches, FromArgMatches};
    use jiff::Timestamp;

    use super::*;
    use crate::api::{Compression, StatefulMigrationStatus};
    use crate::cli::args::{Cli, Command, command};
    use crate::cli::commands::migrate::MigrateArgs;
    use crate::cli::settings::{Config, Origin};

    const PASSWORD: &str = "hunter2";

    fn parse(line: &str) -> (MigrateArgs, ArgMatches) {
        let matches = command()
            .try_get_matches_from(line.split(' '))
            .expect("the test's arguments are right");
        let cli = Cli::from_arg_matches(&matches).expect("they are");
        let Command::Migrate(args) = cli.command else {
            panic!("it is the command migrate");
        };
        let own = matches.subcommand_matches("migrate").expect("it is");
        (*args, own.clone())
    }

    fn resolve(line: &str, config: &Config) -> (Option<Settings>, Request) {
        let (args, matches) = parse(line);
        let mut layers = Layers::new(&matches, config);
        let typed = Typed::read(&args.settings.end, &layers).expect("it can be read");
        let settings =
            Settings::resolve(&args.settings, typed, &mut layers).expect("it can be read");
        let shown = format!("{:?}{:?}{settings:?}", args, layers.resolved);
        assert!(!shown.contains(PASSWORD), "{shown}");
        let settings = settings.expect("nothing is missing");
        let request = settings.request(
            Wanted {
                pod: args.pod.as_deref().expect("a pod is named"),
                to: args.to.as_deref(),
                name: args.name.as_deref(),
            },
            "shop",
        );
        (Some(settings), request)
    }

    #[test]
    fn a_request_holds_everything_but_the_password() {
        let line = format!(
            "ms2m migrate pod/worker-0 --to node-b --name m-1 --container main --repository reg/cp \
             --queue q --exchange x --routing-key k --broker-url amqp://u:{PASSWORD}@mq/v \
             --strategy shadow-pod --replay-cutoff 1500ms --transfer-image reg/t:1 --compression none \
             --registry-plain-http --registry-secret s --keep-checkpoint=false --source-grace 5 \
             --handoff mirror --stale-identity stop-source --force"
        );
        let (settings, request) = resolve(&line, &Config::default());
        let settings = settings.expect("nothing is missing");
        assert!(settings.broker.expose().contains(PASSWORD));
        assert_eq!(settings.limits.source_grace, Duration::from_secs(5));
        assert_eq!(settings.limits.replay_cutoff, Duration::from_millis(1_500));
        assert!(!format!("{request:?}").contains(PASSWORD));
        assert_eq!(
            (request.name.as_str(), request.namespace.as_str()),
            ("m-1", "shop")
        );
        assert_eq!(request.spec.message_queue_config.broker_url, "amqp://mq/v");
        assert_eq!(request.spec.replay_cutoff_seconds, Some(2));
        assert_eq!(request.spec.target_node.as_deref(), Some("node-b"));
        assert_eq!(request.spec.handoff, Some(Handoff::Mirror));
        assert_eq!(request.spec.stale_identity, Some(StaleIdentity::StopSource));
        assert_eq!(request.spec.force, Some(true));
        let transfer = request.spec.transfer.expect("it is there");
        assert_eq!(transfer.plain_http, Some(true));
        assert_eq!(transfer.keep_checkpoint, Some(false));
        assert_eq!(transfer.compression, Some(Compression::None));
    }

    #[test]
    fn a_direct_transfer_needs_no_repository_but_an_image() {
        let line = "ms2m migrate w --to b --queue q --exchange x --broker-url amqp://mq --direct";
        let (args, matches) = parse(line);
        let nothing = Config::default();
        let mut layers = Layers::new(&matches, &nothing);
        let typed = Typed::read(&args.settings.end, &layers).expect("it can be read");
        let none = Settings::resolve(&args.settings, typed, &mut layers).expect("it can be read");
        assert!(none.is_none());
        assert_eq!(layers.missing, [&table::TRANSFER_IMAGE]);
        let line = format!("{line} --transfer-image reg/t:1 --direct-port 7000");
        let (_, request) = resolve(&line, &nothing);
        assert_eq!(
            request.spec.checkpoint_image_repository,
            "localhost:7000/ms2m"
        );
        let transfer = request.spec.transfer.expect("it is there");
        assert_eq!(
            (transfer.direct, transfer.direct_port),
            (Some(true), Some(7000))
        );
    }

    #[test]
    fn an_unfinished_migration_says_what_nobody_else_does() {
        let line = "ms2m migrate w --to b --repository reg/cp --queue q --exchange x --broker-url amqp://mq";
        let (_, request) = resolve(line, &Config::default());
        let record = Record {
            name: request.name,
            namespace: request.namespace,
            created: Timestamp::UNIX_EPOCH,
            spec: request.spec,
            status: StatefulMigrationStatus::default(),
        };
        let (args, matches) = parse("ms2m migrate w --queue other");
        let nothing = Config::default();
        let mut layers = Layers::new(&matches, &nothing);
        let typed = Typed::read(&args.settings.end, &layers).expect("it can be read");
        let alone =
            Settings::resolve(&args.settings, typed.clone(), &mut layers).expect("it can be read");
        assert!(alone.is_none());
        layers.record = Some(recorded(&record));
        let settings = Settings::resolve(&args.settings, typed, &mut layers)
            .expect("it can be read")
            .expect("nothing is missing");
        assert_eq!(settings.queue, "other");
        assert_eq!(settings.exchange, "x");
        assert_eq!(settings.broker.public(), "amqp://mq");
        let origin = &layers.resolved[1].origin;
        assert_eq!(*origin, Origin::Record(record.name));
    }

    #[test]
    fn a_fresh_name_fits_a_label() {
        for pod in ["w", &"x".repeat(253), &format!("{}.y", "x".repeat(56))] {
            let name = fresh_name(pod);
            assert!(name.len() <= 63, "{name}");
            assert_eq!(value::migration(&name), Ok(name.clone()));
            assert_ne!(name, fresh_name(pod));
        }
    }
}
