//! Credentials that a resource names: read from Secrets in its namespace right before they are used,
//! kept nowhere, shown nowhere.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use crate::api::{MessageQueueConfig, SecretKeyRef};
use crate::broker::BrokerUrl;
use crate::explain;
use crate::migration::error::{Error, PortError};
use crate::migration::ports::PortResult;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// The Secrets of one namespace.
pub(super) struct Secrets {
    secrets: Api<Secret>,
}

impl Secrets {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// The broker's URL with the credentials that are named beside it.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Refused`]: a Secret is missing, or the URL is none.
    pub(super) async fn broker(&self, config: &MessageQueueConfig) -> Result<BrokerUrl, Error> {
        let url = BrokerUrl::parse(&config.broker_url).map_err(|error| {
            Error::refused("spec.messageQueueConfig.brokerUrl cannot be used").because(error)
        })?;
        let Some(credentials) = &config.credentials else {
            return Ok(url);
        };
        let user = &credentials.username.secret_key_ref;
        let password = &credentials.password.secret_key_ref;
        let first = self.secret(&user.name).await?;
        let (user, password) = if password.name == user.name {
            (value(&first, user)?, value(&first, password)?)
        } else {
            let second = self.secret(&password.name).await?;
            (value(&first, user)?, value(&second, password)?)
        };
        Ok(url.with_credentials(&user, &password))
    }

    /// The registry credentials in a pull secret, as Docker's configuration has them.
    ///
    /// # Errors
    /// [`crate::migration::error::ErrorKind::Refused`]: there is no such Secret, or it is of another
    /// type.
    pub(super) async fn docker_config(&self, name: &str) -> Result<String, Error> {
        let place = SecretKeyRef {
            name: name.to_owned(),
            key: DOCKER_CONFIG.to_owned(),
        };
        value(&self.secret(name).await?, &place)
    }

    async fn secret(&self, name: &str) -> Result<Secret, Error> {
        let found = self.secrets.get_opt(name).await;
        let found = found.map_err(|error| crate::cluster::port_error("read the Secret", &error));
        unless_unread(name, found)
    }
}

/// The text under a key.
fn value(secret: &Secret, SecretKeyRef { name, key }: &SecretKeyRef) -> Result<String, Error> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let text = value.and_then(|value| std::str::from_utf8(&value.0).ok());
    text.map(|text| text.trim_end_matches('\n').to_owned())
        .ok_or_else(|| {
            Error::refused(format!("Secret {name} has no key {key} with a text in it"))
                .code(&explain::SECRET_UNUSABLE)
                .hint("name another key, or add this one to the Secret")
        })
}

fn unless_unread(name: &str, found: PortResult<Option<Secret>>) -> Result<Secret, Error> {
    match found {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(Error::refused(format!(
            "there is no Secret {name} in the pod's namespace"
        ))
        .code(&explain::SECRET_UNUSABLE)),
        Err(error @ PortError::Denied(_)) => Err(Error::refused(format!(
            "ms2m was refused access to Secret {name}"
        ))
        .code(&explain::SECRET_UNUSABLE)
        .because(error)),
        Err(error) => {
            let passing = error.is_transient();
            Err(Error::refused(format!("ms2m cannot read Secret {name}"))
                .because(error)
                .in_passing(passing))
        }
    }
}
