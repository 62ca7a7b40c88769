//! The broker's users: one who may do everything, and one who may do nothing.

use std::time::Duration;

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::json;

use super::Error;

/// The user with all rights.
pub(super) const ADMIN: &str = "sandbox";
/// The user with none, for whoever wants to see what a refusal looks like.
pub(super) const POWERLESS: &str = "powerless";

/// A password that needs no escaping in a URL or a configuration file.
pub(super) fn new_password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(24)
        .map(char::from)
        .collect()
}

/// Whether the management API answers to the user with all rights.
pub(super) async fn management_answers(url: &str, password: &str) -> bool {
    reqwest::Client::new()
        .get(format!("{url}/api/whoami"))
        .basic_auth(ADMIN, Some(password))
        .timeout(Duration::from_secs(2))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

/// Closes a connection by its name, at once. False if the broker knows none of that name.
pub(super) async fn close_connection(url: &str, password: &str, name: &str) -> Result<bool, Error> {
    let failed = |error| Error::io("close a connection")(std::io::Error::other(error));
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let answer = reqwest::Client::new()
        .delete(format!("{url}/api/connections/{name}"))
        .basic_auth(ADMIN, Some(password))
        .header("X-Reason", "ordered fault")
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .map_err(failed)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(false);
    }
    answer.error_for_status().map_err(failed)?;
    Ok(true)
}

/// Creates the user without rights. They may connect to the virtual host and touch nothing in
/// it, which is where a real refusal (403, `ACCESS_REFUSED`) comes from.
pub(super) async fn create_powerless(url: &str, password: &str) -> Result<(), Error> {
    let client = reqwest::Client::new();
    let put = async |path: String, body: serde_json::Value| {
        client
            .put(format!("{url}/api/{path}"))
            .basic_auth(ADMIN, Some(password))
            .json(&body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
    };
    let user = put(
        format!("users/{POWERLESS}"),
        json!({ "password": password, "tags": "" }),
    );
    let rights = put(
        format!("permissions/%2f/{POWERLESS}"),
        json!({ "configure": "^$", "write": "^$", "read": "^$" }),
    );
    let created = async {
        user.await?;
        rights.await
    };
    created.await.map(drop).map_err(|error| Error::NotReady {
        service: "rabbitmq-server",
        problem: format!("its second user cannot be created: {error}"),
        log: String::new(),
    })
}
