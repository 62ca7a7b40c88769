//! What the broker refuses, and how it is told.

use ms2m::broker::{AmqpBroker, BrokerUrl, Options};
use ms2m::migration::error::PortError;
use ms2m::migration::ports::Broker;

use crate::support::World;
use crate::{adapter_for, put};

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_without_the_password() {
    let url = World::get().places.broker_url.clone();
    let password = BrokerUrl::parse(&url).expect("a URL").password();
    let attempts = [
        (url.replace(&password, "wrong-w0rd"), "refused"),
        (url.replace("%2f", "no-such-vhost"), "no-such-vhost"),
        (
            "amqp://ms2m:wrong-w0rd@127.0.0.1:1/".to_owned(),
            "127.0.0.1:1",
        ),
    ];
    for (url, word) in attempts {
        let options = Options {
            url: BrokerUrl::parse(&url).expect("a URL"),
            management: None,
        };
        let words = AmqpBroker::new(&options)
            .describe()
            .await
            .expect_err("it is refused")
            .to_string();
        assert!(words.to_lowercase().contains(word), "{words}");
        assert!(
            !words.contains("wrong-w0rd") && !words.contains(&password),
            "{words}"
        );
    }
    let broker = adapter_for(&powerless(&url).await);
    let error = broker
        .ensure_queue("not-allowed")
        .await
        .expect_err("it is refused");
    assert!(matches!(error, PortError::Denied(_)), "{error}");
}

/// A user who may connect and touch nothing.
async fn powerless(url: &str) -> String {
    let rights = r#"{"configure":"^$","write":"^$","read":"^$"}"#;
    let user = r#"{"password":"p0werless","tags":""}"#;
    for (path, body) in [("users/nobody", user), ("permissions/%2F/nobody", rights)] {
        put(path, body).await;
    }
    let owner = BrokerUrl::parse(url).expect("a URL");
    url.replace(
        &format!("{}:{}@", owner.user(), owner.password()),
        "nobody:p0werless@",
    )
}
