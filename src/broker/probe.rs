//! Finds the AMQP types of a binding's arguments, which the management API does not tell.
//!
//! It tells a key of each binding, though, in which they are hashed. So an exchange and an
//! exclusive queue are made for a moment, bound with one guess after the other, until the broker
//! gives the guess the same key. Nothing is ever published to that exchange, and both go with the
//! channel's connection at the latest.

use std::collections::BTreeMap;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};

use super::amqp::short;
use super::arguments::{candidates, table};
use super::channels::Channels;
use super::failure::port_error;
use super::management::{Management, ToldBinding};
use crate::api::BindingArgument;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

type Arguments = BTreeMap<String, BindingArgument>;

/// How many guesses are tried: five milliseconds each, and enough for two whole numbers of
/// different types.
const GUESSES: usize = 64;

/// The arguments of `told`, a binding of `queue`, with their types.
///
/// # Errors
/// [`PortError::Invalid`] when no guess is right, or what the broker answers.
pub(super) async fn typed(
    channels: &Channels,
    management: &Management,
    queue: &str,
    told: &ToldBinding,
) -> PortResult<Arguments> {
    if told.arguments.is_empty() {
        return Ok(Arguments::new());
    }
    let scratch = format!("{queue}.ms2m-probe");
    let guesses = guesses(told);
    let found = channels
        .on_channel(async |channel| {
            make(channel, &scratch).await?;
            let found = first_right(channel, management, &scratch, told, guesses).await?;
            unmake(channel, &scratch).await?;
            Ok(found)
        })
        .await?
        .map_err(|error| port_error(&error))??;
    found.ok_or_else(|| {
        PortError::Invalid(format!(
            "the binding to exchange {} has arguments of types that ms2m cannot take over: {}",
            told.source,
            told.arguments
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ))
    })
}

/// All combinations of what the arguments may be, as far as [`GUESSES`] go.
fn guesses(told: &ToldBinding) -> Vec<Arguments> {
    let mut guesses = vec![Arguments::new()];
    for (name, value) in &told.arguments {
        let candidates = candidates(value);
        guesses = guesses
            .iter()
            .flat_map(|guess| {
                candidates.iter().map(move |candidate| {
                    let mut longer = guess.clone();
                    longer.insert(name.clone(), candidate.clone());
                    longer
                })
            })
            .collect();
        // One client library makes numbers of one type, so those guesses come first.
        guesses.sort_by_key(different_types);
        guesses.truncate(GUESSES);
    }
    guesses
}

fn different_types(guess: &Arguments) -> usize {
    let mut kinds: Vec<_> = guess.values().map(|argument| argument.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len()
}

async fn make(channel: &Channel, scratch: &str) -> lapin::Result<()> {
    let queue = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let exchange = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    channel.queue_declare(short(scratch), queue, none()).await?;
    channel
        .exchange_declare(short(scratch), ExchangeKind::Fanout, exchange, none())
        .await
}

async fn unmake(channel: &Channel, scratch: &str) -> lapin::Result<()> {
    channel
        .exchange_delete(short(scratch), ExchangeDeleteOptions::default())
        .await?;
    channel
        .queue_delete(short(scratch), QueueDeleteOptions::default())
        .await
        .map(|_| ())
}

/// The first guess that the broker gives the key of `told`.
async fn first_right(
    channel: &Channel,
    management: &Management,
    scratch: &str,
    told: &ToldBinding,
    guesses: Vec<Arguments>,
) -> lapin::Result<PortResult<Option<Arguments>>> {
    for guess in guesses {
        let arguments = match table(&guess) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(Err(error)),
        };
        let options = QueueBindOptions::default();
        let key = short(&told.routing_key);
        channel
            .queue_bind(short(scratch), short(scratch), key, options, arguments)
            .await?;
        match management.bindings(scratch).await {
            Ok(made)
                if made
                    .iter()
                    .any(|one| one.properties_key == told.properties_key) =>
            {
                return Ok(Ok(Some(guess)));
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ArgumentType;

    #[test]
    fn guesses_of_one_type_come_first() {
        let told = ToldBinding {
            source: "events".to_owned(),
            routing_key: String::new(),
            arguments: [("a".to_owned(), 1.into()), ("b".to_owned(), 2.into())].into(),
            properties_key: "~x".to_owned(),
        };
        let guesses = guesses(&told);
        assert_eq!(guesses.len(), GUESSES);
        let kinds: Vec<_> = guesses[1].values().map(|one| one.kind).collect();
        assert_eq!(kinds, [ArgumentType::Long, ArgumentType::Long]);
    }
}
