//! `--discover`: settings that nobody has said, looked up in the pod's environment and at the broker.
//!
//! Only what is missing is looked up, and each thing that is found is told in a line, never with a
//! password. What it amounts to is decided in [`crate::discover`].

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure::refused;
use super::settings::flags::SettingArgs;
use super::settings::layers::Layers;
use super::settings::migration::{Ends, Typed};
use super::settings::table::{self, Setting};
use super::settings::value::{self, Secret};
use super::ui::Ui;
use super::wire::Reached;
use crate::broker::AmqpBroker;
use crate::cluster::Surrounding;
use crate::discover::{self, Bound, Found, Unclear};
use crate::migration::error::Error;
use crate::migration::ports::Broker as _;

/// How late RabbitMQ's statistics may be (5 s, measured on 3.10), and a moment.
const STATISTICS: Duration = Duration::from_secs(6);

/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(500);

/// Looks up what is missing and adds it to `layers`. The first of `pods` that is there is looked at.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: it cannot be said, with the choices and the flag to
/// give; [`crate::migration::error::ErrorKind::Refused`]: it cannot be seen.
pub(super) async fn discover(
    ui: &Ui,
    reached: &Reached,
    pods: &[&str],
    args: &SettingArgs,
    typed: &Typed,
    layers: &mut Layers<'_>,
) -> Result<(), Error> {
    let given = args.one.container.clone();
    let container = layers.pick(&table::CONTAINER, given, value::name, Clone::clone)?;
    // Without the pod there is nothing to look at; whoever needs it says so.
    let wants_broker = !layers.is_said(&table::BROKER_URL, true);
    let around = surrounding(reached, pods, container.as_deref(), wants_broker).await?;
    let Some(around) = around else {
        return Ok(());
    };
    if wants_broker {
        for line in &around.unread {
            ui.words(&format!("not looked at: {line}"));
        }
        let found = discover::broker(&around.variables);
        let found = found.map_err(|why| no_broker(&why, &around, &reached.namespace))?;
        let (secret, shown) = (found.value.expose(), found.value.public());
        add(ui, layers, &table::BROKER_URL, secret, &shown, &found.place);
    }
    let wanted = [&table::QUEUE, &table::EXCHANGE, &table::ROUTING_KEY];
    if wanted.iter().all(|setting| layers.is_said(setting, false)) {
        return Ok(());
    }
    let ends = Ends::resolve(args, typed.clone(), layers)?;
    match &ends.broker {
        Some(url) => {
            let broker = reached.broker(url, ends.management.as_ref());
            at_broker(ui, &broker, &around, args, layers).await
        }
        None => Ok(()),
    }
}

/// What the broker knows: the queue, and where its messages come from.
async fn at_broker(
    ui: &Ui,
    broker: &AmqpBroker,
    around: &Surrounding,
    args: &SettingArgs,
    layers: &mut Layers<'_>,
) -> Result<(), Error> {
    let given = args.one.queue.clone();
    let queue = match layers.pick(&table::QUEUE, given, value::name, Clone::clone)? {
        Some(queue) => queue,
        None => {
            let found = queue(broker, around).await?;
            add(
                ui,
                layers,
                &table::QUEUE,
                &found.value,
                &found.value,
                &found.place,
            );
            found.value
        }
    };
    let given = args.many.exchange.clone();
    let exchange = layers.pick(&table::EXCHANGE, given, value::text, Clone::clone)?;
    let found = binding(broker, &queue, exchange.as_deref()).await?;
    let Bound {
        exchange,
        routing_key,
    } = &found.value;
    for (setting, value) in [
        (&table::EXCHANGE, exchange),
        (&table::ROUTING_KEY, routing_key),
    ] {
        if !layers.is_said(setting, false) {
            add(ui, layers, setting, value, value, &found.place);
        }
    }
    Ok(())
}

fn add(
    ui: &Ui,
    layers: &mut Layers<'_>,
    setting: &'static Setting,
    value: &str,
    shown: &str,
    place: &str,
) {
    let shown = if shown.is_empty() { "''" } else { shown };
    ui.words(&format!("found {} {shown} in {place}", setting.name));
    let found = (Secret(value.to_owned()), place.to_owned());
    layers.found.insert(setting.name, found);
}

async fn surrounding(
    reached: &Reached,
    pods: &[&str],
    container: Option<&str>,
    with_variables: bool,
) -> Result<Option<Surrounding>, Error> {
    for pod in pods {
        let found = reached
            .cluster
            .surrounding(pod, container, with_variables)
            .await;
        let found =
            found.map_err(|error| refused(format!("failed to look at pod {pod}"), &error))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The queue that the pod consumes. A consumer that is new is waited for: the broker tells of it
/// when it next gathers its statistics.
async fn queue(broker: &AmqpBroker, around: &Surrounding) -> Result<Found<String>, Error> {
    let begin = Instant::now();
    loop {
        let consumed = broker.consumed_from(&around.addresses).await;
        let consumed = consumed.map_err(|error| {
            let what = "failed to ask the broker's management API which queue the pod consumes";
            refused(what, &error)
                .hint("say it: --queue QUEUE --exchange EXCHANGE --routing-key KEY")
        })?;
        match discover::queue(&consumed, &around.addresses) {
            Err(Unclear::Nothing) if begin.elapsed() < STATISTICS => sleep(AGAIN).await,
            found => return found.map_err(|why| no_queue(why, around)),
        }
    }
}

fn no_queue(why: Unclear, around: &Surrounding) -> Error {
    match why {
        Unclear::Nothing => Error::usage(format!(
            "the broker knows of no consumer at the pod's address {}",
            around.addresses.join(", ")
        ))
        .because("one that connects through a proxy has another address")
        .hint("say which queue it consumes: --queue QUEUE"),
        Unclear::Several(queues) => {
            several("the pod consumes several queues", &queues).hint("say which one: --queue QUEUE")
        }
    }
}

async fn binding(
    broker: &AmqpBroker,
    queue: &str,
    exchange: Option<&str>,
) -> Result<Found<Bound>, Error> {
    const SAY: &str = "say it: --exchange EXCHANGE --routing-key KEY";
    let failed = format!("failed to ask the broker for the bindings of queue {queue}");
    let bindings = match broker.bindings(queue).await {
        Ok(Some(bindings)) => bindings,
        Ok(None) => {
            let why = "its management API does not tell them";
            return Err(Error::refused(failed).because(why).hint(SAY));
        }
        Err(error) => return Err(refused(failed, &error).hint(SAY)),
    };
    discover::binding(queue, &bindings, exchange).map_err(|why| match why {
        Unclear::Nothing => {
            let to = exchange.map_or("an exchange".to_owned(), |name| format!("exchange {name}"));
            Error::usage(format!("queue {queue} is not bound to {to}")).hint(SAY)
        }
        Unclear::Several(choices) => {
            several(&format!("queue {queue} has several bindings"), &choices).hint(SAY)
        }
    })
}

fn several(what: &str, choices: &[String]) -> Error {
    Error::usage(what).because(choices.join("; "))
}

fn no_broker(why: &Unclear, around: &Surrounding, namespace: &str) -> Error {
    const SAY: &str = "say it: MS2M_BROKER_URL, or --broker-url";
    let container = &around.container;
    match why {
        Unclear::Several(choices) => {
            let what = format!("the environment of container {container} names several brokers");
            several(&what, choices).hint(SAY)
        }
        Unclear::Nothing if around.unread.is_empty() => Error::usage(format!(
            "nothing in the environment of container {container} names a broker"
        ))
        .hint(SAY),
        Unclear::Nothing => Error::refused(format!(
            "nothing of the environment of container {container} that can be read names a broker"
        ))
        .because(around.unread.join("; "))
        .hint(SAY)
        .hint(format!(
            "or have the role ms2m-cli-discover of examples/manifests/rbac-cli.yaml bound to you in namespace \
             {namespace}"
        )),
    }
}
